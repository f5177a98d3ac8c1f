"""The seam of alignment: what correlation makes of positions that are no spans of text, against
NumPy in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from helpers import save_stores
from hypothesis import given
from hypothesis import strategies as st
from store_pairs import brute_force_neighbors, use_small_chunks
from whole_tiles import correlate_tile, tile_neighbors

from rosetta.alignment.positions import AlignedPositions, AlignedShard, StoredRows
from rosetta.config.exclusions import Exclusions
from rosetta.correlation.aligned import Side, pair_of
from rosetta.correlation.plan import Tile
from rosetta.correlation.stream import Neurons, Reading, centred_blocks
from rosetta.correlation.sums import ColumnTotals
from rosetta.correlation.view import View
from rosetta.errors import ConfigError

N_IMAGES, GRID, N_UNITS = 24, 6, 8


@dataclass(frozen=True)
class Taps(AlignedPositions):
    """Positions of a grid: each is four rows, (n, 4), with weights, (n, 4), that sum to 1."""

    rows: np.ndarray
    weights: np.ndarray

    @property
    def begin(self):
        return self.rows.min(axis=1)

    @property
    def end(self):
        return self.rows.max(axis=1) + 1

    def some(self, which):
        return Taps(self.sample[which], self.rows[which], self.weights[which])

    def counted_from(self, row):
        return Taps(self.sample, self.rows - row, self.weights)

    def holding(self, marks):
        return marks[self.rows].any(axis=1)

    def pool_into(self, out, values, which, pooling):
        if pooling != "mean":
            raise ConfigError(
                f"alignment.pooling: {pooling} is not defined on a grid. Set it to mean."
            )
        rows, weights = (
            torch.from_numpy(self.rows[which]),
            torch.from_numpy(self.weights[which]).to(out.dtype),
        )
        first = values[rows[:, 0]].to(out.dtype)
        out.copy_(first)
        for tap in (1, 2, 3):
            out += weights[:, tap, None] * (values[rows[:, tap]].to(out.dtype) - first)

    def matrix(self, n_rows):
        """The weights as a matrix (n_positions, n_rows), by the definition."""
        found = np.zeros((len(self), n_rows))
        for tap in range(4):
            np.add.at(found, (np.arange(len(self)), self.rows[:, tap]), self.weights[:, tap])
        return found


def bilinear(height, width, n_special, n_images):
    """Taps of a GRID × GRID grid on images of height × width patches, each after some special
    rows.
    """
    y, x = (np.linspace(0, n - 1, GRID) for n in (height, width))
    top, left = (np.minimum(at.astype(int), n - 2) for at, n in ((y, height), (x, width)))
    down, right = y - top, x - left
    corners = top[:, None] * width + left + n_special
    rows = np.stack([corners, corners + 1, corners + width, corners + width + 1], axis=2).reshape(
        -1, 4
    )
    across = np.stack([1 - right, right], axis=1)
    weights = np.concatenate(
        [(1 - down)[:, None, None] * across, down[:, None, None] * across], axis=2
    ).reshape(-1, 4)
    starts = np.arange(n_images)[:, None, None] * (height * width + n_special)
    sample = np.repeat(np.arange(n_images), GRID * GRID)
    return Taps(sample, (starts + rows).reshape(-1, 4), np.tile(weights, (n_images, 1)))


def images(rng, fields, height, width, n_special, order):
    """Activations of patches and special rows: fields that are linear over every image, and some
    noise.
    """
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    planes = np.stack([np.ones_like(x), y, x]).reshape(3, -1)
    patches = np.einsum("iuc,cp->ipu", fields, planes)[:, :, order]
    values = rng.normal(size=(N_IMAGES, n_special + height * width, N_UNITS), scale=0.1)
    values[:, n_special:] += patches
    values[:, :, 0] = 0.25  # dead, also where four weights are rounded
    return values.reshape(1, -1, N_UNITS).astype(np.float32)


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """Stores of two models of images, their shards aligned, and the pooled rows of all positions in
    float64.
    """
    use_small_chunks(monkeypatch)
    rng = np.random.default_rng(0)
    fields = rng.normal(size=(N_IMAGES, N_UNITS, 3))
    order = np.array([0, *rng.permutation(np.arange(1, N_UNITS))])
    stores, shards, pooled = [], [], []
    for name, shape, units in (("a", (5, 5, 0), np.arange(N_UNITS)), ("b", (4, 7, 1), order)):
        height, width, n_special = shape
        per_image = height * width + n_special
        start = np.tile(np.maximum(np.arange(per_image) - n_special, 0), N_IMAGES).astype(np.int32)
        special = np.tile(np.arange(per_image) < n_special, N_IMAGES)
        owner = np.repeat(np.arange(N_IMAGES, dtype=np.int32), per_image)
        ranges = (
            np.arange(len(start), dtype=np.int32),
            start,
            (start + ~special).astype(np.int32),
            owner,
        )
        values = images(rng, fields, *shape, units)
        stores.append(save_stores(tmp_path / name, values, ranges, N_IMAGES, n_shards=2))
        shards.append([bilinear(*shape, N_IMAGES // 2) for _ in range(2)])
        pooled.append(bilinear(*shape, N_IMAGES).matrix(len(start)) @ values[0].astype(np.float64))
    aligned = [
        AlignedShard(
            a,
            b,
            *(StoredRows(s.read("document_index"), s.positions().counted) for s in pair),
            pair[0].read("document_ids"),
        )
        for a, b, pair in zip(*shards, zip(*stores, strict=True), strict=True)
    ]
    return (*stores, aligned), pooled, order


def correlations(a, b):
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.corrcoef(a.T, b.T)[:N_UNITS, N_UNITS:]
    r[0], r[:, 0] = -np.inf, -np.inf
    return r


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_planted_neighbours_are_found_on_a_grid(pair, precision):
    parts, pooled, order = pair
    found = tile_neighbors(pair_of(*parts), Tile(0, N_UNITS, 0, N_UNITS), "mean", precision, 2)
    r = correlations(*pooled)
    assert found.a.index[1:, 0].tolist() == np.argsort(order)[1:].tolist()
    assert found.a.index.tolist()[1:] == brute_force_neighbors(r, 2)[1:]
    assert found.b.index.tolist()[1:] == brute_force_neighbors(r.T, 2)[1:]
    assert found.dead_a.tolist() == found.dead_b.tolist() == [True] + [False] * (N_UNITS - 1)
    expected = np.take_along_axis(r, found.a.index, axis=1)[1:]
    np.testing.assert_allclose(
        found.a.r[1:], expected, atol=1e-9 if precision == "float64" else 1e-5
    )
    assert (expected[:, 0] > 0.9).all()


@pytest.mark.parametrize(
    ("view", "kept"),
    [
        (View(first=7), lambda image, cell: image < 7),
        # Of both grids, only the corner's four taps have the first patch among them.
        (
            View(Exclusions(first_position=True)),
            lambda image, cell: ~np.isin(cell, [0, 1, GRID, GRID + 1]),
        ),
    ],
)
def test_views_are_of_samples_and_rows_of_any_modality(pair, view, kept):
    parts, pooled, _ = pair
    cells = np.arange(N_IMAGES * GRID * GRID)
    seen = kept(cells // GRID**2, cells % GRID**2)
    aligned = pair_of(*parts, view)
    r, *_ = correlate_tile(aligned, Tile(0, N_UNITS, 0, N_UNITS), "mean", "float64")
    assert aligned.n_positions == seen.sum()
    np.testing.assert_allclose(r.numpy(), correlations(*(side[seen] for side in pooled)), atol=1e-9)


def test_rows_without_content_belong_to_no_position(pair):
    assert pair_of(*pair[0]).left_out.n_special == N_IMAGES


def test_a_pooling_that_a_modality_does_not_know_is_rejected(pair):
    with pytest.raises(ConfigError, match=r"alignment\.pooling: max"):
        correlate_tile(pair_of(*pair[0]), Tile(0, N_UNITS, 0, N_UNITS), "max", "float64")


class Chunked:
    """Rows in memory, read like a store, in chunks of a given length."""

    def __init__(self, values, rows):
        self.values, self.rows = torch.from_numpy(values), rows

    def chunks(self, low, high, first_row=0, where=None):
        for start in range(first_row // self.rows * self.rows, len(self.values), self.rows):
            yield start, [(0, self.values[start : start + self.rows, low:high])]


@given(
    seed=st.integers(0, 10**6),
    n_rows=st.integers(1, 40),
    n_positions=st.integers(0, 40),
    reach=st.integers(1, 40),
    chunk=st.integers(1, 45),
    block=st.integers(1, 12),
)
def test_any_taps_are_pooled_whatever_the_chunks(seed, n_rows, n_positions, reach, chunk, block):
    """Also positions that overlap, that need rows far apart, and that follow ones which need later
    rows.
    """
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_rows, 3))
    middle = np.sort(rng.integers(0, n_rows, n_positions))
    rows = np.clip(
        middle[:, None] + rng.integers(-reach, reach + 1, (n_positions, 4)), 0, n_rows - 1
    )
    weights = rng.random((n_positions, 4)) + 0.1
    taps = Taps(np.zeros(n_positions, int), rows, weights / weights.sum(axis=1, keepdims=True))
    side = Side([Chunked(values, chunk)], [taps], np.zeros(3), np.zeros(3, bool))
    blocks = centred_blocks(
        Neurons(side, 0, 3), Reading("mean", torch.float64, block), ColumnTotals(3)
    )
    found = [one.clone() for one in blocks]
    assert [len(one) for one in found[:-1]] == [block] * (len(found) - 1)
    pooled = torch.cat(found).numpy() if found else np.empty((0, 3))
    np.testing.assert_allclose(pooled, taps.matrix(n_rows) @ values, atol=1e-12)
