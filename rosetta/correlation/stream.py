"""Streaming a pair of models: aligned, pooled, standardised rows of a range of neurons, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch

from rosetta.activations.store import CHUNK_POSITIONS, Store
from rosetta.alignment import AlignedSpans, TokenRanges, aligned_spans, pool
from rosetta.errors import StoreError
from rosetta.moments import Moments


@dataclass(frozen=True)
class Side:
    """One model of a pair: its stores and where its tokens meet the aligned spans.

    Attributes
    ----------
    stores : list of Store
        Shard stores in order.
    with_bytes : list of ndarray of int64
        Per shard, the positions that stand for bytes; tokens are counted along these.
    first, last : list of ndarray of int64
        Per shard, the token range of each aligned span.
    center, scale : ndarray of float64, shape (n_neurons,)
        Pilot mean and standard deviation over tokens (1 where it is zero). Any values would give the same
        correlations; these keep float32 sums free of cancellation.
    """

    stores: list[Store]
    with_bytes: list[np.ndarray]
    first: list[np.ndarray]
    last: list[np.ndarray]
    center: np.ndarray
    scale: np.ndarray

    @property
    def n_neurons(self) -> int:
        """Total neuron count of the model."""
        return len(self.center)


@dataclass(frozen=True)
class AlignedPair:
    """Two models aligned on the same documents."""

    a: Side
    b: Side
    spans: list[AlignedSpans]

    @property
    def n_positions(self) -> int:
        """Number N of aligned positions."""
        return sum(map(len, self.spans))


def align_pair(stores_a: list[Store], stores_b: list[Store]) -> AlignedPair:
    """Align the shard stores of two models.

    Raises
    ------
    StoreError
        If they do not hold the same documents in the same shards, or share fewer than two positions.
    """
    if len(stores_a) != len(stores_b):
        raise StoreError(
            f"{stores_a[0].path.parent} has {len(stores_a)} shards, {stores_b[0].path.parent} has {len(stores_b)}. "
            "Capture both with the same activations.n_shards."
        )
    spans = [_shard_spans(a, b) for a, b in zip(stores_a, stores_b, strict=True)]
    pair = AlignedPair(_side(stores_a, spans, 0), _side(stores_b, spans, 1), spans)
    if pair.n_positions < 2:
        raise StoreError(f"{stores_a[0].path.parent}: only {pair.n_positions} aligned positions; give more documents.")
    return pair


def token_ranges(store: Store) -> TokenRanges:
    """Return the byte ranges of a store's positions that stand for bytes."""
    start, end, document = (store.read(name) for name in ("byte_start", "byte_end", "document_index"))
    kept = end > start
    return TokenRanges(document[kept], start[kept], end[kept])


def _shard_spans(a: Store, b: Store) -> AlignedSpans:
    documents_a, documents_b = a.read("document_ids"), b.read("document_ids")
    if not np.array_equal(documents_a, documents_b):
        raise StoreError(
            f"{a.path} and {b.path} hold different documents. Capture both models on the same corpus and shards."
        )
    return aligned_spans([token_ranges(a), token_ranges(b)], len(documents_a))


def _side(stores: list[Store], spans: list[AlignedSpans], side: int) -> Side:
    pilot = reduce(Moments.merge, [store.moments() for store in stores])
    return Side(
        stores=stores,
        with_bytes=[np.flatnonzero(store.read("byte_end") > store.read("byte_start")) for store in stores],
        first=[shard.first[side] for shard in spans],
        last=[shard.last[side] for shard in spans],
        center=pilot.mean,
        scale=np.where(pilot.std > 0, pilot.std, 1.0),
    )


def standardised_blocks(
    side: Side, low: int, high: int, pooling: str, rows: int, dtype: torch.dtype
) -> Iterator[torch.Tensor]:
    """Yield blocks (rows, high − low) of pilot-standardised and pooled activations over all aligned positions.

    All blocks but the last have exactly `rows` rows wherever the shards end, so the sums made of them do not
    depend on the sharding. Every chunk is read once.
    """
    block, filled = torch.empty((rows, high - low), dtype=dtype), 0
    for shard in range(len(side.stores)):
        for pooled in _pooled_pieces(side, shard, low, high, pooling, dtype):
            start = 0
            while start < len(pooled):
                taken = min(rows - filled, len(pooled) - start)
                block[filled : filled + taken] = pooled[start : start + taken]
                filled, start = filled + taken, start + taken
                if filled == rows:
                    yield block
                    block, filled = torch.empty_like(block), 0
    if filled:
        yield block[:filled]


def _pooled_pieces(
    side: Side, shard: int, low: int, high: int, pooling: str, dtype: torch.dtype
) -> Iterator[torch.Tensor]:
    """Yield pooled rows chunk by chunk; tokens of a span that a chunk's end cuts are carried over."""
    store, with_bytes = side.stores[shard], side.with_bytes[shard]
    first, last = side.first[shard], side.last[shard]
    center = torch.from_numpy(side.center[low:high]).to(dtype)
    inverse = torch.from_numpy(1.0 / side.scale[low:high]).to(dtype)
    carried = torch.empty((0, high - low), dtype=dtype)
    tokens_read = done = 0
    for position in range(0, store.n_positions, CHUNK_POSITIONS):
        end = min(position + CHUNK_POSITIONS, store.n_positions)
        bounds = np.searchsorted(with_bytes, [position, end])
        chunk = _read_units(store, slice(position, end), low, high).to(dtype)
        kept = with_bytes[bounds[0] : bounds[1]] - position
        if len(kept) < len(chunk):
            chunk = chunk[torch.from_numpy(kept)]
        # Before pooling: means of values far from zero would lose digits that a shift by a constant keeps.
        chunk = (chunk - center).mul_(inverse)
        tokens = torch.cat([carried, chunk]) if len(carried) else chunk
        origin = tokens_read - len(carried)
        tokens_read += len(kept)
        ready = int(np.searchsorted(last, tokens_read, side="right"))
        if ready > done:
            yield pool(tokens, first[done:ready] - origin, last[done:ready] - origin, pooling)
            done = ready
        if done == len(first):
            return
        carried = tokens[max(0, first[done] - origin) :]


def _read_units(store: Store, rows: slice, low: int, high: int) -> torch.Tensor:
    """Read the flat neuron range [low, high), which may reach over several layers."""
    parts = []
    for layer in range(low // store.d_mlp, -(-high // store.d_mlp)):
        start, stop = max(low - layer * store.d_mlp, 0), min(high - layer * store.d_mlp, store.d_mlp)
        parts.append(store.activations(layer, rows, slice(start, stop)))
    values = torch.from_numpy(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1))
    return values.view(torch.bfloat16) if store.dtype == "bfloat16" else values
