"""Pairs of which the answer is known, under every instrument."""

from typing import get_args

import numpy as np
import pytest
import torch
from instrument_rows import HALVES, measures_of, noise, permuted_copy, rotated_copy

from rosetta.config.instruments import Instruments
from rosetta.config.matching import Instrument
from rosetta.instruments.measure import absolute, found_table, measure_halves

NAMES = get_args(Instrument)


def found_by_all(a, b, halves=HALVES[:2], settings=None, **components):
    measures, _ = measures_of(a, b, **components)
    made = measure_halves(measures, halves, NAMES, settings or Instruments(), 1)
    return {(half, name): (found, facts) for half, name, found, facts in made}


def test_all_instruments_find_a_permuted_copy():
    a, b, order = permuted_copy(np.random.default_rng(0), 800, 20)
    partner = np.argsort(order)
    for (_, name), (found, _) in found_by_all(a, b).items():
        pairs = dict(zip(found.u.tolist(), found.v.tolist(), strict=True))
        if name == "procrustes":  # a rotated coordinate has the number of the neuron it is made for
            assert pairs == {u: u for u in range(20)}
        elif name == "cca":  # twenty directions, each as alike as the copies
            assert len(found.u) == 20
        else:
            assert pairs == dict(enumerate(partner.tolist())), name
        assert found.r.min() > 0.95, name


def test_only_alignment_finds_a_rotated_copy():
    a, b = rotated_copy(np.random.default_rng(1), 3000, 30)
    found = {key: of for key, (of, _) in found_by_all(a, b).items()}
    for half in (0, 1):
        assert sorted(found[half, "procrustes"].u) == list(range(30))
        assert found[half, "procrustes"].r.min() > 0.99
        assert found[half, "cca"].r.min() > 0.99
        for name in ("mutual_nearest", "absolute", "spearman", "soft", "hungarian"):
            assert found[half, name].r.mean() < 0.75, name


def test_nothing_stands_out_of_noise():
    """On the half that nothing was fitted on, scores are as small as r of independent samples."""
    a, b = noise(np.random.default_rng(2), 2000, 25)
    limit = 5 / np.sqrt(1000)
    for (_, name), (found, facts) in found_by_all(a, b).items():
        assert np.abs(found.r).max() < limit, name
        assert abs(facts.get("svcca", 0)) < 2 / np.sqrt(1000)


def test_a_neuron_and_its_negative_are_matched_by_size_only():
    a, b, order = permuted_copy(np.random.default_rng(3), 600, 12)
    found = found_by_all(a, -b)
    pairs = {name: {*zip(of.u, of.v, strict=True)} for (half, name), (of, _) in found.items()}
    planted = set(zip(order, range(12), strict=True))
    assert pairs["absolute"] == planted
    assert not pairs["mutual_nearest"] & planted
    assert found[0, "absolute"][0].r.min() > 0.95
    assert found[0, "procrustes"][0].r.min() > 0.95, "a rotation may turn a neuron round"


def test_ranks_see_a_relation_that_few_large_values_hide():
    rng = np.random.default_rng(4)
    a = rng.normal(size=(1000, 8))
    b = np.exp(6 * a)
    found = found_by_all(a, b)
    spearman, _ = found[0, "spearman"]
    assert dict(zip(spearman.u.tolist(), spearman.v.tolist(), strict=True)) == {
        u: u for u in range(8)
    }
    np.testing.assert_allclose(spearman.r, 1.0, atol=1e-6)
    assert found[0, "mutual_nearest"][0].r.max() < 0.6


def test_few_components_find_what_lies_in_them_only():
    """Ten neurons share two strong factors; the other ten are noise of their own."""
    rng = np.random.default_rng(5)
    factors = rng.normal(size=(2000, 2))
    a = np.hstack([factors @ rng.normal(size=(2, 10)), rng.normal(size=(2000, 10))])
    b = np.hstack([factors @ rng.normal(size=(2, 10)), rng.normal(size=(2000, 10))])
    found, _ = found_by_all(a + 0.05 * rng.normal(size=a.shape), b, most=2)[0, "cca"]
    assert len(found.u) == 2
    assert found.r.min() > 0.95
    assert set(found.u) <= set(range(10))


def test_dead_neurons_are_never_found():
    rng = np.random.default_rng(6)
    a, b, _ = permuted_copy(rng, 400, 10)
    a[:, 3] = 1.0
    b[:, 5] = 2.0
    for (_, name), (found, _) in found_by_all(a, b).items():
        assert 3 not in found.u, name
        if name != "procrustes":
            assert 5 not in found.v, name
        assert np.isfinite(found.r).all()


def test_absolute_leaves_what_is_not_defined():
    r = torch.tensor([[-0.5, -torch.inf], [0.25, -torch.inf]])
    assert absolute(r).tolist() == [[0.5, -np.inf], [0.25, -np.inf]]


@pytest.mark.parametrize("rotated", [False, True])
def test_rows_name_neurons_and_rotated_coordinates(rotated):
    a, b, _ = permuted_copy(np.random.default_rng(7), 200, 6)
    name = "procrustes" if rotated else "mutual_nearest"
    found, _ = found_by_all(a, b)[0, name]
    known = {"instrument": name, "null": False, "half_sample": 0}
    table = found_table(found, (3, 2), known, rotated=rotated)
    assert (table["layer_a"] * 3 + table["unit_a"]).tolist() == found.u.tolist()
    if rotated:
        assert (table["layer_b"] == -1).all()
        assert table["unit_b"].tolist() == found.v.tolist()
    else:
        assert (table["layer_b"] * 2 + table["unit_b"]).tolist() == found.v.tolist()
