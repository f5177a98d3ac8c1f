"""Exact, deterministic top-k of the rows, and of the columns, of a correlation tile."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from rosetta.correlation.neighbors import Neighbors
from rosetta.correlation.row_major import row_major

_CHUNK_CELLS = 16_000_000  # rows are handled in runs of about this many cells
# Cells of a strip of rows that is searched both ways: half a million stay in a core's cache.
_STRIP_CELLS, _GPU_STRIP_CELLS = 500_000, 16_000_000


class NearestBothWays:
    """The k largest entries of each row and each column of a matrix that comes in strips of rows.

    A column is searched only in the strips whose largest entry there beats the k-th so far: in the
    i-th strip that is a share of about k/i of the columns, so few of them are ever turned.

    Parameters
    ----------
    n_a, n_b : int
        Rows and columns of the whole matrix.
    k : int
        Neighbours to keep.
    a_low, b_low : int
        Added to the numbers of rows and columns to make flat indices.
    """

    def __init__(self, n_a: int, n_b: int, k: int, a_low: int = 0, b_low: int = 0) -> None:
        self.of_a, self.of_b = Neighbors.empty(n_a, k), Neighbors.empty(n_b, k)
        self._k, self._a_low, self._b_low = k, a_low, b_low
        self._kth = torch.full((n_b,), -torch.inf, dtype=torch.float64)  # of each column so far

    def add(self, first: int, r: torch.Tensor) -> None:
        """Search the rows from `first` on; they come in their order.

        Parameters
        ----------
        first : int
            Number of the first row of the strip.
        r : Tensor of float64, shape (n, n_b)
            As in `top_k`.
        """
        self._kth = self._kth.to(r.device)
        of_rows = top_k(r, self._k, self._b_low)
        self.of_a.index[first : first + len(r)] = of_rows.index
        self.of_a.r[first : first + len(r)] = of_rows.r
        # What equals the k-th so far comes after it: ties go to the lower row.
        better = torch.nonzero(r.amax(dim=0) > self._kth).squeeze(1)
        if not len(better):
            return
        some = r if len(better) == r.shape[1] else r.index_select(1, better)
        columns = better.cpu().numpy()
        so_far = Neighbors(self.of_b.index[columns], self.of_b.r[columns])
        found = so_far.merge(top_k(some.T, self._k, self._a_low + first))
        self.of_b.index[columns], self.of_b.r[columns] = found.index, found.r
        kth = np.where(np.isnan(found.r[:, -1]), -np.inf, found.r[:, -1])
        self._kth[better] = torch.from_numpy(kth).to(r.device)


def strip_ranges(n_a: int, n_b: int, where: torch.device) -> Iterator[slice]:
    """Yield the strips of rows of an n_a × n_b matrix that are best searched at once."""
    cells = _GPU_STRIP_CELLS if where.type == "cuda" else _STRIP_CELLS
    step = max(1, cells // max(n_b, 1))
    for low in range(0, n_a, step):
        yield slice(low, min(low + step, n_a))


def nearest_both_ways(
    r: torch.Tensor, k: int, a_low: int = 0, b_low: int = 0
) -> tuple[Neighbors, Neighbors]:
    """Return the k largest entries of each row and of each column; ties go to the lower index.

    Parameters are those of `NearestBothWays`, and `r` is the whole matrix, float32 or float64.
    """
    nearest = NearestBothWays(len(r), r.shape[1], k, a_low, b_low)
    for rows in strip_ranges(len(r), r.shape[1], r.device):
        nearest.add(rows.start, r[rows])
    return nearest.of_a, nearest.of_b


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
