"""One tile of the correlation matrix: exact Pearson r, reduced to nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from rosetta.alignment.pooling import STRIP
from rosetta.config import Dask
from rosetta.correlation.aligned import AlignedPair, StoredPair
from rosetta.correlation.kept_arrays import kept_arrays, load_arrays
from rosetta.correlation.neighbors import Neighbors, PairNeighbors
from rosetta.correlation.plan import ROWS, Tile
from rosetta.correlation.products import Products
from rosetta.correlation.schedule import run_tasks
from rosetta.correlation.stream import Neurons, Reading, centred_blocks, neurons_of, prefetched
from rosetta.correlation.sums import ColumnSums
from rosetta.correlation.topk import top_k


def correlate_tile(
    pair: AlignedPair, tile: Tile, pooling: str, precision: str
) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Return the exact correlations of all neurons of a tile (see `correlate_neurons`)."""
    return correlate_neurons(*neurons_of(pair, tile), pooling, precision)


def correlate_neurons(
    a: Neurons, b: Neurons, pooling: str, precision: str
) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Return exact Pearson correlations (method, section 3; Dravid 2026, Eq. 2).

    One pass over both sides: threads read, pool and centre the next rows while the present ones are
    multiplied.

    Parameters
    ----------
    a, b : Neurons
        Neurons of either side of a pair.
    pooling, precision : str
        How rows become positions, and what is multiplied.

    Returns
    -------
    r : Tensor of float64, shape (len(a), len(b))
        -inf where one of the neurons is dead.
    dead_a, dead_b : ndarray of bool
        Neurons without variance over the aligned positions.

    Raises
    ------
    StoreError
        If a store is damaged or holds a non-finite value.
    """
    dtype = torch.float64 if precision == "float64" else torch.float32
    kept = torch.bfloat16 if precision == "bfloat16" else dtype
    reading = Reading(pooling, dtype, ROWS, kept)
    sums_a, sums_b = ColumnSums(len(a)), ColumnSums(len(b))
    products = Products(len(a), len(b), precision)
    blocks_a = prefetched(centred_blocks(a, reading, sums_a))
    blocks_b = prefetched(centred_blocks(b, reading, sums_b))
    for block_a, block_b in zip(blocks_a, blocks_b, strict=True):
        products.add(block_a, block_b)
    r, n = products.take(), a.side.n_positions
    of_a, of_b = reduced(sums_a, n), reduced(sums_b, n)
    to_correlations(r, of_a, of_b, n)
    return r, of_a.dead.numpy(), of_b.dead.numpy()


class Columns(NamedTuple):
    """Totals, reciprocal deviations (1 for dead ones) and dead neurons of one side."""

    total: torch.Tensor
    scale: torch.Tensor
    dead: torch.Tensor


def reduced(sums: ColumnSums, n: int) -> Columns:
    """Return what correlations need of the sums over n rows."""
    deviation = sums.deviation(n)
    return Columns(sums.total, torch.where(deviation > 0, 1 / deviation, 1.0), deviation == 0)


def to_correlations(products: torch.Tensor, a: Columns, b: Columns, n: int) -> None:
    """Turn sums of products over n rows into Pearson r in place; -inf for dead neurons."""
    for low in range(0, len(products), STRIP):
        rows = slice(low, low + STRIP)
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


def tile_neighbors(
    pair: AlignedPair, tile: Tile, pooling: str, precision: str, n_kept: int
) -> PairNeighbors:
    """Return a tile's part of the neighbour lists, for its own neurons in their ranges."""
    r, dead_a, dead_b = correlate_tile(pair, tile, pooling, precision)
    return PairNeighbors(
        top_k(r, n_kept, tile.b_low), top_k(r.T, n_kept, tile.a_low), dead_a, dead_b
    )


def correlate_tiles(
    task: TileTask, tiles: Sequence[Tile], n_a: int, n_b: int, dask: Dask
) -> PairNeighbors:
    """Compute tiles of a pair and merge their neighbour lists.

    Finished tiles are kept under `task.scratch` until the caller has saved the result, so that a
    killed job repeats none of them.

    Parameters
    ----------
    task : TileTask
        The pair and how it is computed.
    tiles : sequence of Tile
        Which tiles.
    n_a, n_b : int
        Neurons of either model.
    dask : Dask
        Where the tiles are computed.
    """
    paths = run_tasks(tile_on_disk, [(task, tile) for tile in tiles], dask, label="tiles")
    merged = PairNeighbors.empty(n_a, n_b, task.n_kept)
    for path, tile in zip(paths, tiles, strict=True):
        merged = merged.merge(_load(path).placed(n_a, n_b, tile.a_low, tile.b_low))
    return merged


def tile_on_disk(task: TileTask, tile: Tile) -> Path:
    """Compute one tile unless it is on disk; return the file of its neighbours."""
    path = Path(task.scratch) / f"{'-'.join(map(str, tile))}.npz"

    def make() -> dict[str, np.ndarray]:
        found = tile_neighbors(task.pair.open(), tile, task.pooling, task.precision, task.n_kept)
        return {
            "a_index": found.a.index,
            "a_r": found.a.r,
            "b_index": found.b.index,
            "b_r": found.b.r,
            "dead_a": found.dead_a,
            "dead_b": found.dead_b,
        }

    return kept_arrays(path, make)


def _load(path: Path) -> PairNeighbors:
    saved = load_arrays(path)
    a, b = (Neighbors(saved[f"{side}_index"], saved[f"{side}_r"]) for side in "ab")
    return PairNeighbors(a, b, saved["dead_a"], saved["dead_b"])
