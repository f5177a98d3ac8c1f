"""Activations at scattered points: some neurons at some positions, each chunk read once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from rosetta.activations.reader import runs_the_model
from rosetta.activations.store import CHUNK_UNITS, Store
from rosetta.alignment.pooling import pool_into
from rosetta.analysis.token_positions import TokenPositions
from rosetta.config.activations import CHUNK_POSITIONS

if TYPE_CHECKING:
    from rosetta.activations.live import LiveStore


class CountedRows(Protocol):
    """Which rows of shard stores count as positions."""

    @property
    def rows(self) -> list[np.ndarray]:
        """Per shard, the rows of the store, ndarray of int64."""

    @property
    def offsets(self) -> np.ndarray:
        """Range of positions of each shard, ndarray of int64, shape (n_shards + 1,)."""


def covering_tokens(
    positions: TokenPositions, document: np.ndarray, byte_start: np.ndarray, byte_end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return half-open ranges of positions that overlap byte ranges; empty where none does.

    Parameters
    ----------
    positions : TokenPositions
        Positions of the model.
    document, byte_start, byte_end : ndarray of int, shape (n,)
        Byte ranges, each in the document of that index.

    Returns
    -------
    first, last : ndarray of int64, shape (n,)
    """
    # All documents on one axis, each with a stretch of its own.
    stretch = int(max(positions.byte_end.max(initial=0), np.max(byte_end, initial=0))) + 1
    origin = positions.document * stretch
    first = np.searchsorted(
        origin + positions.byte_end, document * stretch + byte_start, side="right"
    )
    last = np.searchsorted(
        origin + positions.byte_start, document * stretch + byte_end, side="left"
    )
    return first, np.maximum(first, last)


def values_at(
    stores: Sequence[Store | LiveStore],
    positions: CountedRows,
    position: np.ndarray,
    layer: np.ndarray,
    unit: np.ndarray,
) -> np.ndarray:
    """Return the activation of one neuron at one position for each point, float32 (n,)."""
    shard = np.searchsorted(positions.offsets, position, side="right") - 1
    found = np.empty(len(position), dtype=np.float32)
    for number, (store, rows) in enumerate(zip(stores, positions.rows, strict=True)):
        mine = np.flatnonzero(shard == number)
        row = rows[position[mine] - positions.offsets[number]]
        read = _in_one_pass if runs_the_model(store) else _chunk_by_chunk
        found[mine] = read(store, row, layer[mine], unit[mine])
    return found


def _chunk_by_chunk(
    store: Store, row: np.ndarray, layer: np.ndarray, unit: np.ndarray
) -> np.ndarray:
    """Read the chunks that hold a point, and of each only the rows and units between the first and
    the last.
    """
    found = np.empty(len(row), dtype=np.float32)
    for points in groups_of(layer, row // CHUNK_POSITIONS, unit // CHUNK_UNITS):
        rows, units = row[points], unit[points]
        low, left = rows.min(), units.min()
        across, down = slice(int(low), int(rows.max()) + 1), slice(int(left), int(units.max()) + 1)
        chunk = store.activations(int(layer[points[0]]), across, down).float().numpy()
        found[points] = chunk[rows - low, units - left]
    return found


def _in_one_pass(
    store: LiveStore, row: np.ndarray, layer: np.ndarray, unit: np.ndarray
) -> np.ndarray:
    """Read the whole store once, because every reading runs the model, and keep the points."""
    found = np.empty(len(row), dtype=np.float32)
    order = np.argsort(row, kind="stable")
    for start, parts in store.chunks(0, store.n_layers * store.d_mlp) if len(row) else ():
        here = order[slice(*np.searchsorted(row[order], [start, start + len(parts[0][1])]))]
        for number, (_, values) in enumerate(parts):
            points = here[layer[here] == number]
            found[points] = values[row[points] - start, unit[points]].float().numpy()
    return found


def groups_of(*keys: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the points that agree in all keys, one array of indices for each combination."""
    order = np.lexsort(keys[::-1])
    if len(order):
        changes = np.any([np.diff(key[order]) != 0 for key in keys], axis=0)
        yield from np.split(order, np.flatnonzero(changes) + 1)


def expand(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the members of half-open ranges in turn, and each range's offset among them."""
    offsets = np.concatenate([[0], np.cumsum(last - first)]).astype(np.int64)
    members = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], last - first)
    return members, offsets


def values_on_bytes(
    stores: list[Store | LiveStore],
    positions: TokenPositions,
    spans: tuple[np.ndarray, np.ndarray, np.ndarray],
    neurons: tuple[np.ndarray, np.ndarray],
    pooling: str,
) -> np.ndarray:
    """Return neurons' values on byte ranges, pooled over overlapping tokens (method, 2).

    Parameters
    ----------
    stores, positions
        Of the neurons' model.
    spans : (document, byte_start, byte_end), each ndarray of int, shape (n,)
        One byte range per value.
    neurons : (layer, unit), each ndarray of int, shape (n,)
        One neuron per value.
    pooling : {'mean', 'max', 'median'}
        What becomes of several tokens.

    Returns
    -------
    ndarray of float32, shape (n,)
        NaN where the model did not read those bytes.
    """
    first, last = covering_tokens(positions, *spans)
    members, offsets = expand(first, last)
    of_span = np.repeat(np.arange(len(first)), last - first)
    values = torch.from_numpy(
        values_at(stores, positions, members, neurons[0][of_span], neurons[1][of_span])
    )
    read = np.flatnonzero(last > first)
    pooled = torch.empty((len(read), 1))
    pool_into(
        pooled, values[:, None], np.arange(len(values)), offsets[read], offsets[read + 1], pooling
    )
    found = np.full(len(first), np.nan, dtype=np.float32)
    found[read] = pooled[:, 0].numpy()
    return found
