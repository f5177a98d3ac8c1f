"""Negative-binomial regression of counts with a log link and an offset.

A count y of mean μ has the variance μ + φμ², and log μ = offset + design · coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from rosetta.analysis.intervals import t_quantile

_STEPS = 200
_LONGEST_STEP = 3.0  # of a logarithm of a mean


@dataclass(frozen=True)
class CountRegression:
    """A fitted regression.

    Attributes
    ----------
    coefficients : ndarray, shape (k,)
        By maximum likelihood at the dispersion.
    covariance : ndarray, shape (k, k)
        Of the coefficients: the inverse of Fisher's information.
    weights : ndarray, shape (n,)
        What each count tells of its log mean, μ/(1 + φμ).
    dispersion : float
        φ, where Pearson's χ² equals its degrees of freedom; 0 where the counts scatter less than
        Poisson's.
    freedom : int
        Degrees of freedom, n − k.
    width : float
        Standard errors to either side of a 95% interval: the wider of Student's t with the scatter
        of the counts and the normal one of counts without more scatter than the variance says; NaN
        without degrees of freedom.
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    weights: np.ndarray
    dispersion: float
    freedom: int
    width: float


def regress(
    design: np.ndarray, counts: np.ndarray, offset: np.ndarray | float = 0.0
) -> CountRegression:
    """Fit counts ≥ 0 (n,), not all 0, by a design (n, k) of full rank and an offset."""
    freedom = len(counts) - design.shape[1]
    dispersion, beta = _fit(design, counts, offset, freedom)
    mean = _means(offset + design @ beta)
    weights = mean / (1 + dispersion * mean)
    width = float("nan")
    if freedom > 0:
        scatter = np.sqrt(
            _chi_square(mean, counts, dispersion) / freedom
        )  # 1, or less where φ is 0
        width = max(t_quantile(freedom) * float(scatter), t_quantile(np.inf))
    covariance = np.linalg.inv(design.T @ (design * weights[:, None]))
    return CountRegression(beta, covariance, weights, dispersion, freedom, width)


def _fit(
    design: np.ndarray, counts: np.ndarray, offset: np.ndarray | float, freedom: int
) -> tuple[float, np.ndarray]:
    """Return φ and the coefficients."""
    start = np.linalg.lstsq(design, np.log(counts + 0.5) - offset, rcond=None)[0]
    start = _coefficients(design, counts, offset, 0.0, start)

    def excess(dispersion: float) -> float:
        beta = _coefficients(design, counts, offset, dispersion, start)
        return _chi_square(_means(offset + design @ beta), counts, dispersion) - freedom

    dispersion = 0.0
    if freedom > 0 and excess(0.0) > 0:
        low, high = 0.0, 0.01
        while excess(high) > 0:
            low, high = high, 4 * high
        dispersion = float(brentq(excess, low, high, xtol=1e-9, rtol=1e-6))
    return dispersion, _coefficients(design, counts, offset, dispersion, start)


def _chi_square(mean: np.ndarray, counts: np.ndarray, dispersion: float) -> float:
    return float((np.square(counts - mean) / (mean + dispersion * np.square(mean))).sum())


def _coefficients(
    design: np.ndarray,
    counts: np.ndarray,
    offset: np.ndarray | float,
    dispersion: float,
    start: np.ndarray,
) -> np.ndarray:
    """Return the maximum-likelihood coefficients at a given φ, by Fisher scoring with steps that
    never lower it.
    """
    beta, reached = start, _likelihood(offset + design @ start, counts, dispersion)
    for _ in range(_STEPS):
        mean = _means(offset + design @ beta)
        weight = mean / (1 + dispersion * mean)
        score = design.T @ ((counts - mean) / (1 + dispersion * mean))
        step = np.linalg.solve(design.T @ (design * weight[:, None]), score)
        step *= min(1, _LONGEST_STEP / max(np.abs(design @ step).max(), _LONGEST_STEP))
        while (
            found := _likelihood(offset + design @ (beta + step), counts, dispersion)
        ) < reached - 1e-12 * abs(reached):
            step = step / 2
        beta, reached = beta + step, found
        if np.abs(step).max() < 1e-9:
            break
    return beta


def _means(log_mean: np.ndarray) -> np.ndarray:
    """Return means within what a float's square can hold."""
    return np.exp(np.clip(log_mean, -300, 300))


def _likelihood(log_mean: np.ndarray, counts: np.ndarray, dispersion: float) -> float:
    """Return the log likelihood but for terms without the coefficients."""
    mean = _means(log_mean)
    if not dispersion:
        return float((counts * log_mean - mean).sum())
    return float(
        (counts * log_mean - (counts + 1 / dispersion) * np.log1p(dispersion * mean)).sum()
    )
