"""Confidence intervals from half-samples of the documents (`rosetta.correlation.resample`).

With θ_s the estimate on half-sample s of R, the variance of θ is Σ (θ_s − θ̄)² / R: the delete-d jackknife with d = n/2
(Shao and Wu 1989). The interval is θ ± t · its root. Of g blocks and g complementary pairs of halves (R = 2g), the
degrees of freedom of t are 1 / (1/(g − 1) + 1/g): blocks are few, and halves are few.
Blocks are runs of documents in the order of the corpus, which is random, and the same for all pairs of a run, so
half-samples of several pairs belong together.
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95
INTERVAL_COLUMNS = ["r_ci_low", "r_ci_high"]
_LARGEST_R = 1 - 1e-12  # keeps Fisher's transform finite


def t_quantile(freedom: float) -> float:
    """Return the number of standard errors to either side of a 95% interval by Student's t."""
    return float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))  # scipy.stats would take a second to import


def half_sample_error(replicates: np.ndarray) -> np.ndarray:
    """Return the standard error from estimates on half-samples along the last axis."""
    return replicates.std(axis=-1)


def half_sample_interval(estimate: np.ndarray | float, replicates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95% intervals of estimates (...) with replicates (..., R)."""
    g = replicates.shape[-1] / 2
    freedom = 1 / (1 / (g - 1) + 1 / g)
    half = t_quantile(freedom) * half_sample_error(replicates)
    return estimate - half, estimate + half


def correlation_interval(r: np.ndarray, replicates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95% intervals of correlations, on the scale of Fisher's transform.

    Parameters
    ----------
    r : ndarray, shape (n,)
        Correlations.
    replicates : ndarray, shape (n, R)
        The same on each half-sample; -inf where a neuron is dead on it, which leaves no interval.
    """
    defined = np.isfinite(replicates).all(axis=1)
    z = np.arctanh(np.clip(r, -_LARGEST_R, _LARGEST_R))
    z_replicates = np.arctanh(np.clip(np.where(defined[:, None], replicates, 0.0), -_LARGEST_R, _LARGEST_R))
    low, high = half_sample_interval(z, z_replicates)
    return np.where(defined, np.tanh(low), np.nan), np.where(defined, np.tanh(high), np.nan)
