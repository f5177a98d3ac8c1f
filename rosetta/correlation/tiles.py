"""One tile of the correlation matrix: exact Pearson r, reduced to nearest neighbours."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from rosetta.alignment.pooling import strip_rows
from rosetta.config import Dask
from rosetta.correlation.aligned import AlignedPair, StoredPair
from rosetta.correlation.checkpoints import WINDOWS_AT_ONCE, Checkpoint, Summed
from rosetta.correlation.kept_arrays import kept_arrays, load_arrays
from rosetta.correlation.neighbors import Neighbors, PairNeighbors
from rosetta.correlation.permutation import window_edges
from rosetta.correlation.plan import ROWS, Tile
from rosetta.correlation.products import Products, product_device
from rosetta.correlation.schedule import run_tasks
from rosetta.correlation.stream import Neurons, Reading, centred_blocks, neurons_of, prefetched
from rosetta.correlation.sums import ColumnSums
from rosetta.correlation.topk import NearestBothWays, strip_ranges
from rosetta.errors import PlanError
from rosetta.progress import say


class Columns(NamedTuple):
    """Totals, reciprocal deviations (1 for dead ones) and dead neurons of one side."""

    total: torch.Tensor
    scale: torch.Tensor
    dead: torch.Tensor

    def of(self, neurons: slice) -> Columns:
        """Return those of some neurons."""
        return Columns(self.total[neurons], self.scale[neurons], self.dead[neurons])


@dataclass(frozen=True)
class Correlations:
    """Exact correlations of the neurons of a tile, made from their sums strip by strip: the matrix
    of r itself takes no memory.

    Attributes
    ----------
    products : Products
        Sums over the positions.
    a, b : Columns
        Of either side.
    n_positions : int
        Over how many positions.
    """

    products: Products
    a: Columns
    b: Columns
    n_positions: int

    def strips(self, ranges: Iterable[slice]) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield ranges of A's neurons and their r with all of B's, float64 of shape (rows, n_b);
        -inf where one of the neurons is dead.
        """
        for rows in ranges:
            r = self.products.sums(rows)
            to_correlations(r, self.a.of(rows), self.b, self.n_positions)
            yield rows, r

    def nearest(self, k: int, a_low: int = 0, b_low: int = 0) -> PairNeighbors:
        """Return the k nearest neighbours of all neurons of either side (see `NearestBothWays`)."""
        n_a, n_b = self.products.shape
        found = NearestBothWays(n_a, n_b, k, a_low, b_low)
        for rows, r in self.strips(strip_ranges(n_a, n_b, self.products.device)):
            found.add(rows.start, r)
        dead_a, dead_b = (side.dead.cpu().numpy() for side in (self.a, self.b))
        return PairNeighbors(found.of_a, found.of_b, dead_a, dead_b)


def correlate_neurons(
    a: Neurons, b: Neurons, pooling: str, precision: str, checkpoint: Checkpoint | None = None
) -> list[Correlations]:
    """Return exact Pearson correlations (method, section 3; Dravid 2026, Eq. 2).

    One pass over both sides, for all orders of B's positions: threads read, pool and centre the
    next rows while the present ones are multiplied.

    Parameters
    ----------
    a, b : Neurons
        Neurons of either side of a pair.
    pooling, precision : str
        How rows become positions, and what is multiplied.
    checkpoint : Checkpoint, optional
        Where sums are saved meanwhile. What a killed pass left there is gone on with, to the same
        last bit.

    Returns
    -------
    found : list of Correlations
        Per order of the positions (`Side.permute_seeds`), where they were multiplied.

    Raises
    ------
    StoreError
        If a store is damaged or holds a non-finite value.
    """
    n = a.side.n_positions
    dtype = torch.float64 if precision == "float64" else torch.float32
    kept = torch.bfloat16 if precision == "bfloat16" else dtype
    where = product_device(precision)
    reading = Reading(pooling, dtype, ROWS, kept, where)
    sums_a, sums_b = ColumnSums(len(a), where), ColumnSums(len(b), where)
    products = [Products(len(a), len(b), precision) for _ in b.side.permute_seeds]
    _Pass(a, b, reading, sums_a, sums_b, products).run(checkpoint)
    of_a, of_b = reduced(sums_a, n), reduced(sums_b, n)
    return [Correlations(one, of_a, of_b, n) for one in products]


@dataclass(frozen=True)
class _Pass:
    """One pass over the positions of a pair, and what it sums."""

    a: Neurons
    b: Neurons
    reading: Reading
    sums_a: ColumnSums
    sums_b: ColumnSums
    products: list[Products]

    def run(self, checkpoint: Checkpoint | None) -> None:
        """Read both sides once and add all rows up, with what a checkpoint holds of them."""
        names = [f"products-{i}" for i in range(len(self.products))]
        sums: dict[str, Summed] = {"a": self.sums_a, "b": self.sums_b}
        sums |= dict(zip(names, self.products, strict=True))
        first = checkpoint.restore(sums) if checkpoint else 0
        pauses = self._pauses() if checkpoint else []
        blocks_a = self._blocks(self.a, self.sums_a, first, pauses, times=1)
        blocks_b = self._blocks(self.b, self.sums_b, first, pauses, times=len(self.products))
        done = first
        for block_a in blocks_a:
            for product in self.products:
                product.add(block_a, next(blocks_b))
            done += len(block_a)
            if checkpoint and done in pauses:
                checkpoint.save_if_due(done, sums)
        if next(blocks_b, None) is not None:
            raise AssertionError("the sides of a pair have as many positions")

    def _pauses(self) -> list[int]:
        """Return positions before which nothing is under way: edges of windows, far apart. Samples
        that wait there to be exchanged are read again.
        """
        return window_edges(self.a.side.n_positions, self.reading.rows)[::WINDOWS_AT_ONCE][1:]

    def _blocks(
        self, neurons: Neurons, sums: ColumnSums, first: int, pauses: list[int], times: int
    ) -> Iterator[torch.Tensor]:
        """Return the blocks of a side, each `times` times, made ahead but for pauses."""
        rows = self.reading.rows
        before = {-(-(pause - first) // rows) * times for pause in pauses if pause > first}
        blocks = centred_blocks(neurons, self.reading, sums, first)
        return prefetched(blocks, before, neurons.n_threads)


def reduced(sums: ColumnSums, n: int) -> Columns:
    """Return what correlations need of the sums over n rows."""
    deviation = sums.deviation(n)
    return Columns(sums.total, torch.where(deviation > 0, 1 / deviation, 1.0), deviation == 0)


def to_correlations(products: torch.Tensor, a: Columns, b: Columns, n: int) -> None:
    """Turn sums of products over n rows into Pearson r in place; -inf for dead neurons."""
    at_once = strip_rows(products.device)
    for low in range(0, len(products), at_once):
        rows = slice(low, low + at_once)
        products[rows].addr_(a.total[rows], b.total, alpha=-1.0 / n).mul_(a.scale[rows, None]).mul_(
            b.scale
        )
        products[rows].clamp_(-1.0, 1.0)  # rounding may leave 1 + 1e-7
    products[a.dead] = -torch.inf
    products[:, b.dead] = -torch.inf


@dataclass(frozen=True)
class TileTask:
    """What every tile of a pair needs to know; small, so that it can be sent to a worker.

    Attributes
    ----------
    pair : StoredPair
        The stores and what of them is looked at.
    pooling, precision : str
        How rows become positions, and what is multiplied.
    n_kept : int
        Neighbours to keep per neuron.
    scratch : str
        Folder of finished tiles.
    """

    pair: StoredPair
    pooling: str
    precision: str
    n_kept: int
    scratch: str


Work = tuple[Tile, tuple[int | None, ...]]  # a tile, and orders of B's positions


def correlate_tiles(
    task: TileTask, work: Sequence[Work], n_a: int, n_b: int, dask: Dask
) -> dict[int | None, PairNeighbors]:
    """Compute tiles of a pair and merge their neighbour lists, per order of B's positions.

    Finished tiles are kept under `task.scratch` until the caller has saved the result, so that a
    killed job repeats none of them.

    Parameters
    ----------
    task : TileTask
        The pair and how it is computed.
    work : sequence of (Tile, tuple of int or None)
        Which tiles, each in which orders of the positions.
    n_a, n_b : int
        Neurons of either model.
    dask : Dask
        Where the tiles are computed.
    """
    paths = run_tasks(tile_on_disk, [(task, *part) for part in work], dask, label="tiles")
    merged: dict[int | None, PairNeighbors] = {}
    for path, (tile, seeds) in zip(paths, work, strict=True):
        saved = load_arrays(path)
        for number, seed in enumerate(seeds):
            so_far = merged.get(seed, PairNeighbors.empty(n_a, n_b, task.n_kept))
            mine = _parse(saved, number).placed(n_a, n_b, tile.a_low, tile.b_low)
            merged[seed] = so_far.merge(mine)
    return merged


def tile_on_disk(task: TileTask, tile: Tile, seeds: tuple[int | None, ...]) -> Path:
    """Compute one tile in some orders unless it is on disk; return the file of its neighbours."""
    path = Path(task.scratch) / f"{'-'.join(map(str, (*tile, *seeds)))}.npz"
    partial = path.with_suffix("")  # checkpoints of this tile, or of parts of it

    def make() -> dict[str, np.ndarray]:
        pair = task.pair.open()
        pair = replace(pair, b=replace(pair.b, permute_seeds=seeds))
        found = _tile_in_orders(task, pair, tile, partial)
        arrays = {"dead_a": found[0].dead_a, "dead_b": found[0].dead_b}
        for number, one in enumerate(found):
            arrays |= _arrays(one, number)
        return arrays

    kept_arrays(path, make)
    shutil.rmtree(partial, ignore_errors=True)
    return path


def _tile_in_orders(
    task: TileTask, pair: AlignedPair, tile: Tile, partial: Path
) -> list[PairNeighbors]:
    """Return a tile's part of the neighbour lists, per order of B's positions.

    A tile that a GPU turns out not to hold is computed in two parts, and these in parts.
    """
    try:
        return _correlated(task, pair, tile, partial)
    except torch.OutOfMemoryError as error:
        if max(tile.size) == 1:
            raise PlanError(f"correlation.memory_gb: the GPU holds no tile ({error}).") from None
    gc.collect()  # the error and its traceback hold all that was there when it was raised
    torch.cuda.empty_cache()
    say(f"{tile.size[0]} × {tile.size[1]} neurons do not fit the GPU; working on half of them")
    halves = []
    for part in tile.halves():
        where = part.a_low - tile.a_low, part.b_low - tile.b_low
        lists = _tile_in_orders(task, pair, part, partial)
        halves.append([one.placed(*tile.size, *where) for one in lists])
    return [one.merge(other) for one, other in zip(*halves, strict=True)]


def _correlated(
    task: TileTask, pair: AlignedPair, tile: Tile, partial: Path
) -> list[PairNeighbors]:
    checkpoint = Checkpoint(partial / f"sums-{'-'.join(map(str, tile))}.npz")
    a, b = neurons_of(pair, tile)
    found = correlate_neurons(a, b, task.pooling, task.precision, checkpoint)
    return [one.nearest(task.n_kept, tile.a_low, tile.b_low) for one in found]


def _arrays(found: PairNeighbors, number: int) -> dict[str, np.ndarray]:
    return {
        f"{number}.{side}.{name}": value
        for side, lists in (("a", found.a), ("b", found.b))
        for name, value in (("index", lists.index), ("r", lists.r))
    }


def _parse(saved: dict[str, np.ndarray], number: int) -> PairNeighbors:
    a, b = (
        Neighbors(saved[f"{number}.{side}.index"], saved[f"{number}.{side}.r"]) for side in "ab"
    )
    return PairNeighbors(a, b, saved["dead_a"], saved["dead_b"])
