"""Exact correlations of chosen pairs of neurons, in one more pass over the stores."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from rosetta.correlation.aligned import AlignedPair
from rosetta.correlation.plan import ROWS, Tile
from rosetta.correlation.row_major import row_major
from rosetta.correlation.stream import Reading, cut_blocks, neurons_of
from rosetta.correlation.sums import ColumnSums


class ChosenPairs(NamedTuple):
    """Pairs of neurons within a tile.

    Attributes
    ----------
    tile : Tile
        Ranges of neurons that hold all of them.
    u, v : ndarray of int64, shape (n,)
        Flat neuron indices in A and B, ordered by (u, v), no pair twice.
    """

    tile: Tile
    u: np.ndarray
    v: np.ndarray


@dataclass(frozen=True)
class ChosenSums:
    """Sums of chosen pairs over blocks of positions, from which their correlations follow.

    Attributes
    ----------
    u, v : ndarray of int64, shape (n,)
        Neurons of the pairs, counted among those that `a` and `b` hold.
    products : Tensor of float64, shape (n_blocks, n)
        Sums of products of every block.
    a, b : list of ColumnSums
        Moments of these neurons in every block.
    """

    u: np.ndarray
    v: np.ndarray
    products: torch.Tensor
    a: list[ColumnSums]
    b: list[ColumnSums]

    def of(self, blocks: np.ndarray) -> ChosenSums:
        """Return the sums of some of the blocks."""
        a, b = ([sums[i] for i in blocks] for sums in (self.a, self.b))
        return ChosenSums(self.u, self.v, self.products[torch.from_numpy(blocks)], a, b)

    def correlations(self, n: int) -> np.ndarray:
        """Return the correlations over the blocks' n positions; -inf if a neuron is dead."""
        a, b = ColumnSums.joined(self.a), ColumnSums.joined(self.b)
        deviation_a, deviation_b = a.deviation(n), b.deviation(n)
        u, v = torch.from_numpy(self.u), torch.from_numpy(self.v)
        scale = deviation_a[u] * deviation_b[v]
        r = (self.products.sum(dim=0) - a.total[u] * b.total[v] / n) / torch.where(
            scale > 0, scale, 1.0
        )
        return torch.where(scale > 0, r.clamp(-1.0, 1.0), -torch.inf).numpy()


def correlate_chosen(
    pair: AlignedPair, chosen: ChosenPairs, pooling: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the exact Pearson correlations of chosen pairs (Dravid 2026, Eq. 2).

    Parameters
    ----------
    pair : AlignedPair
        The aligned stores.
    chosen : ChosenPairs
        The pairs.
    pooling : str
        Pooling of rows to positions.

    Returns
    -------
    r : ndarray of float64, shape (n,)
        -inf where one of the neurons is dead.
    dead_a, dead_b : ndarray of bool, over the ranges of the tile
        Chosen neurons without variance over the aligned positions.
    """
    n, (tile, u, v) = pair.n_positions, chosen
    sums = chosen_sums(pair, chosen, pooling, np.zeros(n, np.int64), 1)
    dead_a, dead_b = (
        np.zeros(tile.a_high - tile.a_low, bool),
        np.zeros(tile.b_high - tile.b_low, bool),
    )
    dead_a[np.unique(u - tile.a_low)] = (sums.a[0].deviation(n) == 0).numpy()
    dead_b[np.unique(v - tile.b_low)] = (sums.b[0].deviation(n) == 0).numpy()
    return sums.correlations(n), dead_a, dead_b


def chosen_sums(
    pair: AlignedPair, chosen: ChosenPairs, pooling: str, block: np.ndarray, n_blocks: int
) -> ChosenSums:
    """Return the sums of chosen pairs over blocks of positions, in one pass.

    Parameters are those of `correlate_chosen`; `block` is the block of each position, shape
    (n_positions,).
    """
    tile, u, v = chosen
    used_a, row = np.unique(u - tile.a_low, return_inverse=True)
    used_b, column = np.unique(v - tile.b_low, return_inverse=True)
    begins = torch.from_numpy(np.searchsorted(row, np.arange(len(used_a) + 1)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        pattern = torch.sparse_csr_tensor(
            begins,
            torch.from_numpy(column),
            torch.zeros(len(u)),
            (len(used_a), len(used_b)),
            check_invariants=True,
        )
    a, b = ([ColumnSums(len(used)) for _ in range(n_blocks)] for used in (used_a, used_b))
    products = torch.zeros((n_blocks, len(u)), dtype=torch.float64)
    neurons = neurons_of(
        pair, tile, _some(used_a, tile.a_high - tile.a_low), _some(used_b, tile.b_high - tile.b_low)
    )
    turned = [torch.empty(len(used) * ROWS) for used in (used_a, used_b)]
    for number, *rows in cut_blocks(*neurons, Reading(pooling, torch.float32, ROWS), block):
        a[number].add_rows(rows[0])
        b[number].add_rows(rows[1])
        # Both factors by neuron, so that each product runs along memory.
        by_a, by_b = (
            row_major(side.T, memory[: side.numel()].view(side.shape[1], -1))
            for side, memory in zip(rows, turned, strict=True)
        )
        products[number] += torch.sparse.sampled_addmm(pattern, by_a, by_b.T, beta=0.0).values()
    return ChosenSums(row, column, products, a, b)


def _some(used: np.ndarray, width: int) -> np.ndarray | None:
    """Return which neurons to pick; None if that is all of them."""
    return None if len(used) == width else used
