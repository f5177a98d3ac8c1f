"""Passes over a pair: orders of its positions that share one, and passes that are interrupted."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from store_pairs import make_pair, use_small_chunks
from whole_tiles import all_r

import rosetta.correlation.checkpoints
import rosetta.correlation.exchange
import rosetta.correlation.permutation
import rosetta.correlation.tiles
from rosetta.config import Correlation, Dask
from rosetta.correlation.aligned import align_pair
from rosetta.correlation.checkpoints import Checkpoint
from rosetta.correlation.neighbor_tables import read_lists, write_lists
from rosetta.correlation.pairs import correlate_orders, correlate_pair
from rosetta.correlation.plan import Budget, PairSize, Tile, n_passes, plan_orders, plan_tiles
from rosetta.correlation.request import CorrelationRequest
from rosetta.correlation.stream import Neurons, Reading, centred_blocks, neurons_of
from rosetta.correlation.sums import ColumnSums
from rosetta.correlation.tiles import correlate_neurons
from rosetta.correlation.view import View
from rosetta.errors import DiskFullError, PlanError, StoreError

ORDERS = (None, 3, 4)
WHOLE = Tile(0, 18, 0, 18)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("stores"), 1, (2, 9), (3, 6), 2, "float32")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Stores of more documents, so that many are left when these are exchanged."""
    lengths = [40, 120, 33, 160, 5, 51, 128, 44, 138, 60, 225, 47, 130, 19]
    folder = tmp_path_factory.mktemp("many")
    return make_pair(folder, 1, (2, 9), (3, 6), 2, "float32", documents=lengths)


@pytest.fixture
def small(monkeypatch):
    """Blocks of 1 position, windows of 2 blocks, a checkpoint wherever there may be one, and
    samples exchanged in groups of 2.
    """
    use_small_chunks(monkeypatch)
    monkeypatch.setattr(rosetta.correlation.exchange, "SMALLEST_GROUP", 2)
    monkeypatch.setattr(rosetta.correlation.exchange, "WINDOW", 1)
    monkeypatch.setattr(rosetta.correlation.tiles, "ROWS", 1)
    monkeypatch.setattr(rosetta.correlation.permutation, "WINDOW", 2)
    monkeypatch.setattr(rosetta.correlation.tiles, "WINDOWS_AT_ONCE", 2)
    monkeypatch.setattr(rosetta.correlation.checkpoints, "SECONDS", 0)


def correlations(stores, seeds, checkpoint=None):
    pair = align_pair(*stores, View(permute_seeds=seeds))
    found = correlate_neurons(*neurons_of(pair, WHOLE), "mean", "float32", checkpoint)
    return [all_r(one) for one in found]


def test_orders_that_share_a_pass_are_as_alone(stores, small):
    together = correlations(stores, ORDERS)
    for order, r in zip(ORDERS, together, strict=True):
        (alone,) = correlations(stores, (order,))
        assert torch.equal(r, alone)
    assert not torch.equal(together[1], together[2])


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    "view",
    [View(), View(permute_seeds=ORDERS), View(exchange_seed=3)],
    ids=["in order", "permuted", "exchanged"],
)
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_killed_pass_goes_on_from_its_checkpoint(
    many, small, tmp_path, monkeypatch, view, rows, precision
):
    """However often it is killed, to the same last bit, and with little of it done again."""
    monkeypatch.setattr(rosetta.correlation.tiles, "ROWS", rows)
    pair, seeds = align_pair(*many, view), view.permute_seeds
    neurons = neurons_of(pair, WHOLE)
    undisturbed = correlate_neurons(*neurons, "mean", precision)
    rng, killed, added = np.random.default_rng(0), 0, 0
    original = rosetta.correlation.tiles.Products.add

    def add(self, a, b):
        nonlocal added
        if rng.random() < 0.2 and killed < 8:
            raise Killed
        added += 1
        original(self, a, b)

    monkeypatch.setattr(rosetta.correlation.tiles.Products, "add", add)
    while True:
        checkpoint = Checkpoint(tmp_path / "partial.npz")
        try:
            found = correlate_neurons(*neurons, "mean", precision, checkpoint)
            break
        except Killed:
            killed += 1
    n_blocks = -(-pair.n_positions // rows)
    assert killed >= 5
    assert n_blocks > 16
    # A kill costs at most the blocks between two pauses: two windows of two blocks each.
    assert added <= (n_blocks + killed * 4) * len(seeds)
    for r, expected in zip(found, undisturbed, strict=True):
        assert torch.equal(all_r(r), all_r(expected))


def test_saving_takes_a_small_share_of_the_time(stores, small, tmp_path, monkeypatch):
    """By a clock on which every block takes a second and every checkpoint two: the next one is due
    40 s after one ended, at 5%.
    """
    clock, saved = [0.0], []
    add = rosetta.correlation.tiles.Products.add

    def second_by_second(self, a, b):
        clock[0] += 1
        add(self, a, b)

    def slowly(*_):
        saved.append(clock[0])
        clock[0] += 2

    monkeypatch.setattr(rosetta.correlation.tiles.Products, "add", second_by_second)
    monkeypatch.setattr(rosetta.correlation.checkpoints, "save_arrays", slowly)
    monkeypatch.setattr(rosetta.correlation.checkpoints.time, "monotonic", lambda: clock[0])
    for seconds, times in ((0, 1), (5, 1), (10**6, 0)):
        monkeypatch.setattr(rosetta.correlation.checkpoints, "SECONDS", seconds)
        saved.clear()
        correlations(stores, (None,), Checkpoint(tmp_path / "partial.npz"))
        assert len(saved) == times
    monkeypatch.setattr(rosetta.correlation.checkpoints, "SECONDS", 0)
    monkeypatch.setattr(rosetta.correlation.checkpoints, "SHARE", 0.5)
    saved.clear()
    correlations(stores, (None,), Checkpoint(tmp_path / "partial.npz"))
    assert len(saved) > 1
    assert np.diff(saved).min() >= 2 + 2 / 0.5


def test_a_damaged_checkpoint_is_not_used(stores, small, tmp_path, capsys):
    path = tmp_path / "partial.npz"
    (whole,) = correlations(stores, (None,), Checkpoint(path))
    path.write_bytes(path.read_bytes()[:-9])
    (again,) = correlations(stores, (None,), Checkpoint(path))
    assert torch.equal(whole, again)
    assert "partial.npz: damaged; beginning again" in capsys.readouterr().err


def test_a_full_disk_costs_the_checkpoint_only(stores, small, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise DiskFullError("no room")

    monkeypatch.setattr(rosetta.correlation.checkpoints, "save_arrays", full)
    (found,) = correlations(stores, (None,), Checkpoint(tmp_path / "partial.npz"))
    assert torch.equal(found, correlations(stores, (None,))[0])
    assert "no checkpoint of this pass: no room" in capsys.readouterr().err


@settings(max_examples=15, deadline=None)
@given(
    rows=st.integers(1, 9),
    block=st.integers(0, 60),
    low=st.integers(0, 17),
    width=st.integers(1, 18),
)
def test_positions_are_read_from_any_block_on(stores, rows, block, low, width):
    neurons = Neurons(align_pair(*stores).a, low, min(low + width, 18))
    reading = Reading("mean", torch.float32, rows)

    def read(first):
        blocks = centred_blocks(neurons, reading, ColumnSums(len(neurons)), first)
        return torch.cat([torch.empty(0, len(neurons)), *(block.clone() for block in blocks)])

    first = min(block * rows, neurons.side.n_positions // rows * rows)
    assert torch.equal(read(first), read(0)[first:])


@given(
    n_a=st.integers(64, 5000),
    n_b=st.integers(64, 5000),
    memory_gb=st.floats(0.7, 4),
    n_orders=st.integers(1, 7),
)
def test_orders_are_planned_for_the_fewest_passes_within_memory(n_a, n_b, memory_gb, n_orders):
    size, budget = PairSize(n_a, n_b, 1000), Budget(memory_gb)
    plan, at_once = plan_orders(size, budget, n_orders)
    assert plan.peak_bytes <= memory_gb * 1e9
    assert plan == plan_tiles(size, budget, n_orders=at_once)
    ways = [
        n_passes(plan_tiles(size, budget, n_orders=n), n, n_orders)
        for n in range(1, n_orders + 1)
        if n == 1 or n <= at_once
    ]
    assert n_passes(plan, at_once, n_orders) == min(ways)
    assert n_passes(plan, at_once, n_orders) <= n_orders * len(plan_tiles(size, budget).tiles)


@pytest.mark.parametrize("largest", [100, 30])
def test_a_tile_that_a_gpu_does_not_hold_is_computed_in_parts(stores, monkeypatch, capsys, largest):
    folders = [store[0].path.parent for store in stores]
    request = CorrelationRequest(
        *folders, "mean", Correlation(max_k=2, precision="float32"), Dask()
    )
    view = View(permute_seeds=ORDERS)
    whole = correlate_orders(request, view=view)
    original = rosetta.correlation.tiles.correlate_neurons

    def small_gpu(a, b, *arguments):
        if len(a) * len(b) > largest:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(a, b, *arguments)

    monkeypatch.setattr(rosetta.correlation.tiles, "correlate_neurons", small_gpu)
    for found, expected in zip(correlate_orders(request, view=view), whole, strict=True):
        for side in "ab":
            one, other = getattr(found.neighbors, side), getattr(expected.neighbors, side)
            assert np.array_equal(one.index, other.index)
            np.testing.assert_allclose(one.r, other.r, atol=1e-6)
        assert np.array_equal(found.neighbors.dead_a, expected.neighbors.dead_a)
    assert "18 × 18 neurons do not fit the GPU; working on half of them" in capsys.readouterr().err


def test_a_gpu_without_any_room_is_told(stores, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(rosetta.correlation.tiles, "correlate_neurons", full)
    folders = [store[0].path.parent for store in stores]
    request = CorrelationRequest(*folders, "mean", Correlation(max_k=2), Dask())
    with pytest.raises(PlanError, match="the GPU holds no tile"):
        correlate_pair(request)


def test_lists_of_permuted_positions_lie_beside_those_of_the_pair(tmp_path, stores):
    settings_ = Correlation(max_k=2, precision="float32")
    folders = (store[0].path.parent for store in stores)
    request = CorrelationRequest(*folders, "mean", settings_, Dask())
    main, *permuted = correlate_orders(request, view=View(permute_seeds=ORDERS))
    seeds = ORDERS[1:]
    write_lists(tmp_path / "n.parquet", main, dict(zip(seeds, permuted, strict=True)))
    for seed in ORDERS:
        alone = correlate_pair(request, view=View(permute_seeds=(seed,)))
        found, facts = read_lists([tmp_path / "n.parquet"], seed)
        assert replace(facts, permute_seeds=()) == alone.facts
        for side in "ab":
            one, other = getattr(found, side), getattr(alone.neighbors, side)
            assert np.array_equal(one.index, other.index)
            assert np.array_equal(one.r, other.r, equal_nan=True)
    with pytest.raises(StoreError, match="permuted with the seed 9"):
        read_lists([tmp_path / "n.parquet"], 9)
