"""The sums of a pair from rows in memory, and pairs of which the answer is known."""

import numpy as np
import torch

from rosetta.correlation.plan import PairSize
from rosetta.correlation.resample import half_samples
from rosetta.instruments.measure import PairMeasures
from rosetta.instruments.principal import ProjectedSums, components
from rosetta.instruments.ranks import to_ranks
from rosetta.instruments.sums import block_sums

N_BLOCKS = 4
HALVES = half_samples(N_BLOCKS)


def parts_of(a, b, block):
    """Yield rows in pieces of 50 positions, by block."""
    for low in range(0, len(a), 50):
        rows = slice(low, low + 50)
        for number in np.unique(block[rows]):
            inside = np.flatnonzero(block[rows] == number)
            yield int(number), torch.from_numpy(a[rows][inside]), torch.from_numpy(b[rows][inside])


def sums_of(a, b, block, *, within=True):
    size = PairSize(a.shape[1], b.shape[1], len(a))
    return block_sums(parts_of(a, b, block), size, N_BLOCKS, "float64", within=within)


def measures_of(a, b, *, variance=1.0, most=10**6):
    """Return the sums of two models' activations (n_positions, D), in all components by default."""
    block = np.arange(len(a)) * 7 % N_BLOCKS
    sums = sums_of(a, b, block)
    bases = (
        components(within, columns, len(a), variance, most)
        for within, columns in ((sums.within_a, sums.columns_a), (sums.within_b, sums.columns_b))
    )
    ranked = [torch.from_numpy(rows.copy()) for rows in (a, b)]
    for rows in ranked:
        to_ranks(rows)
    ranks = sums_of(*(rows.numpy() for rows in ranked), block, within=False)
    return PairMeasures(sums, ProjectedSums(sums, *bases), ranks), block


def rotated_copy(rng, n, d):
    """Return activations of d independent neurons, and an orthogonal rotation of them."""
    a = rng.normal(size=(n, d))
    rotation, _ = np.linalg.qr(rng.normal(size=(d, d)))
    return a, a @ rotation


def permuted_copy(rng, n, d, noise=0.1):
    """Return activations, the same neurons in another order with some noise, and the order."""
    a, order = rng.normal(size=(n, d)), rng.permutation(d)
    return a, a[:, order] + noise * rng.normal(size=(n, d)), order


def noise(rng, n, d):
    """Return activations of two models that have nothing in common."""
    return rng.normal(size=(n, d)), rng.normal(size=(n, d))
