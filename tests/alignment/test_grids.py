"""Cells resampled to another grid, against torch and NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import save_image_stores
from hypothesis import given, settings
from hypothesis import strategies as st
from store_pairs import use_small_chunks
from whole_tiles import correlate_tile

from rosetta.alignment.grids import Cells, Corners, canonical_grid
from rosetta.alignment.stores import align_stores
from rosetta.config.exclusions import Exclusions
from rosetta.correlation.aligned import Side, align_pair
from rosetta.correlation.plan import Tile
from rosetta.correlation.stream import Neurons, Reading, centred_blocks
from rosetta.correlation.sums import ColumnTotals
from rosetta.correlation.view import View
from rosetta.errors import ConfigError

SIDES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def cells(source, target, n_images):
    n = target[0] * target[1]
    sample = np.repeat(np.arange(n_images), n)
    return Cells(sample, np.tile(np.arange(n), n_images), Corners.between(source, target))


def resampled(values, source, target):
    """The definition in NumPy: each new centre between the two old ones beside it, per axis."""

    def weights(n, m):
        found = np.zeros((m, n))
        for i in range(m):
            at = min(max((i + 0.5) * n / m - 0.5, 0.0), n - 1.0)
            low = int(at)
            found[i, low] += 1 - (at - low)
            found[i, min(low + 1, n - 1)] += at - low
        return found

    down, across = (weights(n, m) for n, m in zip(source, target, strict=True))
    maps = values.reshape(-1, *source, values.shape[-1])
    return np.einsum("ih,jw,nhwd->nijd", down, across, maps).reshape(-1, values.shape[-1])


def by_torch(values, source, target):
    maps = torch.from_numpy(values).view(-1, *source, values.shape[-1]).permute(0, 3, 1, 2)
    larger = torch.nn.functional.interpolate(maps, target, mode="bilinear", align_corners=False)
    return larger.permute(0, 2, 3, 1).reshape(-1, values.shape[-1]).numpy()


def pooled(values, positions, dtype=torch.float32, pooling="mean"):
    out = torch.empty((len(positions), values.shape[1]), dtype=dtype)
    positions.pool_into(out, torch.from_numpy(values), slice(0, len(positions)), pooling)
    return out.numpy()


@settings(max_examples=150, deadline=None)
@given(source=SIDES, target=SIDES, seed=st.integers(0, 10**6))
def test_cells_are_those_of_torch_and_of_the_definition(source, target, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(3 * source[0] * source[1], 5))
    found = pooled(values.astype(np.float32), cells(source, target, 3))
    np.testing.assert_allclose(found, by_torch(values, source, target), atol=1e-5)
    exact = pooled(values, cells(source, target, 3), torch.float64)
    np.testing.assert_allclose(exact, resampled(values, source, target), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_same_grid_is_a_copy(dtype):
    values = np.random.default_rng(0).normal(size=(2 * 600, 3)).astype(dtype)
    assert np.array_equal(pooled(values, cells((20, 30), (20, 30), 2)), values.astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(source=SIDES, target=SIDES, value=st.floats(-6e4, 6e4, width=16))
def test_equal_rows_give_their_value_exactly(source, target, value):
    values = np.full((2 * source[0] * source[1], 2), value, np.float16)
    found = pooled(values, cells(source, target, 2))
    assert (found == np.float32(value)).all()


def test_cells_know_only_the_mean():
    with pytest.raises(ConfigError, match=r"alignment\.pooling: max is not defined for images"):
        pooled(np.zeros((4, 1), np.float32), cells((2, 2), (2, 2), 1), pooling="max")


@pytest.mark.parametrize(
    ("a", "b", "larger", "smaller"),
    [
        ((8, 8), (7, 7), (8, 8), (7, 7)),
        ((7, 7), (8, 8), (8, 8), (7, 7)),
        ((8, 6), (6, 9), (6, 9), (8, 6)),  # a whole grid, not the longer side of each axis
        ((4, 9), (6, 6), (4, 9), (4, 9)),  # as many cells: the first model's
        ((6, 6), (4, 9), (6, 6), (6, 6)),
        ((5, 5), (5, 5), (5, 5), (5, 5)),
    ],
)
def test_the_common_grid_is_that_of_one_of_the_models(a, b, larger, smaller):
    assert canonical_grid(a, b, "larger") == larger
    assert canonical_grid(a, b, "smaller") == smaller
    assert canonical_grid(a, b, "anchor") == a


class Chunked:
    """Rows in memory, read like a store, in chunks of a given length."""

    def __init__(self, values, rows):
        self.values, self.rows = torch.from_numpy(values), rows

    def chunks(self, low, high, first_row=0, where=None):
        for start in range(first_row // self.rows * self.rows, len(self.values), self.rows):
            yield start, [(0, self.values[start : start + self.rows, low:high])]


@settings(max_examples=150, deadline=None)
@given(
    source=SIDES,
    target=SIDES,
    shards=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    chunk=st.integers(1, 40),
    block=st.integers(1, 50),
    seed=st.integers(0, 10**6),
)
def test_cells_are_read_whatever_the_shards_chunks_and_blocks(
    source, target, shards, chunk, block, seed
):
    """Also of some positions only, as exclusions leave them."""
    rng = np.random.default_rng(seed)
    per_image = source[0] * source[1]
    values = [rng.normal(size=(n * per_image, 3)) for n in shards]
    positions = [cells(source, target, n) for n in shards]
    kept = [rng.random(len(one)) < 0.8 for one in positions]
    side = Side(
        [Chunked(one, chunk) for one in values],
        [one.some(some) for one, some in zip(positions, kept, strict=True)],
        np.zeros(3),
        np.zeros(3, bool),
    )
    blocks = centred_blocks(
        Neurons(side, 0, 3), Reading("mean", torch.float64, block), ColumnTotals(3)
    )
    found = [one.clone() for one in blocks]
    assert [len(one) for one in found[:-1]] == [block] * (len(found) - 1)
    expected = np.concatenate(
        [resampled(v, source, target)[some] for v, some in zip(values, kept, strict=True)]
    )
    read = torch.cat(found).numpy() if found else np.empty((0, 3))
    np.testing.assert_allclose(read, expected, atol=1e-12)


@pytest.mark.parametrize("n_shards", [1, 3])
@pytest.mark.parametrize("grid", ["larger", "smaller", "anchor"])
def test_correlations_are_those_of_the_resampled_rows(tmp_path, monkeypatch, n_shards, grid):
    use_small_chunks(monkeypatch)
    rng = np.random.default_rng(1)
    grids, n_images = ((4, 6), (5, 5)), 7
    values = [rng.normal(size=(2, n_images, h * w, 4)).astype(np.float32) for h, w in grids]
    values[0][0, :, :, 2] = 0.3  # dead, also once it is resampled
    stores = [
        save_image_stores(tmp_path / name, one, own, n_shards=n_shards, dtype="float16")
        for name, one, own in zip("ab", values, grids, strict=True)
    ]
    target = {"larger": (5, 5), "smaller": (4, 6), "anchor": (4, 6)}[grid]
    a, b = (
        np.concatenate(
            [
                resampled(layer.astype(np.float16).astype(float).reshape(-1, 4), own, target)
                for layer in one
            ],
            axis=1,
        )
        for one, own in zip(values, grids, strict=True)
    )
    pair = align_pair(*stores, View(grid=grid))
    assert pair.n_positions == n_images * target[0] * target[1]
    r, *_ = correlate_tile(pair, Tile(0, 8, 0, 8), "mean", "float64")
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.corrcoef(a.T, b.T)[:8, 8:]
    living = np.arange(8) != 2
    np.testing.assert_allclose(r.numpy()[living], expected[living], atol=1e-9)
    assert np.isneginf(r.numpy()[2]).all()


def test_outlier_cells_are_left_out_with_the_cells_made_of_them(tmp_path):
    rng = np.random.default_rng(2)
    a, b = (rng.normal(size=(1, 6, n, 8)).astype(np.float32) for n in (16, 9))
    b[0, 3, 4] = 100.0  # the middle of a 3 × 3 grid, as a register-like patch
    stores = (
        save_image_stores(tmp_path / "a", a, (4, 4)),
        save_image_stores(tmp_path / "b", b, (3, 3)),
    )
    pair = align_pair(*stores, View(Exclusions(max_norm=5.0)))
    (shard,) = align_stores(*stores)
    weights = resampled(np.eye(9)[None].reshape(-1, 9), (3, 3), (4, 4))
    assert pair.left_out.n_high_norm == (weights[:, 4] > 0).sum() == 4
    assert pair.n_positions == len(shard.a) - 4
    unchanged = align_pair(*stores, View(Exclusions(first_position=True)))
    assert unchanged.n_positions == len(shard.a)
    assert unchanged.left_out.n_first_position == 0, "no cell of an image is its first"
