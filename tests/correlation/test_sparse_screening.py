"""Errors of sketches of more rows than a run has, for neurons that fire in few runs, in the
certificate's own units.
"""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from screened_sides import as_side

from rosetta.correlation.plan import ROWS
from rosetta.correlation.sketch import sketch_shards
from rosetta.correlation.stream import Neurons

N_RUNS, UNITS, EVENTS = 10, 60, 3
N_ROWS = 4 * ROWS


@pytest.fixture(scope="module")
def positions():
    return np.random.default_rng(3)


def spikes(rng, runs, shared):
    """Activations of two populations of neurons; all of a neuron's variance is at a few positions
    of each given run.

    Neuron i of B fires where neuron i of A does in a share of the runs, and elsewhere in the
    others.
    """
    values = rng.normal(size=(N_RUNS * ROWS, 2 * UNITS)) * 1e-3
    for unit in range(UNITS):
        for side, own_runs in enumerate(runs):
            for run in own_runs:
                at = run * ROWS + rng.choice(ROWS, size=EVENTS, replace=False)
                heights = rng.choice([-1, 1], size=EVENTS) * rng.uniform(5, 10, size=EVENTS)
                values[at, unit + side * UNITS] += heights
                if run in shared and side == 0:
                    values[at, unit + UNITS] += heights
    return values


@pytest.mark.parametrize(
    ("runs", "shared", "r"),
    [
        (((0,), (4,)), (), 0.0),  # groups in turn: their events met in the same 4,096 rows, always
        (((0, 8), (4, 8)), (), 0.0),
        (((1, 9), (5,)), (9,), 0.5),
    ],
)
def test_errors_are_gaussian_in_whatever_runs_neurons_fire(tmp_path, positions, runs, shared, r):
    values = spikes(positions, runs, shared)
    side = as_side(tmp_path / "a", values)
    sketch = sketch_shards(Neurons(side, 0, 2 * UNITS), [0], "mean", N_ROWS, torch.float32)
    directions = sketch.directions().double().numpy()
    true, estimate = (
        np.corrcoef(values.T)[:UNITS, UNITS:],
        directions[:, :UNITS].T @ directions[:, UNITS:],
    )
    assert np.diag(true).mean() == pytest.approx(r, abs=0.15)
    error = (np.arctanh(estimate) - np.arctanh(true)) * np.sqrt(N_ROWS - 3)
    for some in (error, np.diag(error)):
        # So well is the standard deviation of these draws known. Runs lose nothing within
        # themselves: it may be less.
        allowed = 1 + 4 / np.sqrt(2 * UNITS)
        assert some.std() < allowed
        assert abs(some.mean()) < 4 / np.sqrt(UNITS)
    # 3,600 errors: a largest of more has probability 10⁻³. They are not all the same, or none would
    # be an error.
    assert np.abs(error).max() < norm.isf(1e-3 / error.size / 2)
    assert np.diag(error).std() > 0.5
