"""The allocation model, exact and in the continuum (method, 7; Dravid 2026, App. D).

Features r = 1…A have importance w_r = r^(−β). A network of N neurons maximises Σ w_r log(1 + s_r)
over isolations s_r ≥ 0 under Σ s_r ≤ κN. The solution fills water: s_r = (w_r/λ − 1)₊.
`docs/theory.md` derives every formula here and numbers it; the docstrings cite those numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import exprel

QUANTITIES = ("matches", "isolation_rosetta", "isolation_rest")


@dataclass(frozen=True)
class AllocationModel:
    """Parameters of the model.

    Attributes
    ----------
    beta : float
        Decay of importance with rank, > 0. The paper's laws need β > 1; below, counts grow
        linearly.
    kappa : float
        Isolation budget per neuron, > 0.
    gamma : float
        Features per neuron, > 0: A(N) = γN.
    tau : float
        Isolation from which a feature is detectable, > 0.
    """

    beta: float
    kappa: float = 1.0
    gamma: float = 4.0
    tau: float = 2.0

    def budget(self, n: float) -> float:
        """Return κN."""
        return self.kappa * n

    def n_features(self, n: float) -> int:
        """Return A(N) = γN, at least 1."""
        return max(1, round(self.gamma * n))


@dataclass(frozen=True)
class Frontier:
    """What the model says of a network of n neurons.

    Attributes
    ----------
    n : int
        Neurons.
    r0 : float
        Last rank with any isolation. In the continuum it exceeds A where the budget outlasts the
        features.
    r_tau : float
        Last rank that is detectable (s ≥ τ): the predicted number of Rosetta Neurons.
    isolation_rosetta : float
        Mean isolation of the detectable features; NaN if there is none.
    isolation_rest : float
        Isolation of all other features over the neurons that are left, n − r_tau; NaN if none is
        left.
    """

    n: int
    r0: float
    r_tau: float
    isolation_rosetta: float
    isolation_rest: float


def power_law_importance(n_features: int, beta: float) -> np.ndarray:
    """Return w_r = r^(−β) for r = 1…A, shape (n_features,)."""
    return np.arange(1, n_features + 1, dtype=np.float64) ** -beta


def allocate(importance: np.ndarray, budget: float) -> np.ndarray:
    """Return the optimal isolations for any importances, exactly (docs/theory.md, Eqs. 3–5).

    Sort by importance; the m most important features are served, where m is the largest rank whose
    feature still lies above the water level, w_m (B + m) > w_1 + … + w_m. This is true up to some
    rank and false from there on, so the cutoff is a count. O(A log A) for the sort, O(A) if the
    importances are given in falling order.

    Parameters
    ----------
    importance : ndarray of float, shape (n_features,)
        Positive weights, in any order.
    budget : float
        Total isolation B ≥ 0.

    Returns
    -------
    ndarray of float64, shape (n_features,)
        Isolations in the order of `importance`; they sum to the budget.

    Raises
    ------
    ValueError
        If an importance is not positive and finite, or the budget is negative or not finite.
    """
    w = np.asarray(importance, dtype=np.float64)
    if w.ndim != 1 or not len(w) or not np.all((w > 0) & np.isfinite(w)):
        raise ValueError("importances must be a non-empty vector of positive finite numbers")
    if not (math.isfinite(budget) and budget >= 0):
        raise ValueError(f"the budget must be a finite number ≥ 0, got {budget}")
    falling = bool(np.all(w[1:] <= w[:-1]))
    ordered = w if falling else -np.sort(-w)
    sums = np.cumsum(ordered)
    served = max(1, int(np.count_nonzero(ordered * (budget + np.arange(1, len(w) + 1)) > sums)))
    water = (budget + served) / sums[served - 1]  # 1/λ
    return np.maximum(w * water - 1.0, 0.0)


def discrete_frontier(model: AllocationModel, n: int) -> Frontier:
    """Return the frontier of the exact discrete solution."""
    s = allocate(power_law_importance(model.n_features(n), model.beta), model.budget(n))
    detectable = s >= model.tau
    count = int(np.count_nonzero(detectable))
    return Frontier(
        n=n,
        r0=float(np.count_nonzero(s)),
        r_tau=float(count),
        isolation_rosetta=float(s[detectable].mean()) if count else math.nan,
        isolation_rest=float(s[~detectable].sum()) / (n - count) if n > count else math.nan,
    )


def continuum_frontier(model: AllocationModel, n: int) -> Frontier:
    """Return r0 of the continuum solution s(r) = (r0/r)^β − 1 (Eqs. 6–10)."""
    beta, features = model.beta, model.n_features(n)
    r0 = continuum_r0(model.budget(n), beta, features)
    r_tau = min(r0 * (1.0 + model.tau) ** (-1.0 / beta), float(features))
    if r_tau <= 1.0:
        return Frontier(n, r0, 0.0, math.nan, model.kappa)
    inside = r0**beta * _integral(r_tau, beta) - (r_tau - 1.0)
    rest = max(model.budget(n) - inside, 0.0)
    return Frontier(
        n, r0, r_tau, inside / (r_tau - 1.0), rest / (n - r_tau) if n > r_tau else math.nan
    )


def continuum_r0(budget: float, beta: float, n_features: float = math.inf) -> float:
    """Return the frontier r0 at which the continuum solution spends the budget (Eq. 7).

    With r0 below A this is κN = r0^β/(β − 1) − β r0/(β − 1) + 1 (Dravid 2026, App. D), in a form
    that is also right at β = 1 and below. Beyond A no feature is left to serve, and r0 has a closed
    form.

    Parameters
    ----------
    budget : float
        Total isolation κN > 0.
    beta : float
        Decay of importance, > 0.
    n_features : float
        A; infinite if not given.

    Raises
    ------
    ValueError
        If the budget or β is not positive and finite.
    """
    if not (0 < budget < math.inf and 0 < beta < math.inf):
        raise ValueError(f"budget and beta must be positive and finite, got {budget} and {beta}")

    def excess(log_r0: float) -> float:
        r0 = math.exp(log_r0)
        # Cut off where the budget is long exceeded: a steep β would overflow there.
        power = math.exp(min(beta * log_r0, 700.0))
        return power * _integral(r0, beta) - (r0 - 1.0) - budget

    if n_features < math.inf and excess(math.log(n_features)) <= 0:
        if n_features <= 1:
            return (1.0 + budget) ** (
                1.0 / beta
            )  # one feature takes it all; the continuum has no width
        return ((budget + n_features - 1.0) / _integral(n_features, beta)) ** (1.0 / beta)
    high = 1.0
    while excess(high) < 0:
        high *= 2.0
    return math.exp(brentq(excess, 0.0, high, xtol=1e-14, rtol=1e-14, maxiter=500))


def local_exponent(model: AllocationModel, n: int) -> float:
    """Return d log r0 / d log N at fixed A/N (Eq. 12): below 1/β, and towards it."""
    features = model.n_features(n)
    r0 = continuum_r0(model.budget(n), model.beta, features)
    if r0 <= features:
        return model.budget(n) / (model.beta * r0**model.beta * _integral(r0, model.beta))
    # A grows with N too: d(budget + A − 1) − d(r0^β I(A)), with A·dI/dA = A^(1 − β).
    gained = r0**model.beta * features ** (1.0 - model.beta)
    return (model.budget(n) + features - gained) / (
        model.beta * r0**model.beta * _integral(features, model.beta)
    )


def _integral(r: float, beta: float) -> float:
    """Return ∫₁^r x^(−β) dx = log r · (e^y − 1)/y with y = (1 − β) log r, accurate at β = 1 too."""
    log_r = math.log(r)
    return log_r * float(exprel((1.0 - beta) * log_r))


def predicted_exponents(beta: float) -> dict[str, float]:
    """Return the asymptotic exponents of count and isolations (docs/theory.md, Eqs. 11–14).

    For β ≤ 1 importance has no finite sum in the tail: the frontier moves in proportion to the
    budget (with a logarithm at β = 1), so the exponents are 1, 0 and 0.
    """
    alpha = min(1.0, 1.0 / beta)
    return dict(zip(QUANTITIES, (alpha, 1.0 - alpha, alpha - 1.0), strict=True))


def predicted_correlation(s: np.ndarray, s_other: np.ndarray) -> np.ndarray:
    """Return 1/√((1 + 1/s)(1 + 1/s′)), two best neurons' r (Dravid 2026, Eq. 62).

    Zero where either isolation is.
    """
    s, s_other = np.asarray(s, dtype=np.float64), np.asarray(s_other, dtype=np.float64)
    return np.sqrt(s / (1.0 + s) * (s_other / (1.0 + s_other)))


def matched_r_survival(r: np.ndarray, beta: float, floor: float) -> np.ndarray:
    """Return P(matched r > r | matched r > floor) = ((1 − r)/(1 − floor))^(1/β).

    docs/theory.md, Eq. (17). It is the continuum law. It depends on β alone: N, κ, γ and, above
    `floor` ≥ τ/(1 + τ), τ drop out.
    """
    return np.clip((1.0 - np.asarray(r, dtype=np.float64)) / (1.0 - floor), 0.0, 1.0) ** (
        1.0 / beta
    )


def exponent_from_r(r: np.ndarray, floor: float) -> tuple[float, int]:
    """Return α = 1/β from matched r above a floor, and their number (Eq. 17).

    log((1 − floor)/(1 − r)) is exponential with rate α, so its mean is 1/α; NaN without any r.
    """
    above = np.minimum(r[r > floor], 1 - 1e-9)  # a correlation of exactly 1 has no logarithm
    total = np.log((1 - floor) / (1 - above)).sum()
    return (len(above) / total if len(above) else math.nan), len(above)
