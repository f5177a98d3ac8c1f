"""How the count depends on τ, κ, γ, and what counts can tell (docs/theory.md, section 8)."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline
from scipy.stats import f as f_distribution

from rosetta.analysis.intervals import CONFIDENCE
from rosetta.config.theory import Theory
from rosetta.theory.allocation import (
    AllocationModel,
    continuum_frontier,
    continuum_r0,
    local_exponent,
)

SENSITIVITY_COLUMNS = ["beta", "n", "parameter", "value", "r_tau", "elasticity"]
PROFILE_COLUMNS = ["ladder", "statistic", "parameter", "value", "deviance", "bound"]
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
BETAS = np.linspace(1.02, 4.0, 150)
KAPPAS = np.geomspace(2.0**-6, 2.0**10, 65)
TAUS = np.geomspace(1.0, 2.0**6, 49)
FINER = 20  # κ is minimised over on a grid this much finer than the one reported
KNOTS = 60


def elasticities(model: AllocationModel, n: int) -> dict[str, float]:
    """Return d log r_τ / d log θ for θ = κ, γ, τ in the continuum (docs/theory.md, Eq. 22).

    While r0 < A the count does not depend on γ, and it follows κ exactly as it follows N. Once all
    A features are detectable it is γN.
    """
    features = model.n_features(n)
    r0 = continuum_r0(model.budget(n), model.beta, features)
    if r0 * (1 + model.tau) ** (-1 / model.beta) >= features:
        return {"kappa": 0.0, "gamma": 1.0, "tau": 0.0}
    if r0 > features:
        step = 1e-3
        by_gamma = (
            _log_r0(model, n, features * (1 + step)) - _log_r0(model, n, features * (1 - step))
        ) / (2 * step)
        by_kappa = local_exponent(model, n) - by_gamma
    else:
        by_gamma, by_kappa = 0.0, local_exponent(model, n)
    return {
        "kappa": by_kappa,
        "gamma": by_gamma,
        "tau": -model.tau / ((1 + model.tau) * model.beta),
    }


def _log_r0(model: AllocationModel, n: int, features: float) -> float:
    return math.log(continuum_r0(model.budget(n), model.beta, features))


def sensitivity_table(theory: Theory) -> pd.DataFrame:
    """Return the count as each parameter is scaled by `FACTORS`, per β and size."""
    rows = []
    for beta in theory.simulation.betas:
        for n in theory.simulation.sizes:
            for parameter in ("kappa", "gamma", "tau"):
                for factor in FACTORS:
                    values = {"kappa": theory.kappa, "gamma": theory.gamma, "tau": theory.tau}
                    values[parameter] *= factor
                    model = AllocationModel(beta, **values)
                    count = continuum_frontier(model, n).r_tau
                    rows.append(
                        (
                            beta,
                            n,
                            parameter,
                            values[parameter],
                            count,
                            elasticities(model, n)[parameter],
                        )
                    )
    return pd.DataFrame(rows, columns=SENSITIVITY_COLUMNS)


def deviance_bound(n: int) -> float:
    """Return the deviance that excludes a value at 95%, given n counts (docs/theory.md, Eq. 24).

    Counts have a slope and a height, whatever the parameters, so n − 2 degrees of freedom are left.
    The 3.84 of many counts would be far too strict on four rungs.
    """
    return n * math.log1p(f_distribution.ppf(CONFIDENCE, 1, n - 2) / (n - 2))


def count_profiles(
    ladder: str, statistic: str, sizes: np.ndarray, counts: np.ndarray
) -> pd.DataFrame:
    """Return the profile deviance of β, κ and τ given counts, rows of `PROFILE_COLUMNS`.

    Log counts scatter normally about log r_τ(N; β, κ, τ) with unknown variance. The deviance of a
    value is n log(RSS/RSS_min), with the residual sum of squares minimised over the other two
    parameters within the bounds of their grids; what exceeds `bound` (`deviance_bound`) is excluded
    at 95%. A profile that stays near 0 says that counts cannot tell the parameter. γ does not
    appear, because r_τ does not depend on it while r0 < A.

    No rows with fewer than three sizes, and none where a rung has no match: 0 has no logarithm, and
    the rungs that are left would be chosen by their counts.
    """
    sizes, counts = np.asarray(sizes, float), np.asarray(counts, float)
    if len(np.unique(sizes)) < 3 or not (counts > 0).all():
        return pd.DataFrame([], columns=PROFILE_COLUMNS)
    squares, n = _least_squares(np.log(counts), sizes), len(counts)
    floor = max(min(part.min() for part in squares.values()), 1e-12)
    tables = []
    for name, values in (("beta", BETAS), ("kappa", KAPPAS), ("tau", TAUS)):
        deviance = n * np.log(np.maximum(squares[name], floor) / floor)
        tables.append(pd.DataFrame({"parameter": name, "value": values, "deviance": deviance}))
    found = pd.concat(tables, ignore_index=True)
    return found.assign(ladder=ladder, statistic=statistic, bound=deviance_bound(n))[
        PROFILE_COLUMNS
    ]


def _least_squares(y: np.ndarray, sizes: np.ndarray) -> dict[str, np.ndarray]:
    """Return, for every value of each parameter, the smallest sum of squares of log counts `y` over
    the other two.
    """
    kappas = np.geomspace(KAPPAS[0], KAPPAS[-1], (len(KAPPAS) - 1) * FINER + 1)
    squares = {
        name: np.full(len(v), np.inf)
        for name, v in (("beta", BETAS), ("kappa", kappas), ("tau", TAUS))
    }
    for row, beta in enumerate(BETAS):
        residual = y - _log_frontiers(beta, np.outer(kappas, sizes))  # (κ, size)
        within, mean = residual.var(axis=1), residual.mean(axis=1)
        # r_τ lies log(1 + τ)/β below r0: for every κ the best τ is known, within its bounds.
        below = -np.clip(-mean, math.log1p(TAUS[0]) / beta, math.log1p(TAUS[-1]) / beta)
        best = len(y) * (within + (mean - below) ** 2)
        squares["beta"][row] = best.min()
        squares["kappa"] = np.minimum(squares["kappa"], best)
        by_tau = len(y) * (within[:, None] + (mean[:, None] + np.log1p(TAUS) / beta) ** 2)
        squares["tau"] = np.minimum(squares["tau"], by_tau.min(axis=0))
    squares["kappa"] = squares["kappa"][::FINER]
    return squares


def _log_frontiers(beta: float, budgets: np.ndarray) -> np.ndarray:
    """Return log r0 for an array of budgets, by a spline through exact solutions (log r0 is smooth
    in log budget).
    """
    return _frontier_spline(beta, budgets.min(), budgets.max())(np.log(budgets))


@lru_cache(len(BETAS))  # the ladders and statistics of a run share their sizes
def _frontier_spline(beta: float, low: float, high: float) -> CubicSpline:
    """Return log r0 by log budget, between two budgets."""
    knots = np.linspace(math.log(low) - 0.1, math.log(high) + 0.1, KNOTS)
    exact = [math.log(continuum_r0(math.exp(knot), beta)) for knot in knots]
    return CubicSpline(knots, exact)
