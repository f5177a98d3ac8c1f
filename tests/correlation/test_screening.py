"""The screened method: sketches, their bounds, and the same matches as the exact method."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from screened_sides import as_side, planted_pair

import rosetta.correlation.certificates
import rosetta.correlation.estimates
import rosetta.correlation.pairs
import rosetta.correlation.rounds
import rosetta.correlation.tiles
from rosetta.config import Correlation, Dask, Screening
from rosetta.correlation.aligned import align_pair
from rosetta.correlation.certificates import margin, thresholds, within_reach
from rosetta.correlation.chosen_pairs import ChosenPairs, correlate_chosen
from rosetta.correlation.neighbor_tables import read_lists
from rosetta.correlation.neighbors import Neighbors
from rosetta.correlation.plan import (
    PairSize,
    ScreenPlan,
    Tile,
    plan_orders,
    plan_screen,
    shard_ranges,
)
from rosetta.correlation.request import CorrelationRequest
from rosetta.correlation.row_major import row_major
from rosetta.correlation.sketch import Sketch, keep_sketch, load_sketch, sketch_shards
from rosetta.correlation.steps import correlate_step
from rosetta.correlation.stream import Neurons
from rosetta.matching.mutual import mutual_matches


def matches_by(folder, method, dask=None, **options):
    out = folder / f"{method}.parquet"
    screening = Screening(**{"sketch_rows": 1024, **options.pop("screening", {})})
    chosen = Correlation(
        method=method,
        max_k=options.pop("k", 1),
        precision="float32",
        screening=screening,
        **options,
    )
    correlate_step(
        CorrelationRequest(folder / "a", folder / "b", "mean", chosen, dask or Dask()), out
    )
    lists, facts = read_lists([out])
    found = mutual_matches(lists, facts, facts.n_kept - 1)
    return found[["unit_a", "unit_b", "r"]], facts


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("n_shared", [200, 150])
def test_screened_matches_are_the_exact_ones(tmp_path, k, n_shared, monkeypatch):
    monkeypatch.setattr(rosetta.correlation.rounds, "MAX_DENSE_SHARE", 1.1)  # never give up
    planted_pair(tmp_path, 1, n_shared=n_shared)
    exact, _ = matches_by(tmp_path, "exact", k=k)
    screened, facts = matches_by(tmp_path, "screened", k=k)
    assert facts.method == "screened"
    assert facts.failure_probability == 1e-6
    assert len(exact) >= 150
    assert list(zip(screened["unit_a"], screened["unit_b"], strict=True)) == list(
        zip(exact["unit_a"], exact["unit_b"], strict=True)
    )
    np.testing.assert_allclose(screened["r"], exact["r"], atol=1e-5)
    # Neurons without a partner have nothing but near ties, which no sketch can tell apart.
    assert facts.n_uncertified >= 2 * (200 - n_shared)


def test_screening_gives_way_where_it_does_not_pay(tmp_path):
    planted_pair(tmp_path, 2, n_shared=20)
    exact, _ = matches_by(tmp_path, "exact")
    found, facts = matches_by(tmp_path, "screened")
    assert facts.method == "exact", "the result says how it was made"
    assert found.equals(exact)


def test_a_killed_job_does_not_screen_again_what_the_exact_method_took_over(tmp_path, monkeypatch):
    """It goes on with the tiles that the exact method had not finished."""
    planted_pair(tmp_path, 2, n_shared=20)
    screened, tiles = [], []
    screen = rosetta.correlation.pairs.correlate_screened
    correlate = rosetta.correlation.tiles.correlate_neurons

    def one_tile(a, b, *rest):
        if len(tiles) == 1:
            raise KeyboardInterrupt
        tiles.append((a.low, b.low))
        return correlate(a, b, *rest)

    def in_two_tiles(*arguments, **named):
        plan, at_once = plan_orders(*arguments, **named)
        (tile,) = plan.tiles
        return replace(plan, tiles=tile.halves()), at_once

    monkeypatch.setattr(
        rosetta.correlation.pairs,
        "correlate_screened",
        lambda *arguments: screened.append(1) or screen(*arguments),
    )
    monkeypatch.setattr(rosetta.correlation.pairs, "plan_orders", in_two_tiles)
    monkeypatch.setattr(rosetta.correlation.tiles, "correlate_neurons", one_tile)
    with pytest.raises(KeyboardInterrupt):
        matches_by(tmp_path, "screened")
    assert not list(tmp_path.glob(".tiles-*/screened")), "its sketches have gone"
    monkeypatch.setattr(
        rosetta.correlation.tiles,
        "correlate_neurons",
        lambda a, b, *rest: tiles.append((a.low, b.low)) or correlate(a, b, *rest),
    )
    found, facts = matches_by(tmp_path, "screened")
    assert len(screened) == 1
    assert tiles == [(0, 0), (100, 0)]
    assert facts.method == "exact"
    assert not list(tmp_path.glob(".tiles-*"))
    assert found.equals(matches_by(tmp_path, "exact")[0])


def test_a_floor_finds_all_matches_above_it_and_only_those(tmp_path):
    planted_pair(tmp_path, 2, n_shared=60)
    exact, _ = matches_by(tmp_path, "exact")
    found, facts = matches_by(tmp_path, "screened", screening={"min_r": 0.3})
    above = exact[exact["r"] >= 0.3]
    assert facts.method == "screened"
    assert 40 < len(above) < len(exact)
    assert (
        found[["unit_a", "unit_b"]]
        .reset_index(drop=True)
        .equals(above[["unit_a", "unit_b"]].reset_index(drop=True))
    )


@pytest.mark.parametrize("n_workers", [1, 4])
def test_a_killed_screening_goes_on_where_it_was(tmp_path, monkeypatch, n_workers):
    planted_pair(tmp_path, 1)
    made = []
    original = rosetta.correlation.estimates.sketch_shards
    monkeypatch.setattr(
        rosetta.correlation.estimates,
        "sketch_shards",
        lambda neurons, shards, *rest: (
            made.append(list(shards)) or original(neurons, shards, *rest)
        ),
    )
    monkeypatch.setattr(rosetta.correlation.rounds, "candidates", lambda *a: 1 / 0)
    dask = Dask(n_workers=n_workers)
    with pytest.raises(ZeroDivisionError):
        matches_by(tmp_path, "screened", dask=dask)
    # Few positions are folded into one sketch per side; each worker has work.
    parts = [[0], [0], [1], [1]] if n_workers > 1 else [[0, 1]] * 2
    assert sorted(made) == parts
    monkeypatch.setattr(
        rosetta.correlation.rounds, "candidates", rosetta.correlation.certificates.candidates
    )
    found, _ = matches_by(tmp_path, "screened", dask=dask)
    assert sorted(made) == parts
    assert not list(tmp_path.glob(".tiles-*"))
    exact, _ = matches_by(tmp_path, "exact")
    assert found[["unit_a", "unit_b"]].equals(exact[["unit_a", "unit_b"]])


def test_shards_are_folded_together_until_sketches_cost_little():
    screen = ScreenPlan(1024, ((0, 9),), ((0, 9),), 0)
    ranges = partial(shard_ranges, plan=screen)
    assert ranges(8, PairSize(9, 9, 65_536), n_workers=1) == ((0, 8),)
    assert ranges(8, PairSize(9, 9, 131_072), n_workers=1) == ((0, 4), (4, 8))
    assert ranges(3, PairSize(9, 9, 10**9), n_workers=1) == ((0, 1), (1, 2), (2, 3))
    assert ranges(8, PairSize(9, 9, 100), n_workers=8) == ((0, 2), (2, 4), (4, 6), (6, 8))


def test_directions_stay_in_memory_only_where_they_fit_beside_the_exact_pairs(
    tmp_path, monkeypatch
):
    planted_pair(tmp_path, 1, n_shared=150)
    read = []
    original = rosetta.correlation.estimates.load_sketch
    monkeypatch.setattr(
        rosetta.correlation.estimates,
        "load_sketch",
        lambda path: read.append(path) or original(path),
    )
    monkeypatch.setattr(rosetta.correlation.rounds, "MAX_DENSE_SHARE", 1.1)
    held, facts = matches_by(tmp_path, "screened")
    assert facts.n_uncertified > 0, "so open pairs are looked for in the sketches again"
    assert len(read) == 2
    monkeypatch.setattr(
        rosetta.correlation.pairs,
        "plan_screen",
        lambda *a: replace(plan_screen(*a), held=False),
    )
    again, _ = matches_by(tmp_path, "screened")
    assert len(read) >= 2 + 4
    assert again.equals(held)


@pytest.mark.parametrize("k", [1, 2])
def test_candidates_are_what_a_neurons_best_does_not_rule_out(k):
    r = np.array(
        [
            [0.9, 0.5, 0.3, 0.2, 0.1],  # stands out
            [0.9, 0.85, 0.82, 0.2, 0.1],  # has rivals, all of them listed
            [0.5, 0.49, 0.48, 0.47, 0.46],  # has more than are listed
            [0.1, 0.09, 0.08, 0.07, 0.06],  # cannot reach the floor
            [0.9, np.nan, np.nan, np.nan, np.nan],  # has one partner
        ]
    )
    index = np.where(np.isnan(r), -1, np.arange(5))
    found = within_reach(Neighbors(index, r), k, 3, lambda best: np.maximum(best, 0.3) - 0.1)
    listed = (found.index >= 0).sum(axis=1)
    assert listed.tolist() == ([2, 3, 3, 0, 1] if k == 1 else [3, 3, 3, 0, 1])
    assert np.array_equal(found.index >= 0, ~np.isnan(found.r))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n_rows", [256, 8192])
def test_sketches_keep_correlations_within_their_standard_error(
    tmp_path, n_rows, dtype, monkeypatch
):
    rng = np.random.default_rng(0)
    n = 20_000
    shared = rng.normal(size=(n, 60))
    values = rng.normal(size=(n, 60)) + shared[:, rng.permutation(60)] * rng.uniform(0, 3, 60) + 40
    side = as_side(tmp_path / "a", values, n_shards=2)
    sketch = sketch_shards(Neurons(side, 0, 60), [0], "mean", n_rows, dtype).merge(
        sketch_shards(Neurons(side, 0, 60), [1], "mean", n_rows, dtype)
    )
    assert sketch.n_positions == n
    directions = sketch.directions().double()
    got, true = (directions.T @ directions).numpy(), np.corrcoef(values.T)
    pairs = np.triu_indices(60, 1)
    error = (np.arctanh(got[pairs]) - np.arctanh(true[pairs])) * np.sqrt(n_rows - 3)
    # Runs lose nothing within themselves, so the error is a little below that of random rows.
    assert 0.5 < error.std() < 1.1
    assert abs(error.mean()) < 0.2


def test_the_bound_holds_for_neurons_that_fire_at_a_handful_of_positions(tmp_path):
    """A count sketch without rotation fails here: two lone spikes that share a row look like a
    perfect match.
    """
    rng = np.random.default_rng(1)
    n, units, n_rows = 40_000, 250, 256
    values = rng.normal(size=(n, units)) * 1e-3
    for unit in range(units):
        values[rng.choice(n, size=rng.integers(1, 6), replace=False), unit] += rng.normal() * 10
    side = as_side(tmp_path / "a", values)
    directions = (
        sketch_shards(Neurons(side, 0, units), [0], "mean", n_rows, torch.float32)
        .directions()
        .double()
    )
    pairs = np.triu_indices(units, 1)
    estimate, true = (directions.T @ directions).numpy()[pairs], np.corrcoef(values.T)[pairs]
    for z in (2.0, 3.0):
        bound = np.tanh(np.arctanh(estimate) + z / np.sqrt(n_rows - 3))
        failed = (true > bound).mean()
        assert failed < 1.5 * norm.sf(z)
    assert (np.abs(estimate - true) > 0.4).sum() == 0


def test_margins_share_the_failure_probability_among_all_pairs():
    z = margin(1e-6, 8192, 8192, 4096) * np.sqrt(4093)
    assert norm.sf(z) * 8192**2 == pytest.approx(1e-6)
    best = np.array([-np.inf, 0.2, 0.9])
    needed = thresholds(best, 0.1, 0.0)
    assert needed[0] == -np.inf
    np.testing.assert_allclose(np.tanh(np.arctanh(needed[1:]) + 0.1), best[1:], atol=3e-6)


def test_kept_sketches_are_read_back_and_damaged_ones_made_again(tmp_path):
    def made():
        rows = torch.randn(64, 5)
        return Sketch(rows, torch.randn(64), torch.randn(5, dtype=torch.float64), 70)

    sketch, path = made(), tmp_path / "s.npz"
    for make in (lambda: sketch, made):
        back = load_sketch(keep_sketch(path, make))
        assert back.n_positions == 70
        for name in ("rows", "ones", "total"):
            assert torch.equal(getattr(back, name), getattr(sketch, name))
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    assert not torch.equal(load_sketch(keep_sketch(path, made)).rows, sketch.rows)


@given(n=st.integers(1, 200), m=st.integers(1, 200), given_memory=st.booleans())
def test_matrices_are_laid_out_by_rows(n, m, given_memory):
    values = torch.arange(n * m, dtype=torch.float32).view(m, n).T
    out = torch.full((n, m), -1.0) if given_memory else None
    laid_out = row_major(values, out)
    assert torch.equal(laid_out, values)
    assert laid_out.is_contiguous()
    assert out is None or laid_out.data_ptr() == out.data_ptr()


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), n_listed=st.integers(1, 40), n_shards=st.integers(1, 2))
def test_listed_pairs_match_numpy(tmp_path_factory, seed, n_listed, n_shards):
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("pair")
    values = rng.normal(size=(200, 12)) + rng.normal(size=(200, 1)) + 100 * rng.normal(size=12)
    values[:, 3] = 5.0
    side = as_side(folder / "a", values, n_shards=n_shards)
    stored = values.astype(np.float32).astype(np.float64)
    key = np.unique(rng.integers(0, 6 * 12, n_listed))
    u, v = key // 12 + 2, key % 12
    chosen = ChosenPairs(Tile(2, 8, 0, 12), u, v)
    r, dead_a, dead_b = correlate_chosen(align_pair(side.stores, side.stores), chosen, "mean")
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.corrcoef(stored.T)[u, v]
    expected[(u == 3) | (v == 3)] = -np.inf
    np.testing.assert_allclose(r, expected, atol=1e-5)
    assert np.flatnonzero(dead_a).tolist() == ([1] if 3 in u else [])
    assert np.flatnonzero(dead_b).tolist() == ([3] if 3 in v else [])
