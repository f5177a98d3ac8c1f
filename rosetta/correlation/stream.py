"""Streaming a side of a pair: pooled and centred rows of some neurons, block by block."""

from __future__ import annotations

from collections.abc import Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import TypeVar

import numpy as np
import torch

from rosetta.activations.reader import runs_the_model
from rosetta.alignment.pooling import strip_rows
from rosetta.alignment.positions import AlignedPositions
from rosetta.correlation.aligned import AlignedPair, Side
from rosetta.correlation.permutation import in_orders
from rosetta.correlation.plan import Tile
from rosetta.correlation.sums import ColumnTotals
from rosetta.errors import StoreError
from rosetta.models.devices import CPU

T = TypeVar("T")
Parts = list[
    tuple[int, torch.Tensor]
]  # values by layer, each with the distance of its first neuron


@dataclass(frozen=True)
class Neurons:
    """Which neurons of which side are read.

    Attributes
    ----------
    side : Side
        One model of a pair.
    low, high : int
        Range of flat neuron indices to read.
    only : ndarray of int, optional
        Neurons of the range to keep, ascending and counted from `low`; the others are read and
        dropped at once. All of them if not given.
    """

    side: Side
    low: int
    high: int
    only: np.ndarray | None = None

    def __len__(self) -> int:
        return self.high - self.low if self.only is None else len(self.only)

    @property
    def n_threads(self) -> int:
        """Threads of torch to read with: one, but all for a model that runs meanwhile."""
        live = any(map(runs_the_model, self.side.stores))
        return torch.get_num_threads() if live else 1

    @property
    def flat(self) -> np.ndarray:
        """Flat indices of the neurons, shape (n_neurons,)."""
        return np.arange(self.low, self.high) if self.only is None else self.low + self.only


def neurons_of(
    pair: AlignedPair,
    tile: Tile,
    only_a: np.ndarray | None = None,
    only_b: np.ndarray | None = None,
) -> tuple[Neurons, Neurons]:
    """Return the neurons of both sides of a tile, or some of them, counted from its edges."""
    return Neurons(pair.a, tile.a_low, tile.a_high, only_a), Neurons(
        pair.b, tile.b_low, tile.b_high, only_b
    )


@dataclass(frozen=True)
class Reading:
    """How rows are read.

    Attributes
    ----------
    pooling : str
        How stored rows become positions (`alignment.pooling`).
    dtype : torch.dtype
        Precision to pool and centre in.
    rows : int
        Positions per block.
    kept : torch.dtype, optional
        Precision that blocks are rounded to once they are summed; `dtype` if not given.
    where : torch.device
        Where rows are pooled and blocks lie: where they are multiplied.
    """

    pooling: str
    dtype: torch.dtype
    rows: int
    kept: torch.dtype | None = None
    where: torch.device = CPU


def centred_blocks(
    neurons: Neurons, reading: Reading, sums: ColumnTotals, first: int = 0
) -> Iterator[torch.Tensor]:
    """Yield blocks of pooled activations minus pilot means, and add them to `sums`.

    All blocks but the last have exactly `reading.rows` rows wherever the shards end, so what is
    summed over them does not depend on the sharding. Every chunk is read once. A block may be used
    until the next but one is taken. If the side's samples are exchanged, they come in the order of
    the pairs (`rosetta.correlation.exchange`). Of permuted positions there is a block for every
    order (`rosetta.correlation.permutation`).

    Parameters
    ----------
    neurons, reading : Neurons, Reading
        What is read, and how.
    sums : ColumnTotals
        Sums over the rows; those of permuted ones are the same.
    first : int
        Position to begin with: the first of a block and, if positions are permuted, of a window.
        If samples are exchanged, some are read again that an earlier position needed too; `sums`
        holds all that was read when this one was reached.

    Raises
    ------
    StoreError
        If a store is damaged or holds a non-finite value.
    """
    side = neurons.side
    if side.reordering:
        begin = side.reordering.resumed(first, reading.rows)
        blocks = _blocks(neurons, reading, sums.after(begin.n_summed), begin.row)
        return side.reordering.applied(blocks, reading.rows, first)
    blocks = _blocks(neurons, reading, sums, first)
    return in_orders(blocks, side.n_positions, reading.rows, side.permute_seeds, first)


def _blocks(
    neurons: Neurons, reading: Reading, sums: ColumnTotals, first: int
) -> Iterator[torch.Tensor]:
    side, rows, where = neurons.side, reading.rows, reading.where
    at_once, width = min(strip_rows(where), rows), len(neurons)
    center = torch.from_numpy(side.center[neurons.flat]).to(where, reading.dtype)
    dropped = torch.from_numpy(side.quiet[neurons.flat])
    quiet = dropped.to(where) if dropped.any() else None
    kept, empty = reading.kept or reading.dtype, partial(torch.empty, device=where)
    buffers = cycle(empty((rows, width), dtype=kept) for _ in range(2))
    apart = empty((at_once, width), dtype=reading.dtype) if kept != reading.dtype else None
    block, filled, left = next(buffers), 0, side.n_positions - first
    for piece in _pieces(neurons, first, where):
        done, n = 0, len(piece.positions)
        while done < n:
            # No further than the strip's end, so that it is centred while it is in the cache.
            some = slice(done, min(done + min(at_once - filled % at_once, rows - filled), n))
            end = filled + some.stop - done
            begun = filled // at_once * at_once
            strip = block[begun : begun + at_once] if apart is None else apart
            for offset, values in piece.parts:
                out = strip[filled - begun : end - begun, offset : offset + values.shape[1]]
                piece.positions.pool_into(out, values, some, reading.pooling)
            filled, done, left = end, some.stop, left - (some.stop - done)
            if filled % at_once == 0 or filled == rows or not left:
                _centre(strip[: filled - begun], center, quiet, sums)
                if apart is not None:
                    block[begun:filled] = apart[: filled - begun]
            if filled == rows:
                yield _finite(block, sums, neurons)
                block, filled = next(buffers), 0
    if filled:
        yield _finite(block[:filled], sums, neurons)


def _centre(
    strip: torch.Tensor, center: torch.Tensor, quiet: torch.Tensor | None, sums: ColumnTotals
) -> None:
    """Subtract the pilot means from a strip of rows, and add it to the sums."""
    strip.sub_(center)
    sums.add(strip if quiet is None else strip.masked_fill_(quiet, 0.0))


def _finite(block: torch.Tensor, sums: ColumnTotals, neurons: Neurons) -> torch.Tensor:
    """Return a block of rows, once its sums were found to be finite."""
    bad = torch.nonzero(~torch.isfinite(sums.total))
    if len(bad):
        store = neurons.side.stores[0]
        name = store.shape.name(*divmod(int(neurons.flat[int(bad[0])]), store.d_mlp))
        raise StoreError(
            f"{store.path.parent}: neuron {name} holds non-finite values. Capture it again."
        )
    return block


@dataclass(frozen=True)
class _Piece:
    """Positions whose rows all lie in one stretch of a store, and the values of that stretch."""

    parts: Parts
    positions: AlignedPositions


def _pieces(neurons: Neurons, first: int, where: torch.device) -> Iterator[_Piece]:
    """Yield the positions of all shards from `first` on, in order."""
    for shard, positions in enumerate(neurons.side.positions):
        if first < len(positions):
            yield from _pieces_of(neurons, shard, first, where)
        first = max(first - len(positions), 0)


def _pieces_of(neurons: Neurons, shard: int, first: int, where: torch.device) -> Iterator[_Piece]:
    """Yield the positions of a shard from its `first` on, each as soon as its rows are read.

    Rows that later positions need too are carried to the next chunk. With chunks of 4 rows and
    positions that need the rows 0-1, 2-5 and 6-7:

    * of the chunk 0-3, the first position is yielded, and the rows 2-3 are carried;
    * of the chunk 4-7, the rows 4-5 are joined to those carried, and the second position is
      yielded; then the third one, from the chunk itself, which is not copied.
    """
    positions, store = neurons.side.positions[shard], neurons.side.stores[shard]
    until, since = _needs(positions)
    carried: Parts = []
    done, carried_from = first, 0
    for start, whole in store.chunks(neurons.low, neurons.high, int(since[first]), where):
        parts = whole if neurons.only is None else _picked(whole, neurons.only)
        stop = start + len(parts[0][1])
        ready = int(np.searchsorted(until, stop, side="right"))
        # Positions before `cut` need rows that are carried; as many of them are ready now.
        cut = int(np.searchsorted(since, start)) if carried else done
        now = min(cut, ready)
        if carried:
            carried = _joined(
                carried, parts, int(until[cut - 1]) - start if now == cut else stop - start
            )
        for values, origin, last in ((carried, carried_from, now), (parts, start, ready)):
            if last > done:
                yield _Piece(values, positions.some(slice(done, last)).counted_from(origin))
                done = last
        if done == len(positions):
            return
        values, origin = (carried, carried_from) if since[done] < start else (parts, start)
        carried, carried_from = _from(values, int(since[done]) - origin), int(since[done])


def _needs(positions: AlignedPositions) -> tuple[np.ndarray, np.ndarray]:
    """Return the row after all that each position and those before it need, and the first that it
    and later ones need.

    Runs of rows follow each other, so these are their own ends. Cells of a grid overlap: cells
    that need the rows 0-5, 1-6 and 0-7 have (6, 7, 8) and (0, 0, 0).
    """
    return np.maximum.accumulate(positions.end), np.minimum.accumulate(positions.begin[::-1])[::-1]


def _joined(carried: Parts, parts: Parts, rows: int) -> Parts:
    """Return the carried rows with the first rows of the next chunk below them."""
    return [
        (offset, torch.cat([c, v[:rows]]))
        for (offset, c), (_, v) in zip(carried, parts, strict=True)
    ]


def _from(parts: Parts, row: int) -> Parts:
    """Return the rows from `row` on, copied, so that the chunk can be let go; nothing if there are
    none.
    """
    return [(offset, values[row:].clone()) for offset, values in parts if row < len(values)]


def _picked(parts: Parts, only: np.ndarray) -> Parts:
    picked = []
    for offset, values in parts:
        first, last = np.searchsorted(only, [offset, offset + values.shape[1]])
        picked.append((int(first), values[:, torch.from_numpy(only[first:last] - offset)]))
    return picked


def prefetched(items: Iterator[T], pauses: Container[int] = (), n_threads: int = 1) -> Iterator[T]:
    """Yield the items of an iterator; a thread makes the next one while the present one is used.

    After as many items as a number of `pauses` tells, the next one is made when it is asked for:
    then nothing is under way while these items are used. The thread has `n_threads` of torch: one
    where it reads and pools, because strips are small, and all cores belong to the product.
    """
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(n_threads,)) as thread:
        taken, ahead = 0, thread.submit(next, items, None)
        while (item := ahead.result()) is not None:
            taken += 1
            if taken not in pauses:
                ahead = thread.submit(next, items, None)
            yield item
            if taken in pauses:
                ahead = thread.submit(next, items, None)


def cut_blocks(
    a: Neurons, b: Neurons, reading: Reading, parts: np.ndarray
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Yield (part, rows of A, rows of B) for every part in blocks of `centred_blocks`.

    `parts` is the part of each aligned position, shape (n_positions,).
    """
    start = 0
    blocks_a, blocks_b = (
        prefetched(
            centred_blocks(neurons, reading, ColumnTotals(len(neurons))),
            n_threads=neurons.n_threads,
        )
        for neurons in (a, b)
    )
    for block_a, block_b in zip(blocks_a, blocks_b, strict=True):
        here = parts[start : start + len(block_a)]
        for part in np.unique(here).tolist():
            rows_here = torch.from_numpy(np.flatnonzero(here == part))
            whole = len(rows_here) == len(here)
            yield part, *((block_a, block_b) if whole else (block_a[rows_here], block_b[rows_here]))
        start += len(block_a)
