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
    result = Neighbors.empty(n, k)
    step = max(1, _CHUNK_CELLS // max(m, 1))
    for low in range(0, n, step):
        part = row_major(r[low : low + step])
        kept = min(k, m)
        # torch.topk breaks ties as it likes, so it only gives the k-th value; all that reach it are
        # sorted.
        threshold = torch.topk(part, kept, dim=1).values[:, -1:]
        cells = torch.nonzero((part >= threshold) & (part > -torch.inf), as_tuple=True)
        values = part[cells].numpy()
        rows, columns = (index.numpy() for index in cells)
        order = np.lexsort((columns, -values, rows))
        rows, columns, values = rows[order], columns[order], values[order]
        rank = np.arange(len(rows)) - np.searchsorted(rows, rows, side="left")
        keep = rank < kept
        result.index[low + rows[keep], rank[keep]] = columns[keep] + offset
        result.r[low + rows[keep], rank[keep]] = values[keep]
    return result
