"""Nearest-neighbour lists and their merges over tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Neighbors:
    """The k most similar partners of each neuron.

    Attributes
    ----------
    index : ndarray of int64, shape (n, k)
        Flat partner indices by falling r, ties by rising index; -1 where there is no further
        partner.
    r : ndarray of float64, shape (n, k)
        Their correlations; NaN where `index` is -1.
    """

    index: np.ndarray
    r: np.ndarray

    @classmethod
    def empty(cls, n: int, k: int) -> Neighbors:
        """Return neighbour lists without entries."""
        return cls(np.full((n, k), -1, dtype=np.int64), np.full((n, k), np.nan))

    def merge(self, other: Neighbors) -> Neighbors:
        """Return the best k of two lists over disjoint sets of partners."""
        index = np.concatenate([self.index, other.index], axis=1)
        r = np.concatenate([self.r, other.r], axis=1)
        order = np.lexsort((index, np.where(index < 0, np.inf, -r)), axis=1)[
            :, : self.index.shape[1]
        ]
        return Neighbors(np.take_along_axis(index, order, 1), np.take_along_axis(r, order, 1))


@dataclass(frozen=True)
class PairNeighbors:
    """Neighbour lists of all neurons of both models of a pair, over the tiles looked at.

    Attributes
    ----------
    a, b : Neighbors
        Of A's neurons among B's and of B's among A's.
    dead_a, dead_b : ndarray of bool
        Neurons without variance on the aligned positions; they have no neighbours.
    """

    a: Neighbors
    b: Neighbors
    dead_a: np.ndarray
    dead_b: np.ndarray

    @classmethod
    def empty(cls, n_a: int, n_b: int, k: int) -> PairNeighbors:
        """Return the neighbours over no tile."""
        return cls(
            Neighbors.empty(n_a, k),
            Neighbors.empty(n_b, k),
            np.zeros(n_a, bool),
            np.zeros(n_b, bool),
        )

    def merge(self, other: PairNeighbors) -> PairNeighbors:
        """Return the neighbours over the tiles of both."""
        return PairNeighbors(
            self.a.merge(other.a),
            self.b.merge(other.b),
            self.dead_a | other.dead_a,
            self.dead_b | other.dead_b,
        )

    def placed(self, n_a: int, n_b: int, a_low: int, b_low: int) -> PairNeighbors:
        """Return lists of a tile's neurons as lists of all n_a and n_b neurons of the pair."""
        result = PairNeighbors.empty(n_a, n_b, self.a.index.shape[1])
        for to, part, low in ((result.a, self.a, a_low), (result.b, self.b, b_low)):
            to.index[low : low + len(part.index)] = part.index
            to.r[low : low + len(part.index)] = part.r
        result.dead_a[a_low : a_low + len(self.dead_a)] = self.dead_a
        result.dead_b[b_low : b_low + len(self.dead_b)] = self.dead_b
        return result
