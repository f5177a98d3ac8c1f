"""Mergeable float64 moments (Chan, Golub and LeVeque 1983; Pébay 2008)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Moments:
    """Count, mean and sum of squared deviations of many variables.

    Attributes
    ----------
    count : int
        Number of observations.
    mean, m2 : ndarray of float64, shape (...)
        Mean and sum of squared deviations from it, one entry per variable.
    """

    count: int
    mean: np.ndarray
    m2: np.ndarray

    @classmethod
    def zeros(cls, shape: tuple[int, ...]) -> Moments:
        """Return the moments of no observation."""
        return cls(0, np.zeros(shape), np.zeros(shape))

    @classmethod
    def of(cls, values: np.ndarray) -> Moments:
        """Return the moments of `values` (n_observations, ...) over the first axis."""
        values = np.asarray(values, dtype=np.float64)
        if not len(values):
            return cls.zeros(values.shape[1:])
        mean = values.mean(axis=0)
        return cls(len(values), mean, np.square(values - mean).sum(axis=0))

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets of observations together."""
        count = self.count + other.count
        if not count:
            return self
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / count)
        m2 = self.m2 + other.m2 + np.square(delta) * (self.count * other.count / count)
        return Moments(count, mean, m2)

    @property
    def std(self) -> np.ndarray:
        """Population standard deviation (zero without observations)."""
        return np.sqrt(self.m2 / max(self.count, 1))


@dataclass
class HigherMoments:
    """Count, mean and sums of the second, third and fourth powers of deviations of many variables.

    Attributes
    ----------
    count : int
        Number of observations.
    mean, m2, m3, m4 : ndarray of float64, shape (...)
        Mean and sums of powers of the deviations from it, one entry per variable.
    """

    count: int
    mean: np.ndarray
    m2: np.ndarray
    m3: np.ndarray
    m4: np.ndarray

    @classmethod
    def zeros(cls, shape: tuple[int, ...]) -> HigherMoments:
        """Return the moments of no observation."""
        return cls(0, *(np.zeros(shape) for _ in range(4)))

    @classmethod
    def of(cls, values: np.ndarray) -> HigherMoments:
        """Return the moments of `values` (n_observations, ...) over the first axis."""
        values = np.asarray(values, dtype=np.float64)
        if not len(values):
            return cls.zeros(values.shape[1:])
        mean = values.mean(axis=0)
        deviations = values - mean
        squares = np.square(deviations)
        return cls(
            len(values),
            mean,
            squares.sum(axis=0),
            np.einsum("i...,i...->...", squares, deviations),
            np.einsum("i...,i...->...", squares, squares),
        )

    def merge(self, other: HigherMoments) -> HigherMoments:
        """Return the moments of both sets of observations together."""
        a, b = self.count, other.count
        n = a + b
        if not a or not b:
            return self if a else other
        delta = other.mean - self.mean
        m2 = self.m2 + other.m2 + delta**2 * (a * b / n)
        m3 = (
            self.m3
            + other.m3
            + delta**3 * (a * b * (a - b) / n**2)
            + 3 * delta * (a * other.m2 - b * self.m2) / n
        )
        m4 = (
            self.m4
            + other.m4
            + delta**4 * (a * b * (a**2 - a * b + b**2) / n**3)
            + 6 * delta**2 * (a**2 * other.m2 + b**2 * self.m2) / n**2
            + 4 * delta * (a * other.m3 - b * self.m3) / n
        )
        return HigherMoments(n, self.mean + delta * (b / n), m2, m3, m4)

    @property
    def variance(self) -> np.ndarray:
        """Population variance (zero without observations)."""
        return self.m2 / max(self.count, 1)

    @property
    def skewness(self) -> np.ndarray:
        """Population skewness, NaN where the variance is zero."""
        return self._standardised(self.m3, 1.5)

    @property
    def excess_kurtosis(self) -> np.ndarray:
        """Population excess kurtosis (0 for a normal law), NaN where the variance is 0."""
        return self._standardised(self.m4, 2.0) - 3.0

    def _standardised(self, powers: np.ndarray, order: float) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = (
                (powers / self.count) / self.variance**order
                if self.count
                else np.full(powers.shape, np.nan)
            )
        return np.where(self.m2 > 0, scaled, np.nan)
