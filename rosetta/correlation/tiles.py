"""One tile of the correlation matrix: exact Pearson correlations, reduced at once to nearest neighbours."""

from __future__ import annotations

from pathlib import Path

import dask
import numpy as np
import torch
from dask.callbacks import Callback

from rosetta.config import Correlation
from rosetta.correlation.neighbors import PairNeighbors
from rosetta.correlation.plan import ROWS, Tile, plan_tiles
from rosetta.correlation.stream import AlignedPair, Side, standardised_blocks
from rosetta.correlation.topk import top_k
from rosetta.errors import StoreError
from rosetta.files import remove_leftovers, replacing
from rosetta.progress import bar, say

FLUSH_ROWS = 1024
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


class _SideSums:
    """Sums of one side of a tile, in float64."""

    def __init__(self, width: int) -> None:
        self.total = torch.zeros(width, dtype=torch.float64)
        self.squares = torch.zeros(width, dtype=torch.float64)
        self.low = torch.full((width,), torch.inf, dtype=torch.float64)
        self.high = torch.full((width,), -torch.inf, dtype=torch.float64)

    def add(self, block: torch.Tensor) -> None:
        """Add a block of rows."""
        self.total += block.sum(dim=0, dtype=torch.float64)
        self.squares += torch.einsum("ij,ij->j", block, block).double()
        low, high = torch.aminmax(block, dim=0)
        self.low = torch.minimum(self.low, low.double())
        self.high = torch.maximum(self.high, high.double())

    def deviation(self, n: int) -> torch.Tensor:
        """Return √Σ(x − x̄)²; zero exactly for neurons that never change."""
        centred = (self.squares - self.total.square() / n).clamp_min(0).sqrt()
        return torch.where(self.low == self.high, 0.0, centred)


def correlate_tile(
    pair: AlignedPair, tile: Tile, pooling: str, precision: str
) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Return the exact Pearson correlations of a tile (method, section 3; Dravid 2026, Eq. 2).

    Products are summed in `precision` over runs of `ROWS` positions and flushed into float64.

    Returns
    -------
    r : Tensor of float64, shape (a_high − a_low, b_high − b_low)
        -inf where one of the neurons is dead.
    dead_a, dead_b : ndarray of bool
        Neurons without variance over the aligned positions.

    Raises
    ------
    StoreError
        If a store holds a non-finite value.
    """
    dtype = _DTYPES[precision]
    sums_a, sums_b = _SideSums(tile.a_high - tile.a_low), _SideSums(tile.b_high - tile.b_low)
    products = torch.zeros((tile.a_high - tile.a_low, tile.b_high - tile.b_low), dtype=torch.float64)
    blocks_a = standardised_blocks(pair.a, tile.a_low, tile.a_high, pooling, ROWS, dtype)
    blocks_b = standardised_blocks(pair.b, tile.b_low, tile.b_high, pooling, ROWS, dtype)
    for block_a, block_b in zip(blocks_a, blocks_b, strict=True):
        sums_a.add(block_a)
        sums_b.add(block_b)
        for low in range(0, len(products), FLUSH_ROWS):  # in strips: adding float32 to float64 makes a copy
            products[low : low + FLUSH_ROWS] += block_a[:, low : low + FLUSH_ROWS].T @ block_b
    _check_finite(sums_a, pair.a, tile.a_low)
    _check_finite(sums_b, pair.b, tile.b_low)
    n = pair.n_positions
    deviation_a, deviation_b = sums_a.deviation(n), sums_b.deviation(n)
    products.addr_(sums_a.total, sums_b.total, alpha=-1.0 / n)
    dead_a, dead_b = deviation_a == 0, deviation_b == 0
    products.div_(torch.where(dead_a, 1.0, deviation_a)[:, None]).div_(torch.where(dead_b, 1.0, deviation_b))
    products.clamp_(-1.0, 1.0)  # rounding may leave 1 + 1e-7
    products[dead_a] = -torch.inf
    products[:, dead_b] = -torch.inf
    return products, dead_a.numpy(), dead_b.numpy()


def tile_neighbors(pair: AlignedPair, tile: Tile, pooling: str, settings: Correlation) -> PairNeighbors:
    """Return a tile's contribution to the neighbour lists (those of its own neurons, in their own ranges)."""
    r, dead_a, dead_b = correlate_tile(pair, tile, pooling, settings.precision)
    kept = settings.max_k + 1  # one more than the largest k, so that every match has a margin
    return PairNeighbors(top_k(r, kept, tile.b_low), top_k(r.T, kept, tile.a_low), dead_a, dead_b)


def correlate_pair(pair: AlignedPair, pooling: str, settings: Correlation, *, job: int, scratch: Path) -> PairNeighbors:
    """Compute one job's share of a pair's tiles and merge their neighbour lists.

    Finished tiles are kept under `scratch` until the caller has saved the result, so that a killed job
    repeats none of them.

    Parameters
    ----------
    pair : AlignedPair
        The aligned stores.
    pooling : str
        Pooling of tokens to spans.
    settings : Correlation
        Memory budget, neighbours to keep, precision, number of jobs.
    job : int
        This job's number; it takes every `n_jobs`-th tile.
    scratch : Path
        Folder for finished tiles, private to this computation.
    """
    plan = plan_tiles(pair.a.n_neurons, pair.b.n_neurons, settings.memory_gb, settings.n_workers)
    mine = plan.tiles[job :: settings.n_jobs]
    say(
        f"{pair.n_positions} aligned positions, {pair.a.n_neurons} × {pair.b.n_neurons} neurons, {len(mine)} of "
        f"{len(plan.tiles)} tiles, about {plan.peak_bytes / 1e9:.1f} GB, {settings.precision} products"
    )
    tasks = [dask.delayed(_tile_on_disk)(pair, tile, pooling, settings, scratch) for tile in mine]
    with _TileBar(len(mine)):
        paths = dask.compute(*tasks, scheduler="threads", num_workers=settings.n_workers)
    merged = PairNeighbors.empty(pair.a.n_neurons, pair.b.n_neurons, settings.max_k + 1)
    for path, tile in zip(paths, mine, strict=True):
        merged = merged.merge(_expand(path, tile, merged))
    return merged


class _TileBar(Callback):
    """Shows a Dask computation's finished tiles."""

    def __init__(self, total: int) -> None:
        super().__init__(posttask=self._finished)
        self._bar = bar(total=total, label="tiles", unit="tile")

    def _finished(self, _key: object, result: object, *_: object) -> None:
        if isinstance(result, Path):
            self._bar.update()

    def __exit__(self, *args: object) -> None:
        self._bar.close()
        super().__exit__(*args)


def _tile_on_disk(pair: AlignedPair, tile: Tile, pooling: str, settings: Correlation, scratch: Path) -> Path:
    path = scratch / f"{'-'.join(map(str, tile))}.npz"
    remove_leftovers(path)
    if not path.exists():
        found = tile_neighbors(pair, tile, pooling, settings)
        with replacing(path) as temporary, open(temporary, "wb") as stream:
            np.savez(
                stream,
                a_index=found.a.index, a_r=found.a.r, b_index=found.b.index, b_r=found.b.r,
                dead_a=found.dead_a, dead_b=found.dead_b,
            )  # fmt: skip
    return path


def _expand(path: Path, tile: Tile, like: PairNeighbors) -> PairNeighbors:
    """Return a saved tile's lists as lists of all neurons of the pair."""
    result = PairNeighbors.empty(len(like.dead_a), len(like.dead_b), like.a.index.shape[1])
    with np.load(path, allow_pickle=False) as saved:
        for side, low, high, neighbors, dead in (
            ("a", tile.a_low, tile.a_high, result.a, result.dead_a),
            ("b", tile.b_low, tile.b_high, result.b, result.dead_b),
        ):
            neighbors.index[low:high] = saved[f"{side}_index"]
            neighbors.r[low:high] = saved[f"{side}_r"]
            dead[low:high] = saved[f"dead_{side}"]
    return result


def _check_finite(sums: _SideSums, side: Side, low: int) -> None:
    bad = torch.nonzero(~torch.isfinite(sums.squares))
    if len(bad):
        layer, unit = divmod(low + int(bad[0]), side.stores[0].d_mlp)
        raise StoreError(
            f"{side.stores[0].path.parent}: neuron L{layer}/U{unit} holds non-finite values. Capture it again."
        )
