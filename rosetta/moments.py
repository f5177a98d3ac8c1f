"""Mergeable first and second moments (Chan, Golub and LeVeque 1983), in float64."""

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
