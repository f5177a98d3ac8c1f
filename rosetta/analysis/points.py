"""Reading activations at scattered points: some neurons at some positions, every chunk of a store once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from rosetta.activations.store import CHUNK_POSITIONS, CHUNK_UNITS, Store
from rosetta.alignment import pool
from rosetta.analysis.positions import Positions, read_float32


def covering_tokens(
    positions: Positions, document: np.ndarray, byte_start: np.ndarray, byte_end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the half-open ranges of a model's positions that overlap byte ranges, empty where it did not read.

    Parameters
    ----------
    positions : Positions
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
    first = np.searchsorted(origin + positions.byte_end, document * stretch + byte_start, side="right")
    last = np.searchsorted(origin + positions.byte_start, document * stretch + byte_end, side="left")
    return first, np.maximum(first, last)


def values_at(
    stores: list[Store], positions: Positions, position: np.ndarray, layer: np.ndarray, unit: np.ndarray
) -> np.ndarray:
    """Return the activation of one neuron at one position for each of n points, float32 of shape (n,)."""
    shard = np.searchsorted(positions.offsets, position, side="right") - 1
    row = np.empty(len(position), dtype=np.int64)
    for number, rows in enumerate(positions.rows):
        mine = shard == number
        row[mine] = rows[position[mine] - positions.offsets[number]]
    found = np.empty(len(position), dtype=np.float32)
    for points in _by_chunk(shard, layer, row // CHUNK_POSITIONS, unit // CHUNK_UNITS):
        store = stores[shard[points[0]]]
        rows, units = row[points], unit[points]
        low, left = rows.min(), units.min()
        chunk = read_float32(
            store, int(layer[points[0]]), slice(int(low), int(rows.max()) + 1), slice(int(left), int(units.max()) + 1)
        )
        found[points] = chunk[rows - low, units - left]
    return found


def _by_chunk(*keys: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the points that agree in all keys, one array of indices per chunk of a store."""
    order = np.lexsort(keys[::-1])
    if len(order):
        changes = np.any([np.diff(key[order]) != 0 for key in keys], axis=0)
        yield from np.split(order, np.flatnonzero(changes) + 1)


def expand(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the members of half-open ranges, one range after the other, and the offsets of the ranges among them."""
    offsets = np.concatenate([[0], np.cumsum(last - first)]).astype(np.int64)
    members = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], last - first)
    return members, offsets


def values_on_bytes(
    stores: list[Store],
    positions: Positions,
    spans: tuple[np.ndarray, np.ndarray, np.ndarray],
    neurons: tuple[np.ndarray, np.ndarray],
    pooling: str,
) -> np.ndarray:
    """Return neurons' values on byte ranges: pooled over the tokens that overlap them (method, section 2).

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
    values = torch.from_numpy(values_at(stores, positions, members, neurons[0][of_span], neurons[1][of_span]))
    read = np.flatnonzero(last > first)
    found = np.full(len(first), np.nan, dtype=np.float32)
    found[read] = pool(values[:, None], offsets[read], offsets[read + 1], pooling)[:, 0].numpy()
    return found
