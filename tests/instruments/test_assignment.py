"""One-to-one assignment against all permutations."""

from itertools import permutations

import numpy as np
import pytest
import torch

from rosetta.instruments.assignment import assigned_pairs


@pytest.mark.parametrize("shape", [(5, 5), (4, 6), (6, 4)])
def test_no_permutation_is_better(shape):
    r = np.random.default_rng(sum(shape)).uniform(-1, 1, size=shape)
    found = assigned_pairs(torch.from_numpy(r))
    wide = r if shape[0] <= shape[1] else r.T
    best = max(
        sum(wide[i, j] for i, j in enumerate(order))
        for order in permutations(range(wide.shape[1]), wide.shape[0])
    )
    assert found.r.sum() == pytest.approx(best)
    np.testing.assert_array_equal(found.r, r[found.u, found.v])
    assert len(set(found.u)) == len(set(found.v)) == min(shape)


def test_a_dead_neuron_has_no_partner():
    r = torch.tensor([[-torch.inf, -torch.inf], [-0.9, 0.3]], dtype=torch.float64)
    found = assigned_pairs(r)
    assert (found.u.tolist(), found.v.tolist(), found.r.tolist()) == ([1], [1], [0.3])
