"""Confidence intervals from balanced halves of the samples (`rosetta.correlation.resample`).

Of g blocks there are R = 2(g − 1) half-samples, each half followed by its complement. With θ_s the
estimate on half-sample s, w_s the share of the positions that it has, and θ̄ = Σ w_s θ_s / Σ w_s,
the variance of θ is

    Σ_s (2 w_s (θ_s − θ̄))² / R,

that is the mean square about the mean for halves of equal size. The rows of a Hadamard matrix are
orthogonal, so for a mean of g block values of equal weight this is Σ (x − x̄)² / (g (g − 1)), and
for blocks of n_i positions with sums n_i x_i it is g/(g − 1) · Σ n_i² (x_i − x̄)² / N²: the usual
variances, exactly, with g − 1 degrees of freedom. Unequal halves that are taken for equal make it a
little too large. What moves all halves alike, such as the bias of a count on half of the data, is
no error. A count of nearest neighbours is not smooth: near ties fall either way more often on half
of the data than on all of it, so its error is on the safe side.

The interval is θ ± t · √variance. Blocks are of whole clusters of samples and the same for all
pairs of a run, so half-samples of several pairs belong together. Without replicates (too few
clusters), errors and intervals are NaN.
"""

from __future__ import annotations

import numpy as np

CONFIDENCE = 0.95
INTERVAL_COLUMNS = ["r_ci_low", "r_ci_high"]
_LARGEST_R = 1 - 1e-12


def fisher_z(r: np.ndarray) -> np.ndarray:
    """Return Fisher's transform of correlations, finite for those of 1 too."""
    return np.arctanh(np.clip(r, -_LARGEST_R, _LARGEST_R))


def t_quantile(freedom: float) -> float:
    """Return the number of standard errors to either side of a 95% interval by Student's t."""
    from scipy.special import stdtrit  # scipy.stats would take a second to import

    return float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))


def half_sample_freedom(replicates: np.ndarray) -> float:
    """Return the degrees of freedom of half-samples' error along the last axis."""
    return replicates.shape[-1] / 2


def half_sample_error(replicates: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
    """Return the standard error from estimates on half-samples along the last axis.

    Parameters
    ----------
    replicates : ndarray, shape (..., R)
        Each half followed by its complement.
    shares : ndarray, shape (R,), optional
        Share of the positions that each half-sample has; one half if not given.
    """
    if not replicates.shape[-1]:
        return np.full(replicates.shape[:-1], np.nan)
    share = np.full(replicates.shape[-1], 0.5) if shares is None else np.asarray(shares)
    center = (share * replicates).sum(axis=-1, keepdims=True) / share.sum()
    return np.sqrt(np.square(2 * share * (replicates - center)).mean(axis=-1))


def half_sample_interval(
    estimate: np.ndarray | float, replicates: np.ndarray, shares: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return 95% intervals of estimates (...) from replicates (..., R)."""
    half = t_quantile(half_sample_freedom(replicates)) * half_sample_error(replicates, shares)
    return estimate - half, estimate + half


def correlation_interval(
    r: np.ndarray, replicates: np.ndarray, shares: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95% intervals of correlations, on the scale of Fisher's transform.

    Parameters
    ----------
    r : ndarray, shape (n,)
        Correlations.
    replicates : ndarray, shape (n, R)
        The same on each half-sample; -inf where a neuron is dead on it, which leaves no interval.
    shares : ndarray, shape (R,), optional
        As in `half_sample_error`.
    """
    defined = np.isfinite(replicates).all(axis=1)
    low, high = half_sample_interval(
        fisher_z(r), fisher_z(np.where(defined[:, None], replicates, 0.0)), shares
    )
    return np.where(defined, np.tanh(low), np.nan), np.where(defined, np.tanh(high), np.nan)
