"""Matrices laid out row by row: transposed ones are copied by way of the processor's cache."""

from __future__ import annotations

import torch

STRIP = 64  # rows of the result per strip: as many columns of the source, whole cache lines of it


def row_major(values: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """Return a matrix row by row in memory; itself if it is, and no `out` is given.

    A transposed matrix is copied in strips, each first as it lies, because to walk along a column
    of a wide matrix takes a new cache line for every value: 64 columns of 4,096 rows lie in 1 MB,
    which stays in the cache while it is turned.

    Parameters
    ----------
    values : Tensor, shape (n, m)
        Of any strides.
    out : Tensor, shape (n, m), optional
        Where to write it; memory that was used before is faster than new memory.
    """
    if out is None:
        if values.is_contiguous():
            return values
        out = torch.empty(values.shape, dtype=values.dtype, device=values.device)
    for low in range(0, len(values), STRIP):
        strip = values[low : low + STRIP]
        out[low : low + STRIP].copy_(strip.T.contiguous().T)
    return out
