"""The numerical core against NumPy in float64, over ragged shapes, chunkings, shard counts and
dtypes.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers import random_ranges, save_stores
from hypothesis import given, settings
from hypothesis import strategies as st
from pooled_reference import reference
from store_pairs import DOCUMENTS, brute_force_neighbors, make_pair, use_small_chunks
from whole_tiles import correlate_tile

import rosetta.activations.store
import rosetta.correlation.pairs
import rosetta.correlation.plan
import rosetta.correlation.tiles
from rosetta.activations.folders import open_stores
from rosetta.config import Correlation, Dask
from rosetta.correlation.aligned import align_pair
from rosetta.correlation.neighbor_tables import read_lists
from rosetta.correlation.pairs import correlate_pair
from rosetta.correlation.plan import Budget, PairSize, Tile, Workers, plan_tiles
from rosetta.correlation.request import CorrelationRequest
from rosetta.correlation.steps import correlate_step
from rosetta.errors import ConfigError, PlanError, StoreError


@pytest.fixture
def small_chunks(monkeypatch):
    use_small_chunks(monkeypatch)


@pytest.mark.parametrize("pooling", ["mean", "max", "median"])
@pytest.mark.parametrize(
    ("dtype", "precision"),
    [("float16", "float32"), ("bfloat16", "float32"), ("float32", "float64")],
)
def test_correlations_match_numpy(tmp_path, small_chunks, pooling, dtype, precision):
    stores_a, stores_b = make_pair(tmp_path, 1, (2, 9), (3, 6), 2, dtype)
    pair = align_pair(stores_a, stores_b)
    r, dead_a, dead_b = correlate_tile(pair, Tile(0, 18, 0, 18), pooling, precision)
    expected = reference(stores_a, stores_b, pooling)
    assert np.array_equal(dead_a, np.isneginf(expected).all(axis=1))
    assert np.array_equal(dead_b, np.isneginf(expected).all(axis=0))
    assert dead_a[0]
    assert np.isfinite(expected).sum() >= 16 * 16
    np.testing.assert_allclose(r.numpy(), expected, atol=1e-5 if precision == "float32" else 1e-9)


@settings(max_examples=10)
@given(
    seed=st.integers(0, 10**6),
    shape_a=st.tuples(st.integers(1, 3), st.integers(1, 9)),
    shape_b=st.tuples(st.integers(1, 3), st.integers(1, 9)),
    n_shards=st.integers(1, 3),
    cut=st.tuples(st.integers(4, 20), st.integers(4, 20)),
)
def test_any_tiling_and_sharding_matches_numpy(
    tmp_path_factory, seed, shape_a, shape_b, n_shards, cut
):
    folder = tmp_path_factory.mktemp("pair")
    with pytest.MonkeyPatch.context() as patch:
        use_small_chunks(patch)
        stores_a, stores_b = make_pair(folder, seed, shape_a, shape_b, n_shards, "float32")
        expected = reference(stores_a, stores_b, "mean")
        pair = align_pair(stores_a, stores_b)
        n_a, n_b = expected.shape
        for low_a in range(0, n_a, cut[0]):
            for low_b in range(0, n_b, cut[1]):
                tile = Tile(low_a, min(n_a, low_a + cut[0]), low_b, min(n_b, low_b + cut[1]))
                r, *_ = correlate_tile(pair, tile, "mean", "float32")
                np.testing.assert_allclose(
                    r.numpy(),
                    expected[tile.a_low : tile.a_high, tile.b_low : tile.b_high],
                    atol=1e-5,
                )


@pytest.mark.parametrize(
    ("n_shards", "memory_gb", "n_jobs", "n_workers"),
    [(1, 2.0, 1, 1), (3, 0.75, 1, 2), (2, 0.7, 3, 1)],
)
def test_neighbour_lists_match_brute_force(
    tmp_path, monkeypatch, n_shards, memory_gb, n_jobs, n_workers
):
    monkeypatch.setitem(
        rosetta.correlation.plan.ROW_VALUE_BYTES, "float64", 37_000
    )  # so that a small budget means tiles
    stores_a, stores_b = make_pair(tmp_path, 3, (2, 40), (1, 70), n_shards, "float32")
    settings_ = Correlation(max_k=4, memory_gb=memory_gb, n_jobs=n_jobs, precision="float64")
    parts = [tmp_path / f"{job}.parquet" for job in range(n_jobs)]
    for job, part in enumerate(parts):
        correlate_step(
            CorrelationRequest(
                tmp_path / "a", tmp_path / "b", "mean", settings_, Dask(n_workers=n_workers)
            ),
            part,
            job=job,
        )
    n_tiles = len(
        plan_tiles(
            PairSize(80, 70, 22), Budget(memory_gb, Workers(n_workers)), precision="float64"
        ).tiles
    )
    assert (n_tiles > 1) == (memory_gb < 1)
    found, facts = read_lists(parts)
    r = reference(stores_a, stores_b, "mean")
    for neighbors, matrix in ((found.a, r), (found.b, r.T)):
        assert [
            [int(j) for j in row if j >= 0] for row in neighbors.index
        ] == brute_force_neighbors(matrix, 5)
        rows, ranks = np.nonzero(neighbors.index >= 0)
        np.testing.assert_allclose(
            neighbors.r[rows, ranks], matrix[rows, neighbors.index[rows, ranks]], atol=1e-9
        )
    assert found.dead_a.sum() == np.isneginf(r).all(axis=1).sum() == 1
    assert facts.n_positions == align_pair(stores_a, stores_b).n_positions
    assert not list(tmp_path.glob(".tiles-*")), "finished tiles are removed"


def test_ties_go_to_the_lower_neuron(tmp_path):
    rng = np.random.default_rng(0)
    ranges = random_ranges(rng, DOCUMENTS, truncate=False)
    signal = rng.normal(size=len(ranges[0])).astype(np.float32)
    same = np.repeat(signal[None, :, None], 6, axis=2)
    save_stores(tmp_path / "a", same, ranges, len(DOCUMENTS))
    save_stores(tmp_path / "b", np.concatenate([same, same]), ranges, len(DOCUMENTS))
    correlate_step(
        CorrelationRequest(
            tmp_path / "a",
            tmp_path / "b",
            "mean",
            Correlation(max_k=2, precision="float32"),
            Dask(),
        ),
        tmp_path / "n.parquet",
    )
    found, _ = read_lists([tmp_path / "n.parquet"])
    assert found.a.index.tolist() == [[0, 1, 2]] * 6
    assert found.b.index.tolist() == [[0, 1, 2]] * 12


def test_sharding_does_not_change_the_sums(tmp_path, small_chunks):
    lists = []
    for n_shards in (1, 4):
        folder = tmp_path / str(n_shards)
        make_pair(folder, 5, (2, 9), (2, 7), n_shards, "float16")
        correlate_step(
            CorrelationRequest(
                folder / "a", folder / "b", "mean", Correlation(precision="float32"), Dask()
            ),
            folder / "n.parquet",
        )
        lists.append(read_lists([folder / "n.parquet"])[0])
    assert np.array_equal(lists[0].a.index, lists[1].a.index)
    # Only the pilot mean and scale, merged in another order, may differ in their last bits.
    np.testing.assert_allclose(lists[0].a.r, lists[1].a.r, atol=1e-7)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_neurons_that_change_only_beyond_the_common_prefix_are_dead(tmp_path, precision):
    """Means of equal values over different numbers of tokens must not differ by rounding."""
    rng = np.random.default_rng(0)
    lengths = [400] * 3
    fine = random_ranges(rng, lengths, max_token=2, truncate=False)
    coarse = random_ranges(rng, lengths, max_token=17, truncate=False)
    half = coarse[2] <= 200  # the coarse model has read half of each document
    coarse = tuple(part[half] for part in coarse)
    values = rng.normal(size=(1, len(fine[0]), 8)).astype(np.float32)
    read_by_both = fine[1] < 210
    values[:, read_by_both, :5] = rng.normal(size=5).astype(np.float32)
    stores_a = save_stores(tmp_path / "a", values, fine, 3)
    stores_b = save_stores(
        tmp_path / "b", rng.normal(size=(1, half.sum(), 4)).astype(np.float32), coarse, 3
    )
    r, dead_a, _ = correlate_tile(
        align_pair(stores_a, stores_b), Tile(0, 8, 0, 4), "mean", precision
    )
    assert dead_a.tolist() == [True] * 5 + [False] * 3
    assert np.isneginf(r[:5]).all()


def test_a_true_correlation_survives_a_million_positions(tmp_path):
    """The mistake to avoid: low-precision sums over many rows stall far below the truth."""
    rng = np.random.default_rng(0)
    n = 1_000_000
    x, noise = rng.normal(size=(2, n)).astype(np.float32)
    y = 0.9 * x + np.sqrt(1 - 0.81).astype(np.float32) * noise
    ranges = (
        np.arange(n, dtype=np.int32),
        np.arange(n, dtype=np.int32),
        np.arange(1, n + 1, dtype=np.int32),
        np.zeros(n, np.int32),
    )
    stores_a = save_stores(tmp_path / "a", x[None, :, None] + 50, ranges, 1)
    stores_b = save_stores(tmp_path / "b", y[None, :, None] * 1e-3, ranges, 1)
    r, *_ = correlate_tile(align_pair(stores_a, stores_b), Tile(0, 1, 0, 1), "mean", "float32")
    stored = (x + np.float32(50)).astype(np.float64)
    assert abs(float(r[0, 0]) - np.corrcoef(stored, y)[0, 1]) < 1e-5


def test_finished_tiles_are_not_computed_again(tmp_path, monkeypatch):
    monkeypatch.setitem(rosetta.correlation.plan.ROW_VALUE_BYTES, "float64", 37_000)
    make_pair(tmp_path, 3, (2, 40), (1, 70), 1, "float32")
    settings_ = Correlation(max_k=2, memory_gb=0.665, precision="float64")
    original, computed = rosetta.correlation.tiles.correlate_neurons, []

    def dies_at_the_third(a, b, *args):
        if len(computed) == 2 and "restarted" not in computed:
            raise KeyboardInterrupt
        computed.append(Tile(a.low, a.high, b.low, b.high))
        return original(a, b, *args)

    monkeypatch.setattr(rosetta.correlation.tiles, "correlate_neurons", dies_at_the_third)
    out = tmp_path / "n.parquet"
    with pytest.raises(KeyboardInterrupt):
        correlate_step(
            CorrelationRequest(tmp_path / "a", tmp_path / "b", "mean", settings_, Dask()), out
        )
    assert not out.exists()
    done = list(computed)
    computed.append("restarted")
    correlate_step(
        CorrelationRequest(tmp_path / "a", tmp_path / "b", "mean", settings_, Dask()), out
    )
    after = computed[len(done) + 1 :]
    assert not set(done) & set(after)
    assert sorted([*done, *after]) == sorted(
        plan_tiles(PairSize(80, 70, 22), Budget(0.665), precision="float64").tiles
    )


@pytest.mark.parametrize("method", ["exact", "screened"])
def test_lists_as_a_value_are_those_of_the_file(tmp_path, method):
    make_pair(tmp_path, 3, (2, 20), (1, 30), 2, "float32")
    settings = Correlation(max_k=2, method=method, precision="float32")
    request = CorrelationRequest(tmp_path / "a", tmp_path / "b", "mean", settings, Dask())
    before = sorted(tmp_path.rglob("*"))
    found, facts = correlate_pair(request)
    assert sorted(tmp_path.rglob("*")) == before, "it writes nothing"
    correlate_step(request, tmp_path / "n.parquet")
    written, also = read_lists([tmp_path / "n.parquet"])
    assert facts == also
    for one, other in ((found.a, written.a), (found.b, written.b)):
        assert np.array_equal(one.index, other.index)
        assert np.array_equal(one.r, other.r, equal_nan=True)
    assert np.array_equal(found.dead_a, written.dead_a)
    assert np.array_equal(found.dead_b, written.dead_b)


def test_a_cluster_needs_a_folder_that_its_workers_share(tmp_path):
    make_pair(tmp_path, 3, (1, 4), (1, 4), 1, "float32")
    cluster = Dask(scheduler="tcp://10.0.0.1:8786")
    with pytest.raises(ConfigError, match=r"dask\.scheduler: .* Give scratch"):
        correlate_pair(
            CorrelationRequest(tmp_path / "a", tmp_path / "b", "mean", Correlation(), cluster)
        )


def test_tiles_are_kept_until_the_lists_are_written(tmp_path, monkeypatch):
    make_pair(tmp_path, 3, (1, 4), (1, 4), 1, "float32")
    out, others = tmp_path / "n.parquet", tmp_path / ".tiles-n-1-0123456789abcdef"
    others.mkdir()  # of the writer of n-1.parquet
    with monkeypatch.context() as patch:
        patch.setattr(rosetta.correlation.steps, "write_lists", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            correlate_step(
                CorrelationRequest(tmp_path / "a", tmp_path / "b", "mean", Correlation(), Dask()),
                out,
            )
    (kept,) = set(tmp_path.glob(".tiles-*")) - {others}
    assert list(kept.glob("*.npz"))
    monkeypatch.setattr(rosetta.correlation.tiles, "correlate_neurons", lambda *_: 1 / 0)
    correlate_step(
        CorrelationRequest(tmp_path / "a", tmp_path / "b", "mean", Correlation(), Dask()), out
    )
    assert set(tmp_path.glob(".tiles-*")) == {others}


@given(
    n_a=st.integers(1, 40_000),
    n_b=st.integers(1, 40_000),
    n_positions=st.integers(2, 10**7),
    memory_gb=st.floats(0.61, 16.0),
    precision=st.sampled_from(["float32", "bfloat16", "float64"]),
    n_workers=st.integers(1, 4),
    processes=st.booleans(),
)
def test_the_plan_covers_the_matrix_once_within_the_budget(
    n_a, n_b, n_positions, memory_gb, precision, n_workers, processes
):
    workers = Workers(n_workers, processes)
    size, budget = PairSize(n_a, n_b, n_positions), Budget(memory_gb, workers)
    try:
        plan = plan_tiles(size, budget, precision=precision)
    except PlanError:
        size = PairSize(min(n_a, 64), min(n_b, 64), n_positions)
        smallest = plan_tiles(size, Budget(1000, workers), precision=precision)
        assert smallest.peak_bytes > memory_gb * 1e9
        return
    assert plan.peak_bytes <= memory_gb * 1e9
    edges_a, edges_b = ({t[side : side + 2] for t in plan.tiles} for side in (0, 2))
    assert sorted(plan.tiles) == sorted((*a, *b) for a in edges_a for b in edges_b)
    for edges, n in ((sorted(edges_a), n_a), (sorted(edges_b), n_b)):
        assert edges[0][0] == 0
        assert edges[-1][1] == n
        assert all(one[1] == following[0] for one, following in pairwise(edges))


def test_a_budget_that_cannot_be_kept_is_rejected():
    with pytest.raises(PlanError, match="memory_gb"):
        plan_tiles(PairSize(10_000, 10_000, 1000), Budget(0.1))


def test_stores_of_other_documents_are_rejected(tmp_path):
    rng = np.random.default_rng(0)
    ranges = random_ranges(rng, DOCUMENTS)
    values = rng.normal(size=(1, len(ranges[0]), 4)).astype(np.float32)
    a = save_stores(tmp_path / "a", values, ranges, len(DOCUMENTS))
    b = save_stores(tmp_path / "b", values, ranges, len(DOCUMENTS) + 1)
    with pytest.raises(StoreError, match="different documents"):
        align_pair(a, b)
    c = save_stores(tmp_path / "c", values, ranges, len(DOCUMENTS), n_shards=2)
    with pytest.raises(StoreError, match="shards"):
        align_pair(a, c)


def test_a_missing_shard_is_rejected(tmp_path):
    rng = np.random.default_rng(0)
    ranges = random_ranges(rng, DOCUMENTS)
    values = rng.normal(size=(1, len(ranges[0]), 4)).astype(np.float32)
    save_stores(tmp_path / "a", values, ranges, len(DOCUMENTS), n_shards=3)
    Path(tmp_path / "a" / "1.json").unlink()
    with pytest.raises(StoreError, match=r"shards \[0, 2\] of 3"):
        open_stores(tmp_path / "a")
