"""How often the commonest class comes among a neuron's top samples, and by chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def class_purity(of_sample: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the share of the commonest class among the top samples of each neuron.

    Parameters
    ----------
    of_sample : ndarray of int, shape (n, n_units)
        Class of the sample at each rank.
    n_classes : int
        How many there are.

    Returns
    -------
    ndarray of float64, shape (n_units,)
    """
    n, n_units = of_sample.shape
    flat = of_sample + n_classes * np.arange(n_units)
    counts = np.bincount(flat.ravel(), minlength=n_classes * n_units)
    shares: np.ndarray = counts.reshape(n_units, n_classes).max(axis=1) / n
    return shares


def chance_purity(totals: Sequence[int], n: int) -> float:
    """Return the expected purity of n samples that are drawn at random, without replacement.

    Counts of classes are then binomial variables given their sum, so that the probability that
    none is above k is a coefficient of a product of polynomials.

    Parameters
    ----------
    totals : sequence of int
        Samples of each class.
    n : int
        How many are drawn, of all at most.
    """
    from scipy.stats import binom  # takes a second to import

    share = n / sum(totals)
    if share == 1:
        return max(totals) / n
    counts = np.arange(n + 1)
    laws = [binom.pmf(counts, total, share) for total in totals]
    whole = _probability(laws, n, n)
    # The expectation of the highest count: the sum over k of P(some count is above k).
    expected = sum(1 - _probability(laws, k, n) / whole for k in range(n))
    return float(expected) / n


def _probability(laws: list[np.ndarray], most: int, n: int) -> float:
    """Return the probability that no count is above `most` and their sum is n."""
    product = np.ones(1)
    for law in laws:
        product = np.convolve(product, law[: most + 1])[: n + 1]
    return float(product[n]) if len(product) > n else 0.0
