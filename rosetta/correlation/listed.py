"""Exact correlations of listed pairs of neurons, for a second pass over the stores."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from rosetta.correlation.plan import ROWS, Tile
from rosetta.correlation.stream import AlignedPair, ColumnSums, centred_blocks, prefetched


def correlate_listed(
    pair: AlignedPair, tile: Tile, u: np.ndarray, v: np.ndarray, pooling: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the exact Pearson correlations of listed pairs (Dravid 2026, Eq. 2).

    Parameters
    ----------
    pair : AlignedPair
        The aligned stores.
    tile : Tile
        Ranges of neurons that hold all listed ones.
    u, v : ndarray of int64, shape (n,)
        Flat neuron indices in A and B, ordered by (u, v), no pair twice.
    pooling : str
        Pooling of tokens to spans.

    Returns
    -------
    r : ndarray of float64, shape (n,)
        -inf where one of the neurons is dead.
    dead_a, dead_b : ndarray of bool, over the ranges of the tile
        Listed neurons without variance over the aligned positions.
    """
    used_a, row = np.unique(u - tile.a_low, return_inverse=True)
    used_b, column = np.unique(v - tile.b_low, return_inverse=True)
    edges = torch.from_numpy(np.searchsorted(row, np.arange(len(used_a) + 1)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        pattern = torch.sparse_csr_tensor(
            edges, torch.from_numpy(column), torch.zeros(len(u)), (len(used_a), len(used_b)), check_invariants=True
        )
    sums_a, sums_b = ColumnSums(len(used_a)), ColumnSums(len(used_b))
    products = torch.zeros(len(u), dtype=torch.float64)
    streams = [
        prefetched(centred_blocks(side, low, high, pooling, ROWS, torch.float32, sums, _some(used, high - low)))
        for side, low, high, sums, used in (
            (pair.a, tile.a_low, tile.a_high, sums_a, used_a),
            (pair.b, tile.b_low, tile.b_high, sums_b, used_b),
        )
    ]
    for block_a, block_b in zip(*streams, strict=True):
        # Both factors by neuron, so that each product runs along memory.
        a, b = block_a.T.contiguous(), block_b.T.contiguous()
        products += torch.sparse.sampled_addmm(pattern, a, b.T, beta=0.0).values()
    n = pair.n_positions
    deviation_a, deviation_b = sums_a.deviation(n), sums_b.deviation(n)
    scale = deviation_a[row] * deviation_b[column]
    r = (products - sums_a.total[row] * sums_b.total[column] / n) / torch.where(scale > 0, scale, 1.0)
    r = torch.where(scale > 0, r.clamp(-1.0, 1.0), -torch.inf)
    dead_a, dead_b = np.zeros(tile.a_high - tile.a_low, bool), np.zeros(tile.b_high - tile.b_low, bool)
    dead_a[used_a], dead_b[used_b] = (deviation_a == 0).numpy(), (deviation_b == 0).numpy()
    return r.numpy(), dead_a, dead_b


def _some(used: np.ndarray, width: int) -> np.ndarray | None:
    """Return which neurons to pick; None if that is all of them."""
    return None if len(used) == width else used
