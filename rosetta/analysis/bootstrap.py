"""Means with percentile bootstrap intervals (Efron 1979), seeded by name so that every run gives the same ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rosetta.config import Bootstrap
from rosetta.corpus.documents import hash64

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """Means of k variables over a sample, with their values in bootstrap resamples of it.

    Attributes
    ----------
    value : ndarray of float64, shape (k,)
        Means; NaN without observations.
    replicates : ndarray of float64, shape (n_resamples, k)
        The means of the resamples.
    n : ndarray of int64, shape (k,)
        Observations of each variable.
    """

    value: np.ndarray
    replicates: np.ndarray
    n: np.ndarray

    def __sub__(self, other: Estimate) -> Estimate:
        """Return the difference of two estimates from independent resamples."""
        return Estimate(self.value - other.value, self.replicates - other.replicates, self.n + other.n)

    def __getitem__(self, k: int | slice) -> Estimate:
        """Return the estimate of some of the variables."""
        return Estimate(self.value[k], self.replicates[:, k], self.n[k])

    def interval(self, confidence: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends of the percentile intervals, shape (k,); NaN where there is no spread to resample."""
        return tuple(np.quantile(self.replicates, [0.5 - confidence / 2, 0.5 + confidence / 2], axis=0))


def mean_estimate(
    values: np.ndarray,
    settings: Bootstrap,
    *name: str | int,
    weights: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
) -> Estimate:
    """Return the means of `values` over the first axis, resampling its rows with replacement.

    Rows that belong together are resampled together: matched neurons of two models are much alike, and to count them
    as independent would make intervals too narrow.

    Parameters
    ----------
    values : ndarray, shape (n, k)
        Observations; NaN entries take no part.
    settings : Bootstrap
        Number of resamples and seed.
    *name : str or int
        What is estimated: with the seed, it determines the resamples.
    weights : ndarray, shape (n,), optional
        Weights of the rows; they go with their rows into the resamples.
    clusters : ndarray of int, shape (n,), optional
        Rows of one number belong together. By default every row stands alone.
    """
    values = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(values)
    weight = finite * (np.ones(len(values)) if weights is None else weights)[:, None]
    filled = np.concatenate([weight * np.where(finite, values, 0.0), weight], axis=1)
    sums = filled if clusters is None else _cluster_sums(filled, clusters)
    rng = np.random.default_rng(hash64(settings.seed, *name))
    n = len(sums)
    replicates = np.full((settings.n_resamples, values.shape[1]), np.nan)
    if n > 1:  # one observation says nothing of the spread
        for resample in replicates:
            times = np.bincount(rng.integers(n, size=n), minlength=n)
            resample[:] = _ratio(times @ sums)
    return Estimate(_ratio(filled.sum(axis=0)), replicates, finite.sum(axis=0))


def _cluster_sums(rows: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    numbers, cluster = np.unique(clusters, return_inverse=True)
    sums = np.zeros((len(numbers), rows.shape[1]))
    np.add.at(sums, cluster, rows)
    return sums


def _ratio(sums: np.ndarray) -> np.ndarray:
    weighted, weights = np.split(sums, 2)
    return np.divide(weighted, weights, out=np.full(len(weights), np.nan), where=weights > 0)
