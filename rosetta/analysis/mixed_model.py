"""Regression of counts whose effects are crossed, by marginal quasi-likelihood.

Counts y have the means and covariances

    log μ = offset + X β,    Cov(y_i, y_j) = μ_i δ_ij + μ_i μ_j Σ_k θ_k (Z_k Z_kᵀ)_ij:

Poisson's variance, and effects that multiply all counts which have them, with the relative variance
θ_k each. At given θ, β solves the quasi-score equations Xᵀ diag(μ) Cov⁻¹ (y − μ) = 0. At given β,
the working response z = X β + (y − μ)/μ has the linear mixed model of `restricted_likelihood`, and
θ ≥ 0 maximises its likelihood. Both steps alternate (Breslow and Clayton 1993). With one effect per
count this is negative-binomial regression, and of large counts least squares of their logarithms.
Only the first two moments enter, so counts of 0 are no special case. (Penalised quasi-likelihood,
which conditions on the effects, diverges on them: the effect of a 0 has no lower end.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rosetta.analysis.intervals import t_quantile
from rosetta.analysis.restricted_likelihood import (
    Factors,
    Restricted,
    Weighting,
    maximise,
    spread_of,
)

_ALTERNATIONS = 60
_STEPS = 100
_HALVINGS = 10
_LONGEST_STEP = 3.0  # of a logarithm of a mean
_LARGEST_LOG = 100.0
_FIRST_VARIANCE = 0.02  # counts that scatter by 14%


@dataclass(frozen=True)
class MixedFit:
    """A fitted regression.

    Attributes
    ----------
    coefficients : ndarray, shape (p,)
        β.
    model : Restricted
        The linear mixed model of the working response at the maximum; its `variances` are θ.
    """

    coefficients: np.ndarray
    model: Restricted

    def half_width(
        self, contrast: np.ndarray, freedom: float, own: np.ndarray | float = 0.0
    ) -> tuple[float, float]:
        """Return half of the 95% interval of a combination of coefficients, and its degrees of
        freedom.

        The interval is the wider of two. The first takes variances of 0 for known. Its standard
        error has the correction of Kackar and Harville (1984) for weights that are estimated, its
        degrees of freedom are Satterthwaite's. Where a variance is 0, the second lets it be
        negative, by one scoring step: counts that scatter less than effects would make them tell
        so with few degrees of freedom.

        Parameters
        ----------
        contrast : ndarray, shape (p,)
            The combination.
        freedom : float
            The fewest degrees of freedom: independent units less coefficients. Where there are
            none, both results are NaN.
        own : ndarray, shape (k,), optional
            How many effects of each kind are added, for the interval of a new log mean.
        """
        if freedom <= 0:
            return float("nan"), float("nan")
        model, weighting = self.model, self.model.weighting
        direction = weighting.gain @ contrast
        pulled = np.array([factor @ (factor.T @ direction) for factor in model.factors])
        slopes = pulled @ direction + own
        variance = float(contrast @ weighting.covariance @ contrast + np.sum(own * model.variances))
        known = model.variances > 0

        uncertain = _uncertainty(model.information, known)
        correction = 2 * float((uncertain * (pulled @ model.projection @ pulled.T)).sum())
        chosen = _satterthwaite(variance, slopes, uncertain, freedom)
        half = t_quantile(chosen) * np.sqrt(variance + correction)
        if not known.all():
            uncertain = _uncertainty(model.information, np.ones_like(known))
            signed = max(variance + float(slopes @ uncertain @ model.score), 0.0)
            other = _satterthwaite(variance, slopes, uncertain, freedom)
            if (wide := t_quantile(other) * np.sqrt(signed)) > half:
                half, chosen = wide, other
        return float(half), chosen


def _uncertainty(information: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return the covariance of the variances that are free, and 0 of the others, shape (k, k)."""
    found = np.zeros_like(information)
    if free.any():
        found[np.ix_(free, free)] = np.linalg.pinv(information[np.ix_(free, free)], rcond=1e-10)
    return found


def _satterthwaite(
    variance: float, slopes: np.ndarray, uncertain: np.ndarray, fewest: float
) -> float:
    """Return the degrees of freedom of a variance that has these derivatives by θ."""
    spread = float(slopes @ uncertain @ slopes)
    return max(2 * variance**2 / spread, fewest) if spread > 0 else float("inf")


def fit_mixed(
    design: np.ndarray,
    counts: np.ndarray,
    factors: Factors,
    offset: np.ndarray | float = 0.0,
    variances: np.ndarray | None = None,
) -> MixedFit:
    """Fit counts ≥ 0, shape (n,), that are not all 0.

    Parameters
    ----------
    design : ndarray, shape (n, p)
        X, of full rank.
    counts : ndarray, shape (n,)
        y.
    factors : list of ndarray, each of shape (n, q_k)
        Z_k: which effects each count has. At least one.
    offset : ndarray, shape (n,), optional
        The part of the log means that is known.
    variances : ndarray, shape (k,), optional
        θ, where it is known.
    """
    theta = np.full(len(factors), _FIRST_VARIANCE) if variances is None else variances
    offset = np.broadcast_to(np.asarray(offset, dtype=float), len(counts))
    beta = np.linalg.lstsq(design, np.log(counts + 0.5) - offset, rcond=None)[0]
    for _ in range(_ALTERNATIONS):
        solved = _solve(design, counts, offset, spread_of(factors, theta, len(counts)), beta)
        beta = solved.coefficients
        response = design @ beta + counts / solved.means - 1
        if variances is not None:
            model = Restricted.of(design, response, solved.means, factors, theta)
            break
        model = maximise(design, response, solved.means, factors, theta)
        change, theta = np.abs(model.variances - theta).max(), model.variances
        if change < 1e-6 * (1e-2 + theta.max()):
            break
    return MixedFit(beta, model)


@dataclass(frozen=True)
class _Scored:
    """Coefficients, the means that follow, and the step of Fisher scoring from there.

    `distance` is the square of the step in standard errors.
    """

    coefficients: np.ndarray
    means: np.ndarray
    step: np.ndarray
    distance: float


def _solve(
    design: np.ndarray,
    counts: np.ndarray,
    offset: np.ndarray,
    spread: np.ndarray,
    start: np.ndarray,
) -> _Scored:
    """Return the solution of the quasi-score equations at given variances.

    Steps are shortened where the next one would be longer than they are.
    """

    def at(beta: np.ndarray) -> _Scored:
        means = np.exp(np.clip(offset + design @ beta, -_LARGEST_LOG, _LARGEST_LOG))
        weighting = Weighting.of(design, means, spread)
        step = weighting.gain.T @ (counts / means - 1)
        return _Scored(beta, means, step, float(step @ weighting.information @ step))

    here = at(start)
    for _ in range(_STEPS):
        move = np.abs(design @ here.step).max()
        if move < 1e-9:
            break
        length = min(1.0, _LONGEST_STEP / move)
        for _ in range(_HALVINGS):
            there = at(here.coefficients + length * here.step)
            if there.distance <= here.distance:
                break
            length /= 2
        here = there
    return here
