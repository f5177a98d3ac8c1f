"""Linear mixed models of responses with known variances of their own, and variances of effects that
are found by restricted maximum likelihood (REML).

A response z = X β + Σ_k Z_k b_k + ε has b_k ~ Normal(0, θ_k I) and ε ~ Normal(0, diag(1/μ)), and
so the covariance V = diag(1/μ) + Σ_k θ_k Z_k Z_kᵀ.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_SCORING_STEPS = 100
_HALVINGS = 8
_SAME = 1e-12  # relative difference of likelihoods that rounding makes

Factors = list[np.ndarray]


@dataclass(frozen=True)
class Weighting:
    """What weighted least squares needs of a covariance V.

    Attributes
    ----------
    inverse : ndarray, shape (n, n)
        V⁻¹.
    information : ndarray, shape (p, p)
        Xᵀ V⁻¹ X.
    covariance : ndarray, shape (p, p)
        Its inverse: the covariance of the coefficients.
    gain : ndarray, shape (n, p)
        V⁻¹ X (Xᵀ V⁻¹ X)⁻¹: the coefficients are gainᵀ z.
    log_determinants : float
        log |V| + log |Xᵀ V⁻¹ X|.
    """

    inverse: np.ndarray
    information: np.ndarray
    covariance: np.ndarray
    gain: np.ndarray
    log_determinants: float

    @classmethod
    def of(cls, design: np.ndarray, means: np.ndarray, spread: np.ndarray) -> Weighting:
        """Return it for V = diag(1/means) + spread."""
        # V = W^-½ (1 + W^½ spread W^½) W^-½: well conditioned where a mean is small, too.
        root = np.sqrt(means)
        lower = np.linalg.cholesky(np.eye(len(means)) + root[:, None] * spread * root)
        whitening = np.linalg.solve(lower, np.diag(root))
        whitened = whitening @ design
        information = whitened.T @ whitened
        covariance, inverse = np.linalg.inv(information), whitening.T @ whitening
        logs = 2 * np.log(np.diag(lower)).sum() - np.log(means).sum()
        logs += np.linalg.slogdet(information)[1]
        return cls(inverse, information, covariance, inverse @ design @ covariance, float(logs))


@dataclass(frozen=True)
class Restricted:
    """The restricted likelihood of a response at some variances of the effects.

    Attributes
    ----------
    response : ndarray, shape (n,)
        z.
    factors : list of ndarray, each of shape (n, q_k)
        Z_k: which effects each response has.
    variances : ndarray, shape (k,)
        θ.
    weighting : Weighting
        Of V.
    projection : ndarray, shape (n, n)
        P = V⁻¹ − V⁻¹ X (Xᵀ V⁻¹ X)⁻¹ Xᵀ V⁻¹.
    """

    response: np.ndarray
    factors: Factors
    variances: np.ndarray
    weighting: Weighting
    projection: np.ndarray

    @classmethod
    def of(
        cls,
        design: np.ndarray,
        response: np.ndarray,
        means: np.ndarray,
        factors: Factors,
        variances: np.ndarray,
    ) -> Restricted:
        """Return it for own variances of 1/means."""
        weighting = Weighting.of(design, means, spread_of(factors, variances, len(means)))
        projection = weighting.inverse - weighting.gain @ (design.T @ weighting.inverse)
        return cls(response, factors, variances, weighting, projection)

    @property
    def log_likelihood(self) -> float:
        """The restricted log likelihood but for constants."""
        square = float(self.response @ self.projection @ self.response)
        return -0.5 * (self.weighting.log_determinants + square)

    @cached_property
    def squares(self) -> np.ndarray:
        """zᵀ P Z_k Z_kᵀ P z, shape (k,)."""
        found = self.projection @ self.response
        return np.array([np.square(factor.T @ found).sum() for factor in self.factors])

    @cached_property
    def traces(self) -> np.ndarray:
        """tr(P Z_k Z_kᵀ), shape (k,): what `squares` are expected to be."""
        return np.array([(factor * (self.projection @ factor)).sum() for factor in self.factors])

    @property
    def score(self) -> np.ndarray:
        """Derivatives of the log likelihood by θ, shape (k,)."""
        return 0.5 * (self.squares - self.traces)

    @cached_property
    def information(self) -> np.ndarray:
        """Fisher's information of θ: ½ tr(P Z_k Z_kᵀ P Z_l Z_lᵀ), shape (k, k)."""
        crossed = [
            [np.square(one.T @ self.projection @ other).sum() for other in self.factors]
            for one in self.factors
        ]
        return 0.5 * np.array(crossed)


def spread_of(factors: Factors, variances: np.ndarray, n: int) -> np.ndarray:
    """Return Σ_k θ_k Z_k Z_kᵀ, shape (n, n)."""
    total = np.zeros((n, n))
    for factor, variance in zip(factors, variances, strict=True):
        total += variance * (factor @ factor.T)
    return total


def maximise(
    design: np.ndarray,
    response: np.ndarray,
    means: np.ndarray,
    factors: Factors,
    start: np.ndarray,
) -> Restricted:
    """Return the restricted likelihood at its maximum over θ ≥ 0, by Fisher scoring.

    Where a scoring step lowers the likelihood even if it is shortened, the step is θ_k √(square /
    trace), which never does (Zhou et al. 2019).
    """

    def at(variances: np.ndarray) -> Restricted:
        return Restricted.of(design, response, means, factors, variances)

    here = at(start)
    for _ in range(_SCORING_STEPS):
        free = (here.variances > 0) | (here.score > 0)
        if not free.any():
            break
        step = np.zeros_like(here.variances)
        inverse = np.linalg.pinv(here.information[np.ix_(free, free)], rcond=1e-10)
        step[free] = inverse @ here.score[free]
        reached = here.log_likelihood
        for halving in range(_HALVINGS):
            there = at(np.maximum(here.variances + step / 2**halving, 0.0))
            if there.log_likelihood >= reached - _SAME * abs(reached):
                break
        else:
            # Where nothing is left beside the design, rounding may make a trace 0 or less.
            ratio = here.squares / np.where(here.traces > 0, here.traces, np.inf)
            there = at(here.variances * np.sqrt(ratio))
        change = np.abs(there.variances - here.variances).max()
        here = there
        if change < 1e-7 * (1e-3 + here.variances.max()):
            break
    return here
