"""Means with studentised bootstrap intervals (bootstrap-t; Hall 1988), seeded by name.

In every resample the deviation of its mean is divided by its own standard error, that between
clusters. The quantiles of these ratios take the place of Student's: they follow the skewness of the
data, which percentile intervals and Student's t do not, and they know that the error itself is
estimated from few clusters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rosetta.analysis.intervals import CONFIDENCE
from rosetta.config import Bootstrap
from rosetta.storage.digests import hash64

# More clusters than this are dealt at random into as many groups: that keeps the mean, its error
# and the skewness of their ratio, and costs the same for models of any size.
MOST_CLUSTERS = 1000
_CHUNK = 500  # resamples drawn at once, for memory


@dataclass(frozen=True)
class Estimate:
    """Means of k variables over a sample, with what resamples of it say of their errors.

    Attributes
    ----------
    value : ndarray of float64, shape (k,)
        Means; NaN without observations.
    variance : ndarray of float64, shape (k,)
        Squared standard errors, between clusters; NaN for fewer clusters than
        `Bootstrap.min_clusters`.
    replicates, variances : ndarray of float64, shape (n_resamples, k)
        The same of the resamples.
    n : ndarray of int64, shape (k,)
        Observations of each variable.
    """

    value: np.ndarray
    variance: np.ndarray
    replicates: np.ndarray
    variances: np.ndarray
    n: np.ndarray

    def __sub__(self, other: Estimate) -> Estimate:
        """Return the difference of two estimates from independent resamples."""
        return Estimate(
            self.value - other.value,
            self.variance + other.variance,
            self.replicates - other.replicates,
            self.variances + other.variances,
            self.n + other.n,
        )

    def __mul__(self, factor: float) -> Estimate:
        """Return the estimate of so many times the means."""
        return Estimate(
            self.value * factor,
            self.variance * factor**2,
            self.replicates * factor,
            self.variances * factor**2,
            self.n,
        )

    def __getitem__(self, k: int | slice) -> Estimate:
        """Return the estimate of some of the variables."""
        return Estimate(
            self.value[k], self.variance[k], self.replicates[:, k], self.variances[:, k], self.n[k]
        )

    def interval(self, confidence: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends of the intervals, shape (k,).

        NaN where there are too few clusters, where all are equal, and where too few differ: if
        resamples without any spread make up a tail, the data set no bound.
        """
        ratios = np.sort(self._ratios(), axis=0)
        tail = math.floor((0.5 - confidence / 2) * (len(ratios) + 1) + 1e-9)
        if tail < 1:
            return np.full(len(self.value), np.nan), np.full(len(self.value), np.nan)
        error = np.sqrt(self.variance)
        low, high = self.value - ratios[-tail] * error, self.value - ratios[tail - 1] * error
        bounded = np.isfinite(low) & np.isfinite(high)
        return np.where(bounded, low, np.nan), np.where(bounded, high, np.nan)

    def p_above(self, bound: float = 0.0) -> np.ndarray:
        """Return the two-sided p of each mean being above a bound, (k,); NaN without an interval.

        It is below 0.05 where the 95% interval lies above the bound, and cannot be less than 2 /
        (n_resamples + 1).
        """
        return self._p(self._ratios() >= self._distance(bound))

    def p_below(self, bound: float = 0.0) -> np.ndarray:
        """Return the same of being below it."""
        return self._p(self._ratios() <= self._distance(bound))

    def _distance(self, bound: float) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return (self.value - bound) / np.sqrt(self.variance)

    def _p(self, beyond: np.ndarray) -> np.ndarray:
        p = np.minimum(2 * (1 + beyond.sum(axis=0)) / (len(beyond) + 1), 1.0)
        return np.where(np.isfinite(self.interval()[0]), p, np.nan)

    def _ratios(self) -> np.ndarray:
        """Return (θ* − θ) / error* of every resample; infinite where a resample has no spread."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return (self.replicates - self.value) / np.sqrt(self.variances)


def mean_estimate(
    values: np.ndarray,
    settings: Bootstrap,
    *name: str | int,
    weights: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
) -> Estimate:
    """Return the means of `values` over the first axis, resampling its rows with replacement.

    Rows that belong together are resampled together: matched neurons of two models are much alike,
    and to count them as independent would make intervals too narrow. A mean is the ratio of two
    sums over clusters; its error is the linearised one of a ratio.

    Parameters
    ----------
    values : ndarray, shape (n, k)
        Observations; NaN entries are excluded.
    settings : Bootstrap
        Number of resamples, seed, and clusters below which there is no interval.
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
    rng = np.random.default_rng(hash64(settings.seed, *name))
    filled = np.where(finite, values, 0.0)
    center = _ratio((weight * filled).sum(axis=0), weight.sum(axis=0))
    # Deviations from the mean, in place of values: squares of large values would cancel. What
    # rounding leaves of equal values is no spread.
    deviation = filled - np.nan_to_num(center)
    deviation[np.abs(deviation) <= 1e-12 * np.abs(filled)] = 0.0
    sums = _cluster_sums(np.concatenate([weight * deviation, weight], axis=1), clusters)
    enough = np.count_nonzero(sums[:, values.shape[1] :], axis=0) >= settings.min_clusters
    grouped = _dealt(sums, rng)
    _, variance = _deviation(np.ones((1, len(grouped))), grouped)
    deviations, variances = _resampled(grouped, settings.n_resamples, rng)
    return Estimate(
        center,
        np.where(enough & (variance[0] > 0), variance[0], np.nan),
        center + deviations,
        variances,
        finite.sum(axis=0),
    )


def _cluster_sums(rows: np.ndarray, clusters: np.ndarray | None) -> np.ndarray:
    if clusters is None:
        return rows
    numbers, cluster = np.unique(clusters, return_inverse=True)
    sums = np.zeros((len(numbers), rows.shape[1]))
    np.add.at(sums, cluster, rows)
    return sums


def _dealt(sums: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the sums of at most `MOST_CLUSTERS` random groups of clusters."""
    if len(sums) <= MOST_CLUSTERS:
        return sums
    return _cluster_sums(sums, rng.permutation(len(sums)) % MOST_CLUSTERS)


def _resampled(
    sums: np.ndarray, n_resamples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the deviations of the means of resamples of clusters, and their squared errors,
    (n_resamples, k).
    """
    n, parts = len(sums), []
    if not n:
        return tuple(np.full((2, n_resamples, sums.shape[1] // 2), np.nan))
    for start in range(0, n_resamples, _CHUNK):
        size = min(_CHUNK, n_resamples - start)
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=n * size).reshape(size, n)
        parts.append(_deviation(times.astype(np.float64), sums))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _deviation(times: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ratio θ of the sums of samples, and its linearised variance G/(G − 1) · Σ (s − θ
    w)² / (Σ w)².

    `times` (n_samples, G) says how often each sample has each cluster, `sums` (G, 2 k) has s and w
    of k variables.
    """
    s, w = np.split(sums, 2, axis=1)
    s1, w1, ss, sw, ww = np.split(
        times @ np.concatenate([s, w, s * s, s * w, w * w], axis=1), 5, axis=1
    )
    ratio = _ratio(s1, w1)
    squares = ss - 2 * ratio * sw + ratio**2 * ww
    g = times.sum(axis=1, keepdims=True)
    # Rounding leaves a little of either sign where all clusters of a sample are equal.
    squares = np.where(squares > 1e-12 * (ss + ratio**2 * ww), squares, 0.0)
    return ratio, _ratio(g * squares, np.maximum(g - 1, 1) * w1**2)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
