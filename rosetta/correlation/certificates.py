"""Screened correlation: mutual nearest neighbours from sketches, exact and certified.

Sketches give an estimate r̂ of every correlation. The exact correlation is computed for the pairs
that the estimates leave in the running, in rounds, until no other pair can change a match: with z
for the wanted failure probability, Fisher's transform bounds the true r of a pair that was left out
by tanh(artanh r̂ + z/√(m−3)), which is then below the exact r of k better partners.
docs/screening.md has the argument.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import torch

from rosetta.correlation.neighbors import Neighbors
from rosetta.correlation.plan import LISTED_COST, Tile
from rosetta.correlation.topk import nearest_both_ways

# Relative rounding of an estimate made of bfloat16 directions, and of float32 ones.
ROUNDING = {torch.bfloat16: 2.0**-7, torch.float32: 1e-5}
STRIP_ROWS = 1024
MIN_HEAVY = 16


def margin(failure_probability: float, n_a: int, n_b: int, n_rows: int) -> float:
    """Return how far, on Fisher's scale, a true correlation may lie above its estimate.

    Each of the n_a · n_b estimates may be that wrong with the same probability, so that all of them
    together are with `failure_probability` at most. For 4,096 neurons on either side, a probability
    of 10⁻⁶ and sketches of 4,096 rows, each may with 6 · 10⁻¹⁴: 7.4 standard errors of 1/√4093, a
    margin of 0.116.
    """
    return -NormalDist().inv_cdf(failure_probability / (n_a * n_b)) / math.sqrt(n_rows - 3)


def thresholds(best: np.ndarray, margin_: float, rounding: float) -> np.ndarray:
    """Return the estimate below which a pair cannot reach a correlation of `best`.

    With a margin of 0.116, a neuron whose k-th best known partner has r = 0.6 needs no partner with
    an estimate below tanh(artanh 0.6 − 0.116) = 0.5206: its true r is below 0.6. If all partners
    that were not computed are estimated lower, the neuron's k nearest are certified.
    """
    reachable = np.tanh(np.arctanh(np.clip(best, -1 + 1e-12, 1 - 1e-12)) - margin_)
    return np.where(np.isneginf(best), -np.inf, reachable - rounding * np.abs(reachable) - 1e-6)


@dataclass
class Computed:
    """The exact correlations known so far.

    Attributes
    ----------
    n_a, n_b : int
        Neurons of either model.
    key : ndarray of int64, shape (n_pairs,)
        u · n_b + v of each pair, rising.
    r : ndarray of float64, shape (n_pairs,)
        Their exact correlations.
    full_a, full_b : ndarray of bool
        Neurons whose correlations with all others were computed; only their best are listed in
        `key`.
    dead_a, dead_b : ndarray of bool
        Neurons without variance.
    """

    n_a: int
    n_b: int
    key: np.ndarray
    r: np.ndarray
    full_a: np.ndarray
    full_b: np.ndarray
    dead_a: np.ndarray
    dead_b: np.ndarray

    @classmethod
    def nothing(cls, n_a: int, n_b: int) -> Computed:
        """Return the state before anything is known."""
        flags = [np.zeros(n, dtype=bool) for n in (n_a, n_b, n_a, n_b)]
        return cls(n_a, n_b, np.empty(0, np.int64), np.empty(0), *flags)

    def add(self, u: np.ndarray, v: np.ndarray, r: np.ndarray) -> None:
        """Add pairs with exact correlations; -inf marks dead pairs, which are not listed."""
        alive = r > -np.inf
        key = np.concatenate([self.key, (u * self.n_b + v)[alive]])
        self.key, first = np.unique(key, return_index=True)
        self.r = np.concatenate([self.r, r[alive]])[first]

    def missing(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return those of the pairs whose exact correlation is not known, each once, ordered."""
        key = np.unique(u * self.n_b + v)
        key = key[~np.isin(key, self.key, assume_unique=True)]
        u, v = key // self.n_b, key % self.n_b
        unknown = ~(self.full_a[u] | self.full_b[v] | self.dead_a[u] | self.dead_b[v])
        return u[unknown], v[unknown]

    def neighbors(self, side: str, k: int) -> Neighbors:
        """Return the k best known partners of a side's neurons; ties go to the lower."""
        own, partner = (self.key // self.n_b, self.key % self.n_b)[:: 1 if side == "a" else -1]
        result = Neighbors.empty(self.n_a if side == "a" else self.n_b, k)
        order = np.lexsort((partner, -self.r, own))
        own, partner, r = own[order], partner[order], self.r[order]
        rank = np.arange(len(own)) - np.searchsorted(own, own, side="left")
        kept = rank < k
        result.index[own[kept], rank[kept]] = partner[kept]
        result.r[own[kept], rank[kept]] = r[kept]
        return result


def within_reach(
    estimates: Neighbors, k: int, n_candidates: int, rules_out: Callable[[np.ndarray], np.ndarray]
) -> Neighbors:
    """Return the listed estimates that are worth an exact correlation.

    These are the partners that a neuron's k-th best estimate, or the floor, does not rule out; they
    certify the neuron if it has none beyond the list, and otherwise only the best `n_candidates`
    of them are taken. With any, the first k + 1 are taken too, for the margins of matches.

    Parameters
    ----------
    estimates : Neighbors
        The best estimates of a side's neurons.
    k, n_candidates : int
        Neighbours that matches are made of, and candidates of a neuron whose rivals are many.
    rules_out : callable
        From k-th best correlations (-inf where there are fewer) to the estimates below which other
        partners are out of reach.
    """
    r = np.nan_to_num(estimates.r, nan=-np.inf)
    near = r >= rules_out(r[:, k - 1])[:, None]
    near &= estimates.index >= 0
    near[near.all(axis=1), n_candidates:] = False
    near[:, : k + 1] |= near[:, :1]
    kept = near & (estimates.index >= 0)
    return Neighbors(np.where(kept, estimates.index, -1), np.where(kept, estimates.r, np.nan))


def candidates(a: Neighbors, b: Neighbors) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs that either neuron lists among its best estimates, each once, ordered."""
    n_b = len(b.index)
    key = np.union1d(_keys(a, n_b, turned=False), _keys(b, n_b, turned=True))
    return key // n_b, key % n_b


def _keys(neighbors: Neighbors, n_b: int, *, turned: bool) -> np.ndarray:
    own, rank = np.nonzero(neighbors.index >= 0)
    partner = neighbors.index[own, rank]
    return partner * n_b + own if turned else own * n_b + partner


def best_missing(estimates: Neighbors, own_is_a: bool, computed: Computed) -> np.ndarray:
    """Return, per neuron, a bound on the estimates of partners without a known correlation.

    That is its best listed estimate that was not computed, or else its last listed one: no other is
    larger.
    """
    own, rank = np.nonzero(estimates.index >= 0)
    partner = estimates.index[own, rank]
    u, v = (own, partner) if own_is_a else (partner, own)
    known = np.isin(u * computed.n_b + v, computed.key) | computed.dead_a[u] | computed.dead_b[v]
    k = estimates.index.shape[1]
    first_unknown = np.full(len(estimates.index), k - 1)
    np.minimum.at(first_unknown, own[~known], rank[~known])
    bound = estimates.r[np.arange(len(first_unknown)), first_unknown]
    return np.where(np.isnan(bound), -np.inf, bound)  # fewer than k partners, all of them known


def estimate_neighbors(
    a: torch.Tensor,
    b: torch.Tensor,
    dead: tuple[torch.Tensor, torch.Tensor],
    k: int,
    tile: Tile,
) -> tuple[Neighbors, Neighbors]:
    """Return the k best estimates of a tile's neurons from directions (m, n) of sketches.

    `dead` says which neurons of either side have no direction.
    """
    r = (a.T @ b).float()
    r[dead[0]] = -torch.inf
    r[:, dead[1]] = -torch.inf
    return nearest_both_ways(r, k, tile.a_low, tile.b_low)


@dataclass(frozen=True)
class Open:
    """What is still open, for the neurons of one side of a tile.

    Attributes
    ----------
    threshold : ndarray of float64
        Estimate below which a partner cannot be among the neuron's k nearest.
    uncertified : ndarray of bool
        Neurons that may have nearer partners among those not computed.
    tentative : ndarray of bool
        Uncertified neurons that have a match by what is known: all that could displace it must be
        computed.
    """

    threshold: np.ndarray
    uncertified: np.ndarray
    tentative: np.ndarray

    def state(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return threshold (float32), tentative, uncertified."""
        return self.threshold.astype(np.float32), self.tentative, self.uncertified

    def part(self, low: int, high: int) -> Open:
        """Return the same for a range of neurons."""
        return Open(self.threshold[low:high], self.uncertified[low:high], self.tentative[low:high])


def open_pairs(
    a: torch.Tensor, b: torch.Tensor, open_a: Open, open_b: Open, *, mutual: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of a tile that may still change a match.

    Parameters
    ----------
    a, b : Tensor, shape (m, n)
        Directions of the sketches.
    open_a, open_b : Open
        State of the neurons.
    mutual : bool
        Whether pairs that may be each other's nearest are still to be found; else only those that
        may displace a tentative match.

    Returns
    -------
    u, v : ndarray of int64
        Pairs, counted from the tile's edges.
    heavy_a, heavy_b : ndarray of int64
        Neurons with so many open pairs that it is cheaper to correlate them with all others; theirs
        are not listed.
    """
    rows = np.flatnonzero(open_a.uncertified if mutual else open_a.tentative)
    all_of_b = _Chosen(b, open_b, np.arange(b.shape[1]))
    u, v, heavy_a = _open_pairs_of(_Chosen(a, open_a, rows), all_of_b, mutual=mutual)
    # The other neurons of A matter only to tentative matches of B.
    others = _Chosen(a, open_a, np.setdiff1d(np.arange(a.shape[1]), rows))
    tentative = _Chosen(b, open_b, np.flatnonzero(open_b.tentative))
    w, x, heavy_b = _open_pairs_of(tentative, others, mutual=False)
    return np.concatenate([u, x]), np.concatenate([v, w]), heavy_a, heavy_b


class _Chosen(NamedTuple):
    """Neurons of one side of a tile: the directions and state of all, and which are chosen."""

    directions: torch.Tensor
    open: Open
    which: np.ndarray


def _open_pairs_of(
    own: _Chosen, partners: _Chosen, *, mutual: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Look at chosen neurons of one side (rows) against chosen ones of the other (columns)."""
    rows, columns, others = own.which, partners.which, partners.directions
    found: list[tuple[np.ndarray, ...]] = [(np.empty(0, np.int64),) * 3]
    limit = max(MIN_HEAVY, len(columns) // LISTED_COST)
    if len(columns) < others.shape[1]:
        others = others[:, torch.from_numpy(columns)]
    needed, tentative, unsure = (
        torch.from_numpy(values[columns]) for values in partners.open.state()
    )
    for start in range(0, len(rows) if len(columns) else 0, STRIP_ROWS):
        some = rows[start : start + STRIP_ROWS]
        r = (own.directions[:, torch.from_numpy(some)].T @ others).float()
        own_needed, own_tentative, own_unsure = (
            torch.from_numpy(values[some])[:, None] for values in own.open.state()
        )
        for_own, for_partner = r >= own_needed, r >= needed
        wanted = (for_own & own_tentative) | (for_partner & tentative)
        if mutual:
            wanted |= for_own & for_partner & own_unsure & unsure
        too_many = wanted.sum(dim=1) > limit
        wanted[too_many] = False
        i, j = (index.numpy() for index in torch.nonzero(wanted, as_tuple=True))
        found.append((some[i], columns[j], some[too_many.numpy()]))
    u, v, heavy = (np.concatenate([part[i] for part in found]) for i in range(3))
    return u, v, heavy


def tentative_matches(a: Neighbors, b: Neighbors, min_r: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which neurons of either side have a mutual k-nearest neighbour by what is known."""
    u, rank = np.nonzero(a.index >= 0)
    v = a.index[u, rank]
    mutual = (b.index[v] == u[:, None]).any(axis=1) & (a.r[u, rank] >= min_r)
    matched_a, matched_b = np.zeros(len(a.index), bool), np.zeros(len(b.index), bool)
    matched_a[u[mutual]] = True
    matched_b[v[mutual]] = True
    return matched_a, matched_b


def group_by_tile(
    u: np.ndarray, v: np.ndarray, tiles: Sequence[Tile]
) -> list[tuple[Tile, np.ndarray]]:
    """Return the tiles that hold pairs, each with the numbers of its pairs."""
    groups = []
    for tile in tiles:
        inside = np.flatnonzero(
            (u >= tile.a_low) & (u < tile.a_high) & (v >= tile.b_low) & (v < tile.b_high)
        )
        if len(inside):
            groups.append((tile, inside))
    return groups
