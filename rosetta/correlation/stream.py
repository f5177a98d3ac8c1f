"""Streaming a pair of models: aligned, pooled and centred rows of a range of neurons, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from itertools import cycle
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from rosetta.activations.folders import open_stores
from rosetta.activations.layout import check_same_documents
from rosetta.activations.store import Store
from rosetta.alignment.spans import STRIP, AlignedSpans, TokenRanges, aligned_spans, pool_into
from rosetta.correlation.documents import document_facts
from rosetta.correlation.exchange import Exchange, Reordering, exchange
from rosetta.correlation.lists import LeftOut
from rosetta.correlation.plan import REORDERED, ROWS, Tile
from rosetta.correlation.view import View, mark_tokens, marked, permuted, quiet_neurons, subset
from rosetta.errors import StoreError
from rosetta.moments import Moments
from rosetta.storage.digests import digest_json

T = TypeVar("T")
WHOLE = View()


@dataclass(frozen=True)
class Side:
    """One model of a pair: its stores and where its tokens meet the aligned spans.

    Attributes
    ----------
    stores : list of Store
        Shard stores in order.
    with_bytes : list of ndarray of int32
        Per shard, the positions that stand for bytes; tokens are counted along these.
    first, last : list of ndarray of int32
        Per shard, the token range of each aligned span.
    center : ndarray of float64, shape (n_neurons,)
        Pilot mean over tokens. Any values would give the same correlations; these keep float32 sums free of
        cancellation.
    quiet : ndarray of bool, shape (n_neurons,)
        Neurons below the variance floor: they read zero everywhere, as if they were dead.
    permute_seed : int, optional
        Seed of the permutation of the positions, if they are permuted.
    reordering : Reordering, optional
        How the documents are reordered, if documents are exchanged.
    """

    stores: list[Store]
    with_bytes: list[np.ndarray]
    first: list[np.ndarray]
    last: list[np.ndarray]
    center: np.ndarray
    quiet: np.ndarray
    permute_seed: int | None = None
    reordering: Reordering | None = None

    @property
    def n_neurons(self) -> int:
        """Total neuron count of the model."""
        return len(self.center)

    @property
    def held(self) -> int:
        """Most rows that are in memory to be permuted or reordered."""
        if self.permute_seed is not None:
            return REORDERED
        return self.reordering.held + 2 * ROWS if self.reordering else 0

    def of_shard(self, shard: int) -> Side:
        """Return the same side with one of its shards only."""
        one = slice(shard, shard + 1)
        return replace(
            self, stores=self.stores[one], with_bytes=self.with_bytes[one], first=self.first[one], last=self.last[one]
        )


@dataclass(frozen=True)
class AlignedPair:
    """Two models aligned on the same documents.

    Attributes
    ----------
    a, b : Side
        The models.
    document_positions : ndarray of int64, shape (n_documents,)
        Aligned positions of each document, in the order of the corpus.
    clusters : ndarray of str, shape (n_documents,)
        What documents are parts of (`rosetta.correlation.documents`).
    left_out : LeftOut
        What the view excludes.
    """

    a: Side
    b: Side
    document_positions: np.ndarray
    clusters: np.ndarray
    left_out: LeftOut

    @property
    def n_positions(self) -> int:
        """Number N of aligned positions."""
        return sum(map(len, self.a.first))


def align_pair(stores_a: list[Store], stores_b: list[Store], view: View = WHOLE) -> AlignedPair:
    """Align the shard stores of two models, as far as the view takes them in.

    Raises
    ------
    StoreError
        If they do not hold the same documents in the same shards, share fewer than two positions, or hold documents
        that the view's table lacks.
    """
    if len(stores_a) != len(stores_b):
        raise StoreError(
            f"{stores_a[0].path.parent} has {len(stores_a)} shards, {stores_b[0].path.parent} has {len(stores_b)}. "
            "Capture both with the same activations.n_shards."
        )
    facts = document_facts(np.concatenate([store.tokens().document_ids for store in stores_a]), view.documents)
    aligned = _Aligned.of(stores_a, stores_b, view, facts.clusters)
    swap = None if view.exchange_seed is None else exchange(aligned.document_positions, facts, view.exchange_seed)
    a, b = (_side(stores, aligned.spans, i, view, swap) for i, stores in enumerate((stores_a, stores_b)))
    left_out = replace(aligned.left_out, n_quiet_a=int(a.quiet.sum()), n_quiet_b=int(b.quiet.sum()))
    pair = AlignedPair(a, b, aligned.document_positions, facts.clusters, left_out)
    if pair.n_positions < 2:
        raise StoreError(f"{stores_a[0].path.parent}: only {pair.n_positions} aligned positions; give more documents.")
    return pair


def token_ranges(store: Store) -> TokenRanges:
    """Return the byte ranges of a store's positions that stand for bytes."""
    tokens = store.tokens()
    kept = tokens.with_bytes
    return TokenRanges(tokens.document_index[kept], tokens.byte_start[kept], tokens.byte_end[kept])


def _shard_spans(a: Store, b: Store) -> AlignedSpans:
    check_same_documents(a.tokens(), b.tokens(), (str(a.path), str(b.path)))
    return aligned_spans([token_ranges(a), token_ranges(b)], a.manifest["holds"]["n_documents"])


@dataclass(frozen=True)
class _Aligned:
    """Spans of all shards that a view takes in, the number of them in every document, and what it leaves out."""

    spans: list[AlignedSpans]
    document_positions: np.ndarray
    left_out: LeftOut

    @classmethod
    def of(cls, stores_a: list[Store], stores_b: list[Store], view: View, clusters: np.ndarray) -> _Aligned:
        marks = [mark_tokens(stores, view.exclusions) for stores in (stores_a, stores_b)]
        takes, found, counts, n_special, n_first, n_high, offset = view.takes(clusters), [], [], 0, 0, 0, 0
        for shard, stores in enumerate(zip(stores_a, stores_b, strict=True)):
            spans, n_documents = _shard_spans(*stores), stores[0].manifest["holds"]["n_documents"]
            taken = takes[offset : offset + n_documents]
            n_special += sum(int(taken[special_positions(store)].sum()) for store in stores)
            kept = taken[spans.document_index]
            first, high = (
                kept & reduce(np.logical_or, [marked(spans, i, getattr(marks[i][shard], mark)) for i in (0, 1)])
                for mark in ("first_position", "high_norm")
            )
            found.append(subset(spans, kept & ~first & ~high))
            counts.append(np.bincount(found[-1].document_index, minlength=n_documents))
            n_first, n_high = n_first + int(first.sum()), n_high + int((high & ~first).sum())
            offset += n_documents
        return cls(found, np.concatenate(counts), LeftOut(n_special, n_first, n_high))


def special_positions(store: Store) -> np.ndarray:
    """Return the document of every position that stands for no byte."""
    tokens = store.tokens()
    return tokens.document_index[~tokens.with_bytes]


def _side(stores: list[Store], spans: list[AlignedSpans], side: int, view: View, swap: Exchange | None) -> Side:
    pilot = reduce(Moments.merge, [store.moments() for store in stores])
    if swap:
        spans = _heads(stores, spans, swap.used_b if side else swap.used_a)
    return Side(
        stores=stores,
        with_bytes=[np.flatnonzero(store.tokens().with_bytes).astype(np.int32) for store in stores],
        first=[shard.first[side].astype(np.int32) for shard in spans],
        last=[shard.last[side].astype(np.int32) for shard in spans],
        center=pilot.mean,
        quiet=quiet_neurons(pilot, view.exclusions.variance_floor),
        permute_seed=view.permute_seed if side == 1 else None,
        reordering=swap and (swap.of_b if side else swap.of_a),
    )


def _heads(stores: list[Store], spans: list[AlignedSpans], used: np.ndarray) -> list[AlignedSpans]:
    """Return the first spans of every document, as many as are used."""
    found, offset = [], 0
    for store, shard in zip(stores, spans, strict=True):
        number = np.arange(len(shard)) - np.searchsorted(shard.document_index, shard.document_index)
        found.append(subset(shard, number < used[shard.document_index + offset]))
        offset += store.manifest["holds"]["n_documents"]
    return found


class ColumnTotals:
    """Sums over the rows of one side, in float64.

    Parameters
    ----------
    width : int
        Number of neurons.
    """

    def __init__(self, width: int) -> None:
        self.total = torch.zeros(width, dtype=torch.float64)

    def add(self, rows: torch.Tensor) -> None:
        """Add a strip of rows, few enough that sums in its own precision lose nothing."""
        self.total += rows.sum(dim=0)


class ColumnSums(ColumnTotals):
    """Sums and sums of squares over the rows of one side, and whether a neuron ever changes."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.squares = torch.zeros(width, dtype=torch.float64)
        self._low = torch.full((width,), torch.inf)
        self._high = torch.full((width,), -torch.inf)

    def add(self, rows: torch.Tensor) -> None:
        """Add a strip of rows, few enough that sums in its own precision lose nothing."""
        super().add(rows)
        self.squares += rows.square().sum(dim=0)
        self._low = torch.minimum(self._low, rows.amin(dim=0))
        self._high = torch.maximum(self._high, rows.amax(dim=0))

    def add_rows(self, rows: torch.Tensor) -> None:
        """Add any number of rows, in strips."""
        for strip in rows.split(STRIP):
            self.add(strip)

    @classmethod
    def joined(cls, parts: list[ColumnSums]) -> ColumnSums:
        """Return the sums over the rows of all parts."""
        whole = cls(len(parts[0].total))
        whole.total = torch.stack([part.total for part in parts]).sum(dim=0)
        whole.squares = torch.stack([part.squares for part in parts]).sum(dim=0)
        whole._low = torch.stack([part._low for part in parts]).amin(dim=0)
        whole._high = torch.stack([part._high for part in parts]).amax(dim=0)
        return whole

    def deviation(self, n: int) -> torch.Tensor:
        """Return √Σ(x − x̄)² of n rows; zero exactly for neurons that never change."""
        centred = (self.squares - self.total.square() / n).clamp_min(0).sqrt()
        return torch.where(self._low == self._high, 0.0, centred)


def centred_blocks(
    side: Side,
    low: int,
    high: int,
    pooling: str,
    rows: int,
    dtype: torch.dtype,
    sums: ColumnTotals,
    only: np.ndarray | None = None,
) -> Iterator[torch.Tensor]:
    """Yield blocks of pooled activations less their pilot means, neurons [low, high), over all aligned positions.

    `only` picks some of these neurons, ordered and counted from `low`; the others are read and dropped at once.

    All blocks but the last have exactly `rows` rows wherever the shards end, so what is summed over them does
    not depend on the sharding. Every chunk is read once. A block may be used until the next but one is taken.
    If the side's positions are permuted, so are the rows (`rosetta.correlation.view.permuted`); if its documents are
    exchanged, they come in the order of the pairs (`rosetta.correlation.exchange`).

    Raises
    ------
    StoreError
        If a store is damaged or holds a non-finite value.
    """
    neurons = np.arange(low, high) if only is None else low + only
    blocks = _ordered_blocks(side, low, high, pooling, rows, dtype, sums, only, neurons)
    if side.reordering:
        return side.reordering.applied(blocks, rows)
    if side.permute_seed is None:
        return blocks
    return permuted(blocks, sum(map(len, side.first)), rows, side.permute_seed)


def _ordered_blocks(
    side: Side,
    low: int,
    high: int,
    pooling: str,
    rows: int,
    dtype: torch.dtype,
    sums: ColumnTotals,
    only: np.ndarray | None,
    neurons: np.ndarray,
) -> Iterator[torch.Tensor]:
    center = torch.from_numpy(side.center[neurons]).to(dtype)
    buffers = cycle(torch.empty((rows, len(neurons)), dtype=dtype) for _ in range(2))
    block, filled = next(buffers), 0
    for shard in range(len(side.stores)):
        for piece in _pieces(side, shard, low, high, only):
            done = 0
            while done < len(piece.first):
                spans = slice(done, min(done + rows - filled, len(piece.first)))
                end = filled + spans.stop - done
                for offset, values in piece.parts:
                    out = block[filled:end, offset : offset + values.shape[1]]
                    pool_into(out, values, piece.rows, piece.first[spans], piece.last[spans], pooling)
                filled, done = end, spans.stop
                if filled == rows:
                    yield _centred(block, center, sums, side, neurons)
                    block, filled = next(buffers), 0
    if filled:
        yield _centred(block[:filled], center, sums, side, neurons)


def prefetched(items: Iterator[T]) -> Iterator[T]:
    """Yield the items of an iterator; a thread makes the next one while the present one is used."""
    # One torch thread each: the strips are small, and all cores belong to the product.
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as thread:
        ahead = thread.submit(next, items, None)
        while (item := ahead.result()) is not None:
            ahead = thread.submit(next, items, None)
            yield item


def cut_blocks(
    pair: AlignedPair,
    tile: Tile,
    pooling: str,
    rows: int,
    dtype: torch.dtype,
    parts: np.ndarray,
    only_a: np.ndarray | None = None,
    only_b: np.ndarray | None = None,
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Yield (part, rows of A, rows of B): the rows of every part that each block of `centred_blocks` has.

    `parts` is the part of each aligned position, shape (n_positions,).
    """
    start = 0
    blocks_a, blocks_b = (
        prefetched(centred_blocks(side, low, high, pooling, rows, dtype, ColumnTotals(width), only))
        for side, low, high, only in (
            (pair.a, tile.a_low, tile.a_high, only_a),
            (pair.b, tile.b_low, tile.b_high, only_b),
        )
        for width in [high - low if only is None else len(only)]
    )
    for block_a, block_b in zip(blocks_a, blocks_b, strict=True):
        here = parts[start : start + len(block_a)]
        for part in np.unique(here).tolist():
            rows_here = torch.from_numpy(np.flatnonzero(here == part))
            whole = len(rows_here) == len(here)
            yield part, *((block_a, block_b) if whole else (block_a[rows_here], block_b[rows_here]))
        start += len(block_a)


def _centred(
    block: torch.Tensor, center: torch.Tensor, sums: ColumnTotals, side: Side, neurons: np.ndarray
) -> torch.Tensor:
    quiet = torch.from_numpy(side.quiet[neurons])
    for start in range(0, len(block), STRIP):
        strip = block[start : start + STRIP].sub_(center)
        sums.add(strip.masked_fill_(quiet, 0.0) if bool(quiet.any()) else strip)
    bad = torch.nonzero(~torch.isfinite(sums.total))
    if len(bad):
        shape = side.stores[0].shape
        name = shape.name(*divmod(int(neurons[int(bad[0])]), shape.d_mlp))
        raise StoreError(f"{side.stores[0].path.parent}: neuron {name} holds non-finite values. Capture it again.")
    return block


@dataclass(frozen=True)
class _Piece:
    """Complete spans of one stretch of a store: raw values, and which rows make each span (see `pool_into`)."""

    parts: list[tuple[int, torch.Tensor]]
    rows: np.ndarray
    first: np.ndarray
    last: np.ndarray


def _pieces(side: Side, shard: int, low: int, high: int, only: np.ndarray | None) -> Iterator[_Piece]:
    """Yield all spans of a shard in order. The rows of a span that a chunk's end cuts are carried to the next."""
    tokens, first, last = side.with_bytes[shard], side.first[shard], side.last[shard]
    begin, end = tokens[first], tokens[last - 1] + 1  # in positions of the store

    def piece(parts: list[tuple[int, torch.Tensor]], spans: slice, origin: int) -> _Piece:
        skipped = first[spans.start]
        rows = tokens[skipped : last[spans.stop - 1]] - origin
        return _Piece(parts, rows, first[spans] - skipped, last[spans] - skipped)

    done, carried, carried_from = 0, [], 0
    for start, whole in side.stores[shard].chunks(low, high):
        parts = whole if only is None else _picked(whole, only)
        stop = start + len(parts[0][1])
        ready = int(np.searchsorted(end, stop, side="right"))
        if carried:
            cut = int(end[done]) - start
            carried = [(o, torch.cat([c, v[:cut]])) for (o, c), (_, v) in zip(carried, parts, strict=True)]
            if ready == done:  # a span longer than a chunk
                continue
            yield piece(carried, slice(done, done + 1), carried_from)
            done, carried = done + 1, []
        if ready > done:
            yield piece(parts, slice(done, ready), start)
            done = ready
        if done == len(first):
            return
        if begin[done] < stop:
            carried_from = int(begin[done])
            carried = [(offset, values[carried_from - start :].clone()) for offset, values in parts]


def _picked(parts: list[tuple[int, torch.Tensor]], only: np.ndarray) -> list[tuple[int, torch.Tensor]]:
    picked = []
    for offset, values in parts:
        first, last = np.searchsorted(only, [offset, offset + values.shape[1]])
        picked.append((int(first), values[:, torch.from_numpy(only[first:last] - offset)]))
    return picked


@lru_cache(maxsize=1)
def open_pair(folder_a: str, folder_b: str, identity: str, view: View) -> AlignedPair:
    """Open and align the stores of two folders, as far as a view takes them in.

    A process that works on many tiles of a pair does it once.

    Raises
    ------
    StoreError
        If the stores are not those of `identity` (see `pair_identity`), or do not fit together.
    """
    stores_a, stores_b = open_stores(Path(folder_a)), open_stores(Path(folder_b))
    if pair_identity(stores_a, stores_b) != identity:
        raise StoreError(f"{folder_a}, {folder_b}: the stores changed while they were being worked on. Run again.")
    return align_pair(stores_a, stores_b, view)


def pair_identity(stores_a: list[Store], stores_b: list[Store]) -> str:
    """Return a digest of what the stores of both models hold."""
    return digest_json([[store.manifest for store in stores] for stores in (stores_a, stores_b)])
