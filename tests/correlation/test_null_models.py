"""Controls and uncertainty: views of stores, null models, resampling, sweeps; against NumPy and
planted truth.
"""

import shutil
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import random_ranges, save_stores
from pooled_reference import pooled_reference
from scipy import stats
from store_pairs import DOCUMENTS, make_pair, use_small_chunks
from whole_tiles import correlate_tile, tile_neighbors

import rosetta.correlation.permutation
import rosetta.correlation.resample
import rosetta.correlation.tiles
from rosetta.activations.folders import open_stores
from rosetta.alignment.samples import deal
from rosetta.alignment.spans import aligned_spans
from rosetta.alignment.text import token_ranges
from rosetta.analysis.group_counts import count_group, group_keys, jaccard
from rosetta.analysis.intervals import correlation_interval, half_sample_error
from rosetta.analysis.null_thresholds import LadderNull, tail_probability
from rosetta.config import parse_config, twin_name
from rosetta.config.exclusions import Exclusions
from rosetta.correlation.aligned import StoredPair, align_pair, pair_identity
from rosetta.correlation.neighbor_tables import PairFacts
from rosetta.correlation.neighbors import PairNeighbors
from rosetta.correlation.plan import Tile
from rosetta.correlation.resample import (
    Blocks,
    Rematching,
    half_samples,
    rematch,
    rematch_candidates,
    sample_blocks,
)
from rosetta.correlation.stream import Neurons, Reading, centred_blocks
from rosetta.correlation.sums import ColumnSums
from rosetta.correlation.topk import top_k
from rosetta.correlation.view import View
from rosetta.errors import ConfigError
from rosetta.matching.mutual import MATCH_COLUMNS, mutual_matches
from rosetta.models.neurons import NeuronShape
from rosetta.theory.allocation import predicted_correlation
from rosetta.theory.planted_stores import PlantedStores, simulate_stores

SHAPES = ((2, 9), (3, 6))


@pytest.fixture
def stores(tmp_path, monkeypatch):
    use_small_chunks(monkeypatch)
    return make_pair(tmp_path, 1, *SHAPES, 2, "float32")


def spans_of(stores_a, stores_b):
    return [
        aligned_spans(
            [token_ranges(a.positions()), token_ranges(b.positions())], len(a.read("document_ids"))
        )
        for a, b in zip(stores_a, stores_b, strict=True)
    ]


def pooled(stores_a, stores_b):
    """Pooled activations of both sides in float64, and the document (over all shards) of every
    position.
    """
    spans = spans_of(stores_a, stores_b)
    a, b = (pooled_reference(side, spans, i, "mean") for i, side in enumerate((stores_a, stores_b)))
    offsets = np.cumsum([0, *(len(store.read("document_ids")) for store in stores_a)])
    return (
        a,
        b,
        np.concatenate(
            [part.document_index + offset for part, offset in zip(spans, offsets, strict=False)]
        ),
    )


def correlations(a, b):
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.corrcoef(a.T, b.T)[: a.shape[1], a.shape[1] :]
    r[np.ptp(a, axis=0) == 0] = -np.inf
    r[:, np.ptp(b, axis=0) == 0] = -np.inf
    return r


def under(stores, view):
    pair = align_pair(*stores, view)
    r, *_ = correlate_tile(pair, Tile(0, 18, 0, 18), "mean", "float64")
    return r.numpy(), pair


def test_views_of_a_pair_share_its_opened_stores_until_they_change(tmp_path):
    make_pair(tmp_path, 1, *SHAPES, 2, "float32")
    folders = tmp_path / "a", tmp_path / "b"

    def opened(view):
        return StoredPair(*map(str, folders), pair_identity(*folders), view).open()

    first, permuted = opened(View()), opened(View(permute_seeds=(3,)))
    assert permuted.b.permute_seeds == (3,)
    assert permuted.a.stores is first.a.stores
    assert permuted.b.stores is first.b.stores
    for folder in folders:
        shutil.rmtree(folder)
    make_pair(tmp_path, 2, *SHAPES, 2, "float32")
    assert opened(View()).a.stores is not first.a.stores


def test_a_permutation_keeps_the_marginals_and_moves_rows_within_windows(stores, monkeypatch):
    monkeypatch.setattr(rosetta.correlation.permutation, "WINDOW", 8)
    monkeypatch.setattr(rosetta.correlation.tiles, "ROWS", 2)
    blocks, sums = [], [ColumnSums(18), ColumnSums(18)]
    for view, total in zip((View(), View(permute_seeds=(3,))), sums, strict=True):
        neurons = Neurons(align_pair(*stores, view).b, 0, 18)
        read = centred_blocks(neurons, Reading("mean", torch.float64, 2), total)
        blocks.append([block.clone() for block in read])
    assert [len(block) for block in blocks[0]] == [len(block) for block in blocks[1]]
    assert torch.equal(sums[0].total, sums[1].total)
    before, after = (torch.cat(one).numpy() for one in blocks)
    n = len(before)
    assert torch.equal(sums[0].deviation(n), sums[1].deviation(n))
    origin = [np.flatnonzero((before == row).all(axis=1)).item() for row in after]
    n_windows = -(-len(blocks[0]) // 4)
    edges = [min(i * len(blocks[0]) // n_windows * 2, n) for i in range(n_windows + 1)]
    assert n_windows > 2
    for low, high in pairwise(edges):
        assert 4 <= high - low <= 8
        assert sorted(origin[low:high]) == list(range(low, high))
    assert np.mean(np.array(origin) == np.arange(n)) < 0.5
    r, _ = under(stores, View(permute_seeds=(3,)))
    np.testing.assert_allclose(r, correlations(pooled(*stores)[0], after), atol=1e-9)
    again, _ = under(stores, View(permute_seeds=(4,)))
    assert not np.allclose(r, again)


def test_a_small_set_is_permuted_as_a_whole(stores):
    a, b, _ = pooled(*stores)
    neurons = Neurons(align_pair(*stores, View(permute_seeds=(0,))).b, 0, 18)
    blocks = centred_blocks(neurons, Reading("mean", torch.float64, 10), ColumnSums(18))
    moved = torch.cat([block.clone() for block in blocks]).numpy()[:, 5]
    origin = [int(np.abs(b[:, 5] - b[:, 5].mean() - (x - moved.mean())).argmin()) for x in moved]
    assert len(set(origin)) > 0.95 * len(a)
    assert max(abs(i - j) for i, j in enumerate(origin)) > len(a) / 2


@pytest.mark.parametrize("view", [View(first=3), View(half=0), View(half=1), View(first=5, half=0)])
def test_a_view_of_documents_is_those_documents(stores, view):
    a, b, document = pooled(*stores)
    kept = np.ones(len(a), bool)
    if view.first is not None:
        kept &= document < view.first
    if view.half is not None:
        kept &= deal(align_pair(*stores).clusters, 2)[document] == view.half
    r, pair = under(stores, view)
    assert pair.n_positions == kept.sum() == pair.sample_positions.sum()
    assert len(pair.sample_positions) == len(DOCUMENTS)
    np.testing.assert_allclose(r, correlations(a[kept], b[kept]), atol=1e-9)


@pytest.mark.parametrize("sides", [(0, 1), (1, 0), (0, 0)], ids=["one BOS", "the other", "both"])
def test_first_positions_are_left_out_and_counted(stores, sides):
    """Model a has a BOS token before the first token of its text, and b has none."""
    stores = [stores[side] for side in sides]
    a, b, document = pooled(*stores)
    firsts = np.zeros(len(a), bool)
    firsts[np.unique(document, return_index=True)[1]] = True
    r, pair = under(stores, View(Exclusions(first_position=True)))
    assert pair.left_out.n_first_position == firsts.sum() == 6  # one document is empty
    assert pair.left_out.n_special == len(DOCUMENTS) * sides.count(0)
    np.testing.assert_allclose(r, correlations(a[~firsts], b[~firsts]), atol=1e-9)


def test_tokens_of_high_norm_are_left_out_and_counted(tmp_path):
    rng = np.random.default_rng(0)
    sides, loud = [], []
    for name, place in (("a", 40), ("b", 90)):
        ranges = random_ranges(rng, [60] * 4, max_token=3, truncate=False)
        values = rng.normal(size=(2, len(ranges[0]), 9)).astype(np.float32)
        values[:, place] *= 20
        loud.append(place)
        sides.append(save_stores(tmp_path / name, values, ranges, 4, n_shards=2))
    spans = spans_of(*sides)
    a, b, _ = pooled(*sides)
    bad, done = np.zeros(len(a), bool), 0
    for shard, part in enumerate(spans):
        for side in (0, 1):
            before = sum(store.n_positions for store in sides[side][:shard])
            inside = (part.first[side] + before <= loud[side]) & (
                loud[side] < part.last[side] + before
            )
            bad[done : done + len(part)] |= inside
        done += len(part)
    r, pair = under(sides, View(Exclusions(max_norm=4.0)))
    assert pair.left_out.n_high_norm == bad.sum() == 2
    np.testing.assert_allclose(r, correlations(a[~bad], b[~bad]), atol=1e-9)


def test_neurons_below_the_variance_floor_have_no_correlation(stores):
    r, pair = under(stores, View(Exclusions(variance_floor=1e-4)))
    expected = correlations(*pooled(*stores)[:2])
    quiet = 1  # of `planted`: a thousand times as quiet as others; neuron 0 is dead already
    assert (pair.left_out.n_quiet_a, pair.left_out.n_quiet_b) == (1, 1)
    expected[quiet] = expected[:, quiet] = -np.inf
    np.testing.assert_allclose(r, expected, atol=1e-9)


def mutual(r, k=1):
    of_a, of_b = (
        top_k(torch.from_numpy(r), k, 0).index,
        top_k(torch.from_numpy(r.T.copy()), k, 0).index,
    )
    return [(u, v) for u, row in enumerate(of_a) for v in sorted(row[row >= 0]) if u in of_b[v]]


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("way", ["rematched", "candidates"])
def test_matches_on_a_half_sample_are_those_of_its_documents(stores, monkeypatch, way, k):
    monkeypatch.setattr(rosetta.correlation.resample, "ROWS", 10)
    pair, tile = align_pair(*stores), Tile(0, 18, 0, 18)
    a, b, document = pooled(*stores)
    block = np.array([2, 0, 3, 1, 0, 1, 2])  # no two neighbours in one
    blocks = Blocks(block[document], 4, len(DOCUMENTS))
    u, v = np.array(mutual(correlations(a, b), k)).T
    if way == "rematched":
        found = rematch(Rematching(pair, "mean", blocks, k, u, v), "float64")
    else:  # all neighbours are candidates, so nothing can be missed
        lists = tile_neighbors(pair, tile, "mean", "float64", 18)
        tiles = [Tile(0, 10, 0, 18), Tile(10, 18, 0, 7), Tile(10, 18, 7, 18)]
        found = rematch_candidates(Rematching(pair, "mean", blocks, k, u, v), lists, tiles)
    halves = half_samples(4)
    assert len(halves) == len(found.replicates) == 6
    for number, half in enumerate(halves):
        assert half.sum() == 2
        kept = half[block[document]]
        assert blocks.shares[number] == kept.mean()
        r = correlations(a[kept], b[kept])
        one = found.replicates[number]
        assert list(zip(one.u, one.v, strict=True)) == mutual(r, k)
        np.testing.assert_allclose(one.r, r[one.u, one.v], atol=1e-5)
        np.testing.assert_allclose(found.r[:, number], r[u, v], atol=1e-5)


def test_a_correlation_that_is_not_defined_on_a_half_sample_has_no_interval():
    low, high = correlation_interval(
        np.array([0.5, 1.0]), np.array([[0.4, -np.inf, 0.5, 0.5], [1.0, 1.0, 1.0, 1.0]])
    )
    assert np.isnan([low[0], high[0]]).all()
    assert low[1] == pytest.approx(1.0)
    assert high[1] == pytest.approx(1.0)


def test_tail_probabilities_by_counting():
    null = np.array([0.1, 0.4, 0.2, 0.4, 0.3])
    r = np.array([0.0, 0.4, 0.41, 0.3])
    expected = [(1 + sum(x >= value for x in null)) / 6 for value in r]
    assert tail_probability(r, null).tolist() == pytest.approx(expected)
    assert tail_probability(np.array([989.5, 988.5]), np.arange(999.0)).tolist() == [0.01, 0.011]


def match_table(pairs):
    frame = pd.DataFrame(pairs, columns=["unit_a", "unit_b", "r"])
    return frame.assign(model_a="x", layer_a=0, model_b="y", layer_b=0, rank_a=1)


def test_a_group_counts_anchors_matched_in_every_comparison():
    one = match_table([(0, 5, 0.9), (1, 6, 0.5), (2, 7, 0.1)])
    other = match_table([(0, 1, 0.8), (2, 3, 0.2)])
    assert count_group([one]) == (3, pytest.approx(0.5))
    assert count_group([one, other]) == (2, pytest.approx(0.5))
    assert count_group([one[one["r"] > 0.3], other]).matches == 1
    assert count_group([one[one["r"] > 1], other]).matches == 0
    assert jaccard(group_keys([one]), group_keys([one.iloc[:1]])) == pytest.approx(1 / 3)


MODELS = {
    "a": {"path": "a"},
    "b": {"path": "b", "dtype": "bfloat16"},
    "b0": {"untrained": {"of": "b", "seed": 7}},
}


def test_every_model_has_twins_of_its_own():
    config = parse_config({"models": MODELS, "ladders": {"l": [["a", "b"], ["a", "b0"]]}})
    twins = {
        name: config.entry(name)
        for model in MODELS
        for seed in (0, 1)
        if (name := twin_name(model, seed))
    }
    assert [twin.untrained.of for twin in twins.values()] == ["a", "a", "b", "b", "b", "b"]
    assert len({twin.untrained.seed for twin in twins.values()}) == 6, (
        "twins never share their random numbers"
    )
    assert twins["b~untrained-0"].dtype == "bfloat16"
    assert config.entry("a") is config.models["a"]
    with pytest.raises(ConfigError, match="nobody"):
        config.entry("nobody~untrained-0")


# Planted truth


@cache
def opened(folder):
    """Return both sides' stores, opened once for all that is matched of them."""
    return open_stores(folder / "a"), open_stores(folder / "b")


def match_stores(folder, **view):
    pair = align_pair(*opened(folder), View(**view))
    n_a, n_b = pair.a.n_neurons, pair.b.n_neurons
    lists = tile_neighbors(pair, Tile(0, n_a, 0, n_b), "mean", "float32", 2)
    facts = PairFacts("a", "b", 1, n_a, 1, n_b, pair.n_positions, 2, 0, 1)
    return mutual_matches(lists, facts, 1)


RATIOS = (0.02, 0.05, 0.1, 0.3, 1.0, 4.0)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Twenty planted pairs per ratio among 160 neurons a side."""
    folder = tmp_path_factory.mktemp("planted")
    truth = simulate_stores(
        folder, PlantedStores(NeuronShape(1, 160), RATIOS * 20, n_documents=60, seed=5)
    )
    return folder, truth


def test_planted_neurons_correlate_as_the_formula_says(simulated):
    folder, truth = simulated
    pair = align_pair(*opened(folder))
    r, *_ = correlate_tile(pair, Tile(0, 160, 0, 160), "mean", "float64")
    found = pd.Series(r.numpy()[truth["unit_a"], truth["unit_b"]]).groupby(truth["ratio"]).mean()
    for ratio, value in found.items():
        expected = 1 / np.sqrt((1 + 1 / ratio) * (1 + 1 / ratio))
        assert predicted_correlation(ratio, ratio) == pytest.approx(expected)
        error = (1 - expected**2) / np.sqrt(pair.n_positions * 20)
        assert abs(value - expected) < 4 * error
    a, b, _ = pooled(*opened(folder))
    assert abs(a.std() - 1) < 0.02, "the noise of a span does not depend on its number of tokens"
    assert abs(b.std() - 1) < 0.02


def test_recall_and_precision_follow_from_the_formula(simulated):
    """A planted pair is found if its r beats the largest of 159 chance correlations on either
    side.
    """
    folder, truth = simulated
    matches = match_stores(folder)
    n = align_pair(*opened(folder)).n_positions
    planted = set(zip(truth["unit_a"], truth["unit_b"], strict=True))
    found = set(zip(matches["unit_a"], matches["unit_b"], strict=True))
    a, b, _ = pooled(*opened(folder))
    of_a, of_b = (np.argmax(np.corrcoef(a.T, b.T)[:160, 160:], axis=axis) for axis in (1, 0))
    assert found == {(u, v) for u, v in enumerate(of_a) if of_b[v] == u}, "as by brute force"
    rng = np.random.default_rng(0)
    rivals = rng.normal(size=(4000, 2 * 159)).max(axis=1)
    own = rng.normal(size=4000)
    for ratio, part in truth.groupby("ratio"):
        expected = predicted_correlation(ratio, ratio)
        predicted = np.mean(np.arctanh(expected) * np.sqrt(n - 3) + own > rivals)
        recall = np.mean(
            [pair in found for pair in zip(part["unit_a"], part["unit_b"], strict=True)]
        )
        low, high = stats.binom.interval(0.999, 20, np.clip(predicted, 0.001, 0.999))
        assert low <= 20 * recall <= high, ratio
    strong = matches[matches["r"] > predicted_correlation(0.2, 0.2)]
    assert all(pair in planted for pair in zip(strong["unit_a"], strong["unit_b"], strict=True))
    assert len(found - planted) < 40, "40 neurons a side have no partner"


def test_the_calibrated_count_has_the_false_positive_rate_that_it_claims(tmp_path):
    above, total = dict.fromkeys((0.9, 0.99), 0), 0
    for seed in range(20):
        folder = tmp_path / str(seed)
        planted = PlantedStores(
            NeuronShape(1, 80), (), n_documents=16, document_bytes=150, seed=seed, n_shards=1
        )
        simulate_stores(folder, planted)
        found = pd.concat(
            [match_stores(folder, permute_seeds=(i,)).assign(seed=i) for i in range(5)]
        )
        null = LadderNull.of([found[["seed", "r"]]], list(range(5)), one_draw=True)
        r = match_stores(folder)["r"].to_numpy()
        above = {
            quantile: n + int((r > null.threshold(quantile)).sum()) for quantile, n in above.items()
        }
        total += len(r)
    # Of a few hundred null matches, the smooth tail lets a little more through than it says
    # (tests/analysis/test_thresholds.py).
    assert total > 600
    for quantile, n in above.items():
        low, high = (
            stats.binom.ppf(0.005, total, 1 - quantile),
            stats.binom.ppf(0.995, total, 1.4 * (1 - quantile)),
        )
        assert low <= n <= high, quantile


def test_the_error_of_a_count_tells_its_spread(tmp_path):
    """Against the spread of the count over independent corpora of the same size."""
    counts, errors = [], []
    for seed in range(12):
        folder = tmp_path / str(seed)
        ratios = tuple(np.linspace(0.03, 0.3, 40))
        simulate_stores(
            folder,
            PlantedStores(
                NeuronShape(1, 60), ratios, n_documents=40, document_bytes=120, seed=seed
            ),
        )
        pair = align_pair(*opened(folder))
        matches = match_stores(folder)
        counts.append(len(matches))
        blocks = sample_blocks(pair, 20)
        u, v = matches["unit_a"].to_numpy(), matches["unit_b"].to_numpy()
        found = rematch(Rematching(pair, "mean", blocks, 1, u, v), "float32")
        errors.append(
            float(half_sample_error(np.array([len(one.u) for one in found.replicates], float)))
        )
    assert 0.7 * np.std(counts, ddof=1) < np.mean(errors) < 2 * np.std(counts, ddof=1)


def test_neighbour_lists_of_nothing_are_resampled_to_nothing(stores):
    pair = align_pair(*stores)
    none = np.empty(0, np.int64)
    blocks = Blocks(np.arange(pair.n_positions) % 4, 4, len(DOCUMENTS))
    asked = Rematching(pair, "mean", blocks, 1, none, none)
    found = rematch_candidates(asked, PairNeighbors.empty(18, 18, 2), [Tile(0, 18, 0, 18)])
    assert found.r.shape == (0, 6)
    assert [len(one.u) for one in found.replicates] == [0] * 6
    assert len(MATCH_COLUMNS) == 11
