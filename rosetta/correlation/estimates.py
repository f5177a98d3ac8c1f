"""Estimates of all correlations of a pair from sketches, which are kept on disk and in memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, reduce
from pathlib import Path

import numpy as np
import torch

from rosetta.config import Dask
from rosetta.correlation.aligned import StoredPair
from rosetta.correlation.certificates import Open, estimate_neighbors, open_pairs
from rosetta.correlation.neighbors import PairNeighbors
from rosetta.correlation.plan import PairSize, ScreenPlan, Tile
from rosetta.correlation.schedule import run_tasks
from rosetta.correlation.sketch import Sketch, keep_sketch, load_sketch, sketch_shards
from rosetta.correlation.stream import Neurons


@dataclass(frozen=True)
class ScreenTask:
    """What every task of a screened pair needs to know; small, so that it can be sent to a worker.

    Attributes
    ----------
    pair, pooling, precision, scratch
        As in `rosetta.correlation.tiles.TileTask`.
    n_rows : int
        Rows m of the sketches.
    shards : tuple of (int, int)
        Ranges of either model's shards; those of a range are folded into one sketch.
    held : bool
        Whether the directions of all neurons stay in memory once they are known.
    """

    pair: StoredPair
    pooling: str
    precision: str
    scratch: str
    n_rows: int
    shards: tuple[tuple[int, int], ...]
    held: bool

    @property
    def dtype(self) -> torch.dtype:
        """What sketches are rotated and compared in."""
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32

    def sketch(self, side: str, shards: tuple[int, int], low: int, high: int) -> Path:
        """File of one sketch."""
        named = "-".join(map(str, (side, *shards, low, high)))
        return Path(self.scratch) / f"sketch-{named}.npz"


def sketch_on_disk(
    task: ScreenTask, side: str, shards: tuple[int, int], low: int, high: int
) -> Path:
    """Sketch a range of neurons over a range of shards unless it is on disk; return the file."""

    def make() -> Sketch:
        pair = task.pair.open()
        neurons = Neurons(pair.a if side == "a" else pair.b, low, high)
        return sketch_shards(neurons, range(*shards), task.pooling, task.n_rows, task.dtype)

    return keep_sketch(task.sketch(side, shards, low, high), make)


def directions(task: ScreenTask, side: str, low: int, high: int) -> torch.Tensor:
    """Return the directions of a range of neurons over all shards, shape (m, high − low)."""
    return _held(task, side, low, high) if task.held else _directions(task, side, low, high)


def _directions(task: ScreenTask, side: str, low: int, high: int) -> torch.Tensor:
    parts = (load_sketch(task.sketch(side, shards, low, high)) for shards in task.shards)
    return reduce(Sketch.merge, parts).directions().to(task.dtype)


_held = lru_cache(maxsize=2)(_directions)  # of both sides of the pair that is worked on


def let_go() -> None:
    """Let go of the directions that this process holds."""
    _held.cache_clear()


def estimate_tile(task: ScreenTask, tile: Tile, k: int) -> PairNeighbors:
    """Return the best estimates of a tile's neurons, and which are dead."""
    a, b = (
        directions(task, "a", tile.a_low, tile.a_high),
        directions(task, "b", tile.b_low, tile.b_high),
    )
    dead_a, dead_b = ((side == 0).all(dim=0) for side in (a, b))
    found = estimate_neighbors(a, b, (dead_a, dead_b), k, tile)
    return PairNeighbors(*found, dead_a.numpy(), dead_b.numpy())


def find_open(
    task: ScreenTask, tile: Tile, open_a: Open, open_b: Open, mutual: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the open pairs and heavy neurons of a tile (see `open_pairs`), as flat indices."""
    a, b = (
        directions(task, "a", tile.a_low, tile.a_high),
        directions(task, "b", tile.b_low, tile.b_high),
    )
    u, v, heavy_a, heavy_b = open_pairs(a, b, open_a, open_b, mutual=mutual)
    return u + tile.a_low, v + tile.b_low, heavy_a + tile.a_low, heavy_b + tile.b_low


def make_sketches(task: ScreenTask, plan: ScreenPlan, dask: Dask) -> None:
    """Make the sketches of all shards, a range of neurons at a time."""
    sides = [("a", edge) for edge in plan.edges_a] + [("b", edge) for edge in plan.edges_b]
    tasks = [(task, side, shards, *edge) for side, edge in sides for shards in task.shards]
    run_tasks(sketch_on_disk, tasks, dask, label="sketches")


def best_estimates(
    task: ScreenTask, size: PairSize, plan: ScreenPlan, k: int, dask: Dask
) -> PairNeighbors:
    """Return the k best estimates of all neurons, and which are dead."""
    n_a, n_b, _ = size
    found = run_tasks(
        estimate_tile, [(task, tile, k) for tile in plan.tiles], dask, label="estimates"
    )
    merged = PairNeighbors.empty(n_a, n_b, k)
    for part, tile in zip(found, plan.tiles, strict=True):
        merged = merged.merge(part.placed(n_a, n_b, tile.a_low, tile.b_low))
    return merged
