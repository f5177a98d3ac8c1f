"""Correlations and matches of a pair on halves of its samples, for confidence intervals.

A count of nearest neighbours is not a smooth function of the data: without a small block, many near
ties turn over that half of the data would have decided alike, and the delete-one jackknife makes
its error several times too large. On halves of the data, correlations move by as much as between
independent samples of all of it, so the spread over halves estimates the error: balanced
half-samples (McCarthy 1969), which for a mean give the usual variance exactly.

Samples are dealt into blocks, parts of one whole always together (`rosetta.alignment.samples`), and
sums over blocks are made once; those of a half-sample are sums of half the blocks'. Two ways lead
from there to its matches:

* `rematch`: the whole correlation matrix is reduced again. The products of all blocks have to fit
  in memory.
* `rematch_candidates`: only each neuron's nearest neighbours in the whole data are ranked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rosetta.alignment.samples import deal
from rosetta.correlation.aligned import AlignedPair
from rosetta.correlation.certificates import group_by_tile
from rosetta.correlation.chosen_pairs import ChosenPairs, chosen_sums
from rosetta.correlation.neighbors import PairNeighbors
from rosetta.correlation.plan import ROWS, Tile
from rosetta.correlation.products import add_products, product_device
from rosetta.correlation.stream import Reading, cut_blocks, neurons_of
from rosetta.correlation.sums import ColumnSums
from rosetta.correlation.tiles import reduced, to_correlations
from rosetta.correlation.topk import nearest_both_ways
from rosetta.hadamard import hadamard, largest_order
from rosetta.progress import bar

# Of fewer clusters of samples, which are of unequal size, intervals would cover less than nine
# times in ten what they say (simulated in tests/analysis/test_resampling.py), so there are none.
MIN_CLUSTERS = 20


@dataclass(frozen=True)
class Replicate:
    """Mutual k-nearest neighbours on one half-sample.

    Attributes
    ----------
    u, v : ndarray of int64, shape (n,)
        Flat neuron indices in A and B, ordered by (u, v).
    r : ndarray of float64, shape (n,)
        Their correlations.
    """

    u: np.ndarray
    v: np.ndarray
    r: np.ndarray


@dataclass(frozen=True)
class Resampled:
    """What becomes of a pair's matches on half-samples.

    Attributes
    ----------
    r : ndarray of float64, shape (n_matches, n_half_samples)
        Correlations of the given matches on each; -inf where a neuron is dead there.
    replicates : list of Replicate
        The matches found on each.
    """

    r: np.ndarray
    replicates: list[Replicate]


@dataclass(frozen=True)
class Blocks:
    """Blocks of samples.

    Attributes
    ----------
    of_position : ndarray of int64, shape (n_positions,)
        Block of each aligned position.
    n : int
        Number of blocks; 0 if there are too few clusters for intervals.
    n_clusters : int
        Clusters of samples.
    """

    of_position: np.ndarray
    n: int
    n_clusters: int

    @property
    def lengths(self) -> np.ndarray:
        """Positions of each block."""
        return np.bincount(self.of_position, minlength=self.n)[: self.n]

    @property
    def shares(self) -> np.ndarray:
        """Share of the positions that each half-sample has, shape (n_half_samples,)."""
        shares: np.ndarray = half_samples(self.n) @ self.lengths / len(self.of_position)
        return shares


def sample_blocks(pair: AlignedPair, n_blocks: int) -> Blocks:
    """Deal a pair's samples into blocks, clusters whole, alike for all pairs.

    Where there are fewer clusters than blocks wanted, there are as many blocks as the largest order
    of a Hadamard matrix that the clusters suffice for. All samples count, also those without
    positions that this pair shares, so that all pairs of a run have the same half-samples, which
    are joined. There are none for fewer than `MIN_CLUSTERS` clusters that have such positions.

    Parameters
    ----------
    pair : AlignedPair
        The aligned stores.
    n_blocks : int
        Blocks wanted, an order of a Hadamard matrix.
    """
    n_clusters, n_used = (
        len(np.unique(part)) for part in (pair.clusters, pair.clusters[pair.sample_positions > 0])
    )
    n = largest_order(min(n_blocks, n_clusters)) if n_used >= MIN_CLUSTERS else 0
    block = deal(pair.clusters, max(n, 1))
    return Blocks(np.repeat(block, pair.sample_positions), n, n_clusters)


def half_samples(n_blocks: int) -> np.ndarray:
    """Return balanced halves and complements, bool (2 · (n_blocks − 1), n_blocks).

    Halves are where the rows of a Hadamard matrix, but for the first, are 1, so that any two blocks
    are as often in one half as any other two. They depend on the number of blocks only:
    half-samples of all pairs of a run are of the same samples. There are no halves of no blocks.
    """
    if not n_blocks:
        return np.empty((0, 0), bool)
    halves = np.array(hadamard(n_blocks)[1:]) > 0
    return np.stack([halves, ~halves], axis=1).reshape(-1, n_blocks)


@dataclass(frozen=True)
class Rematching:
    """What is matched again on half-samples.

    Attributes
    ----------
    pair : AlignedPair
        The aligned stores.
    pooling : str
        How rows become positions.
    blocks : Blocks
        Blocks of the pair's samples.
    k : int
        Mutual k-nearest neighbours match.
    u, v : ndarray of int64, shape (n_matches,)
        Matches whose correlations are wanted too: flat neuron indices in A and B.
    """

    pair: AlignedPair
    pooling: str
    blocks: Blocks
    k: int
    u: np.ndarray
    v: np.ndarray


def rematch(asked: Rematching, precision: str) -> Resampled:
    """Match a pair again on every half-sample.

    Parameters
    ----------
    asked : Rematching
        The pair, and its blocks of samples.
    precision : str
        As in `rosetta.correlation.tiles.correlate_neurons`. Products of a block are summed and
        kept in float32.
    """
    blocks = asked.blocks
    products, sums_a, sums_b = _block_sums(asked, precision)
    halves = half_samples(blocks.n)
    r_of_matches, replicates = np.empty((len(asked.u), len(halves))), []
    with bar(total=len(halves), label="half-samples", unit="half") as shown:
        for number, r in enumerate(_products_of(halves, products)):
            inside, n = np.flatnonzero(halves[number]), int(blocks.lengths[halves[number]].sum())
            a, b = (
                reduced(ColumnSums.joined([sums[i] for i in inside]), n)
                for sums in (sums_a, sums_b)
            )
            to_correlations(r, a, b, n)
            r_of_matches[:, number] = r.numpy()[asked.u, asked.v]
            replicates.append(mutual_nearest(r, asked.k))
            shown.update()
    return Resampled(r_of_matches, replicates)


def mutual_nearest(r: torch.Tensor, k: int) -> Replicate:
    """Return the mutual k-nearest neighbours in a matrix of correlations; -inf marks pairs that
    have none.
    """
    of_a, of_b = nearest_both_ways(r, k)
    rows, ranks = np.nonzero(of_a.index >= 0)
    columns = of_a.index[rows, ranks]
    mutual = (of_b.index[columns] == rows[:, None]).any(axis=1)
    return _ordered(rows[mutual], columns[mutual], of_a.r[rows, ranks][mutual])


def _products_of(halves: np.ndarray, products: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the float64 sums of the blocks' products over every half; of a complement, what is left
    of all of them.
    """
    whole = _summed(products, range(len(products)))
    for half in halves[::2]:
        r = _summed(products, np.flatnonzero(half).tolist())
        rest = whole - r
        yield r
        yield rest


def _summed(products: torch.Tensor, blocks: Sequence[int]) -> torch.Tensor:
    total = torch.zeros(products.shape[1:], dtype=torch.float64)
    for block in blocks:
        total += products[block]
    return total


def _block_sums(
    asked: Rematching, precision: str
) -> tuple[torch.Tensor, list[ColumnSums], list[ColumnSums]]:
    """Return products (n_blocks, n_a, n_b) in float32 and moments of both sides for every block, in
    one pass.
    """
    pair, blocks = asked.pair, asked.blocks
    dtype, device = (
        torch.float64 if precision == "float64" else torch.float32,
        product_device(precision),
    )
    n_a, n_b = pair.a.n_neurons, pair.b.n_neurons
    sums_a, sums_b = ([ColumnSums(width) for _ in range(blocks.n)] for width in (n_a, n_b))
    products = torch.zeros((blocks.n, n_a, n_b), device=device)
    neurons = neurons_of(pair, Tile(0, n_a, 0, n_b))
    for block, a, b in cut_blocks(
        *neurons, Reading(asked.pooling, dtype, ROWS), blocks.of_position
    ):
        sums_a[block].add_rows(a)
        sums_b[block].add_rows(b)
        add_products(products[block], a.to(device), b.to(device), precision)
    return products.cpu(), sums_a, sums_b


def rematch_candidates(
    asked: Rematching, neighbors: PairNeighbors, tiles: Sequence[Tile]
) -> Resampled:
    """Match a pair again on every half-sample among the nearest neighbours in the whole data.

    Parameters
    ----------
    asked : Rematching
        The pair, and its blocks of samples.
    neighbors : PairNeighbors
        Neighbour lists of the whole data: the candidates.
    tiles : sequence of Tile
        Ranges of neurons to work on at once.
    """
    pair, blocks = asked.pair, asked.blocks
    candidates_u, candidates_v = _candidates(neighbors)
    halves = half_samples(blocks.n)
    r = np.full((len(candidates_u), len(halves)), -np.inf)
    groups = group_by_tile(candidates_u, candidates_v, tiles)
    with bar(total=len(groups), label="candidates", unit="tile") as shown:
        for tile, inside in groups:
            mine = ChosenPairs(tile, candidates_u[inside], candidates_v[inside])
            sums = chosen_sums(pair, mine, asked.pooling, blocks.of_position, blocks.n)
            for number, half in enumerate(halves):
                n = int(blocks.lengths[half].sum())
                r[inside, number] = sums.of(np.flatnonzero(half)).correlations(n)
            shown.update()
    keys = candidates_u * pair.b.n_neurons + candidates_v
    places = np.searchsorted(keys, asked.u * pair.b.n_neurons + asked.v)
    replicates = [_mutual(candidates_u, candidates_v, column, asked.k) for column in r.T]
    return Resampled(r[places], replicates)


def _candidates(neighbors: PairNeighbors) -> tuple[np.ndarray, np.ndarray]:
    """Return the listed pairs of both sides, ordered by (u, v), none twice."""
    u, rank = np.nonzero(neighbors.a.index >= 0)
    v = neighbors.a.index[u, rank]
    w, back = np.nonzero(neighbors.b.index >= 0)
    pairs = np.unique(
        np.stack([np.concatenate([u, neighbors.b.index[w, back]]), np.concatenate([v, w])]), axis=1
    )
    return pairs[0], pairs[1]


def _mutual(u: np.ndarray, v: np.ndarray, r: np.ndarray, k: int) -> Replicate:
    """Return the mutual k-nearest neighbours among listed pairs."""
    kept = (_ranks(u, v, r) < k) & (_ranks(v, u, r) < k) & np.isfinite(r)
    return _ordered(u[kept], v[kept], r[kept])


def _ranks(own: np.ndarray, partner: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return the rank, from 0, of every listed pair among those of its own neuron; ties go to the
    lower partner.
    """
    order = np.lexsort((partner, -r, own))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order)) - np.searchsorted(own[order], own[order], side="left")
    return ranks


def _ordered(u: np.ndarray, v: np.ndarray, r: np.ndarray) -> Replicate:
    order = np.lexsort((v, u))
    return Replicate(u[order], v[order], r[order])
