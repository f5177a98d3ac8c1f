"""Neighbour lists and correlation matrices, made by hand."""

import numpy as np

from rosetta.correlation.neighbor_tables import PairFacts
from rosetta.correlation.neighbors import Neighbors, PairNeighbors


def neighbors_of(r, k):
    """Return neighbour lists of a full correlation matrix, by sorting."""

    def one_side(matrix):
        index = np.argsort(-matrix, axis=1, kind="stable")[:, :k].astype(np.int64)
        values = np.take_along_axis(matrix, index, 1)
        index[~np.isfinite(values)] = -1
        found = Neighbors.empty(len(matrix), k)
        found.index[:, : index.shape[1]] = index
        found.r[:, : index.shape[1]] = np.where(np.isfinite(values), values, np.nan)
        return found

    dead_a, dead_b = np.isneginf(r).all(axis=1), np.isneginf(r).all(axis=0)
    return PairNeighbors(one_side(r), one_side(r.T), dead_a, dead_b)


def facts_of(n_a, n_b, kept, d_a=1, d_b=1, names=("a", "b")):
    return PairFacts(*names, n_a // d_a, d_a, n_b // d_b, d_b, 100, kept, 0, 1)


def random_matrix(seed, n_a, n_b):
    rng = np.random.default_rng(seed)
    r = rng.uniform(-1, 1, size=(n_a, n_b))
    r[rng.random(n_a) < 0.1] = -np.inf
    r[:, rng.random(n_b) < 0.1] = -np.inf
    return r
