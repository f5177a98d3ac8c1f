"""Exact, deterministic top-k of the rows of a correlation tile."""

from __future__ import annotations

import numpy as np
import torch

from rosetta.correlation.neighbors import Neighbors
from rosetta.correlation.row_major import row_major

_CHUNK_CELLS = 16_000_000  # rows are handled in runs of about this many cells


def top_k(r: torch.Tensor, k: int, offset: int) -> Neighbors:
    """Return each row's k largest entries; ties go to the lower column.

    Parameters
    ----------
    r : Tensor of float64, shape (n, m)
        Correlations; -inf marks pairs without a defined correlation, which are never returned.
    k : int
        Neighbours to keep.
    offset : int
        Added to column numbers to make flat indices.
    """
    n, m = r.shape
    result, kept = Neighbors.empty(n, k), min(k, m)
    step = max(1, _CHUNK_CELLS // max(m, 1))
    for low in range(0, n, step):
        values, columns = _largest(row_major(r[low : low + step]), kept)
        found = values > -np.inf
        result.index[low : low + step, :kept][found] = columns[found] + offset
        result.r[low : low + step, :kept][found] = values[found]
    return result


def _largest(r: torch.Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's k largest entries and their columns: values fall, ties rise by column."""
    # One more, because torch.topk breaks ties as it likes: where the next value equals the k-th,
    # the cells of that value are looked up.
    more, where = (found.cpu().numpy() for found in torch.topk(r, min(k + 1, r.shape[1]), dim=1))
    values, columns = more[:, :k].copy(), where[:, :k].copy()
    if more.shape[1] > k:
        tied = (more[:, k] == values[:, -1]) & (values[:, -1] > -np.inf)
        for row in np.flatnonzero(tied):
            last = values[row] == values[row, -1]
            equal = np.flatnonzero(r[row].cpu().numpy() == values[row, -1])
            columns[row, last] = equal[: last.sum()]
    order = np.lexsort((columns, -values), axis=1)
    return np.take_along_axis(values, order, 1), np.take_along_axis(columns, order, 1)
