"""Correlations and matches of a pair on half-samples of its documents, for confidence intervals.

A count of nearest neighbours is not a smooth function of the data: without a small block, many near ties turn over that
half of the data would have decided alike, and the delete-one jackknife makes its error several times too large. On
halves of the data, correlations move by as much as between independent samples of all of it, so the spread over random
halves estimates the error (Shao and Wu 1989: the delete-d jackknife with d = n/2, whose factor is 1).

Documents are cut into blocks, and sums over blocks are made once; those of a half-sample are sums of half the blocks'.
Two ways lead from there to its matches:

* `rematch`: the whole correlation matrix is reduced anew. The products of all blocks have to fit in memory.
* `rematch_candidates`: only each neuron's nearest neighbours in the whole data are ranked anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rosetta.correlation.listed import listed_sums
from rosetta.correlation.neighbors import PairNeighbors
from rosetta.correlation.plan import ROWS, Tile
from rosetta.correlation.products import Products
from rosetta.correlation.screen import group_by_tile
from rosetta.correlation.stream import AlignedPair, ColumnSums, cut_blocks
from rosetta.correlation.tiles import reduced, to_correlations
from rosetta.correlation.topk import top_k
from rosetta.progress import bar


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
    """What becomes of a pair's matches on half-samples of the documents.

    Attributes
    ----------
    r : ndarray of float64, shape (n_matches, n_half_samples)
        Correlations of the given matches on each; -inf where a neuron is dead there.
    replicates : list of Replicate
        The matches found on each.
    """

    r: np.ndarray
    replicates: list[Replicate]


def block_edges(document_positions: np.ndarray, n_blocks: int) -> list[int]:
    """Return the positions between which the blocks lie: runs of documents, of equal numbers of documents.

    Parameters
    ----------
    document_positions : ndarray of int, shape (n_documents,)
        Aligned positions of each document.
    n_blocks : int
        Blocks wanted, an even number; there are no more than documents.
    """
    n_documents = len(document_positions)
    n_blocks = min(n_blocks, n_documents - n_documents % 2)
    until = np.concatenate([[0], np.cumsum(document_positions)])
    return [int(until[n_documents * i // n_blocks]) for i in range(n_blocks + 1)]


def half_samples(n_blocks: int) -> np.ndarray:
    """Return random halves of the blocks, each followed by its complement: bool, shape (2 · n_blocks, n_blocks).

    They depend on the number of blocks only, so that half-samples of all pairs of a run are of the same documents.
    """
    rng = np.random.default_rng(n_blocks)
    halves = []
    for _ in range(n_blocks):
        half = np.isin(np.arange(n_blocks), rng.permutation(n_blocks)[: n_blocks // 2])
        halves += [half, ~half]
    return np.array(halves)


def rematch(
    pair: AlignedPair, pooling: str, precision: str, edges: Sequence[int], k: int, u: np.ndarray, v: np.ndarray
) -> Resampled:
    """Match a pair anew on every half-sample.

    Parameters
    ----------
    pair : AlignedPair
        The aligned stores.
    pooling, precision : str
        As in `rosetta.correlation.tiles.correlate_tile`. Products of a block are kept in float32.
    edges : sequence of int
        Positions between which the blocks lie (`block_edges`).
    k : int
        Mutual k-nearest neighbours.
    u, v : ndarray of int64, shape (n_matches,)
        Matches whose correlations are wanted too.
    """
    products, sums_a, sums_b = _block_sums(pair, pooling, precision, edges)
    halves, lengths = half_samples(len(edges) - 1), np.diff(edges)
    r_of_matches, replicates = np.empty((len(u), len(halves))), []
    with bar(total=len(halves), label="half-samples", unit="half") as shown:
        for number, half in enumerate(halves):
            blocks, n = np.flatnonzero(half), int(lengths[half].sum())
            r = torch.zeros(products[0].shape, dtype=torch.float64)
            for block in blocks:
                r += products[block]
            a, b = (reduced(ColumnSums.joined([sums[i] for i in blocks]), n) for sums in (sums_a, sums_b))
            to_correlations(r, a, b, n)
            r_of_matches[:, number] = r.numpy()[u, v]
            of_a, of_b = top_k(r, k, 0), top_k(r.T, k, 0)
            rows, ranks = np.nonzero(of_a.index >= 0)
            columns = of_a.index[rows, ranks]
            mutual = (of_b.index[columns] == rows[:, None]).any(axis=1)
            replicates.append(_ordered(rows[mutual], columns[mutual], of_a.r[rows, ranks][mutual]))
            shown.update()
    return Resampled(r_of_matches, replicates)


def _block_sums(
    pair: AlignedPair, pooling: str, precision: str, edges: Sequence[int]
) -> tuple[list[torch.Tensor], list[ColumnSums], list[ColumnSums]]:
    """Return products (n_a, n_b) in float32 and moments of both sides for every block, in one pass."""
    dtype = torch.float64 if precision == "float64" else torch.float32
    n_a, n_b, n_blocks = pair.a.n_neurons, pair.b.n_neurons, len(edges) - 1
    sums_a, sums_b = ([ColumnSums(width) for _ in range(n_blocks)] for width in (n_a, n_b))
    done: list[torch.Tensor] = []
    current = Products(n_a, n_b, precision)
    for number, a, b in cut_blocks(pair, Tile(0, n_a, 0, n_b), pooling, ROWS, dtype, edges):
        while len(done) < number:
            done.append(current.take().float())
            current = Products(n_a, n_b, precision)
        sums_a[number].add_rows(a)
        sums_b[number].add_rows(b)
        current.add(a, b)
    while len(done) < n_blocks:
        done.append(current.take().float())
        current = Products(n_a, n_b, precision)
    return done, sums_a, sums_b


def rematch_candidates(
    pair: AlignedPair,
    pooling: str,
    edges: Sequence[int],
    k: int,
    u: np.ndarray,
    v: np.ndarray,
    neighbors: PairNeighbors,
    tiles: Sequence[Tile],
) -> Resampled:
    """Match a pair anew on every half-sample among the nearest neighbours in the whole data.

    Parameters
    ----------
    pair, pooling, edges, k, u, v
        As in `rematch`.
    neighbors : PairNeighbors
        Neighbour lists of the whole data: the candidates.
    tiles : sequence of Tile
        Ranges of neurons to work on at once.
    """
    candidates_u, candidates_v = _candidates(neighbors)
    halves, lengths = half_samples(len(edges) - 1), np.diff(edges)
    r = np.full((len(candidates_u), len(halves)), -np.inf)
    groups = group_by_tile(candidates_u, candidates_v, tiles)
    with bar(total=len(groups), label="candidates", unit="tile") as shown:
        for tile, inside in groups:
            sums = listed_sums(pair, tile, candidates_u[inside], candidates_v[inside], pooling, edges)
            for number, half in enumerate(halves):
                r[inside, number] = sums.of(np.flatnonzero(half)).correlations(int(lengths[half].sum()))
            shown.update()
    keys = candidates_u * pair.b.n_neurons + candidates_v
    places = np.searchsorted(keys, u * pair.b.n_neurons + v)
    return Resampled(r[places], [_mutual(candidates_u, candidates_v, column, k) for column in r.T])


def _candidates(neighbors: PairNeighbors) -> tuple[np.ndarray, np.ndarray]:
    """Return the listed pairs of both sides, ordered by (u, v), none twice."""
    u, rank = np.nonzero(neighbors.a.index >= 0)
    v = neighbors.a.index[u, rank]
    w, back = np.nonzero(neighbors.b.index >= 0)
    pairs = np.unique(np.stack([np.concatenate([u, neighbors.b.index[w, back]]), np.concatenate([v, w])]), axis=1)
    return pairs[0], pairs[1]


def _mutual(u: np.ndarray, v: np.ndarray, r: np.ndarray, k: int) -> Replicate:
    """Return the mutual k-nearest neighbours among listed pairs."""
    kept = (_ranks(u, v, r) < k) & (_ranks(v, u, r) < k) & np.isfinite(r)
    return _ordered(u[kept], v[kept], r[kept])


def _ranks(own: np.ndarray, partner: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return the rank, from 0, of every listed pair among those of its own neuron; ties go to the lower partner."""
    order = np.lexsort((partner, -r, own))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order)) - np.searchsorted(own[order], own[order], side="left")
    return ranks


def _ordered(u: np.ndarray, v: np.ndarray, r: np.ndarray) -> Replicate:
    order = np.lexsort((v, u))
    return Replicate(u[order], v[order], r[order])
