"""How the predicted count depends on τ, κ and γ, and which parameters counts can tell (docs/theory.md, section 8)."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from rosetta.config import Theory
from rosetta.theory.allocation import AllocationModel, continuum_frontier, continuum_r0, local_exponent

SENSITIVITY_COLUMNS = ["beta", "n", "parameter", "value", "r_tau", "elasticity"]
PROFILE_COLUMNS = ["ladder", "parameter", "value", "deviance"]
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
BETAS = np.linspace(1.02, 4.0, 75)
KAPPAS = np.geomspace(2.0**-6, 2.0**6, 49)
TAUS = np.geomspace(1.0, 2.0**6, 49)


def elasticities(model: AllocationModel, n: int) -> dict[str, float]:
    """Return d log r_τ / d log θ for θ = κ, γ, τ in the continuum (docs/theory.md, Eq. 22).

    While r0 < A the count does not depend on γ, and it follows κ exactly as it follows N.
    """
    features = model.n_features(n)
    if continuum_r0(model.budget(n), model.beta, features) > features:
        step = 1e-3
        by_gamma = (_log_r0(model, n, features * (1 + step)) - _log_r0(model, n, features * (1 - step))) / (2 * step)
        by_kappa = local_exponent(model, n) - by_gamma
    else:
        by_gamma, by_kappa = 0.0, local_exponent(model, n)
    return {"kappa": by_kappa, "gamma": by_gamma, "tau": -model.tau / ((1 + model.tau) * model.beta)}


def _log_r0(model: AllocationModel, n: int, features: float) -> float:
    return math.log(continuum_r0(model.budget(n), model.beta, features))


def sensitivity_table(theory: Theory) -> pd.DataFrame:
    """Return the predicted count as one parameter is scaled by each of `FACTORS`, at every simulated β and size."""
    rows = []
    for beta in theory.simulation.betas:
        for n in theory.simulation.sizes:
            for parameter in ("kappa", "gamma", "tau"):
                for factor in FACTORS:
                    values = {"kappa": theory.kappa, "gamma": theory.gamma, "tau": theory.tau}
                    values[parameter] *= factor
                    model = AllocationModel(beta, **values)
                    count = continuum_frontier(model, n).r_tau
                    rows.append((beta, n, parameter, values[parameter], count, elasticities(model, n)[parameter]))
    return pd.DataFrame(rows, columns=SENSITIVITY_COLUMNS)


def count_profiles(ladder: str, sizes: np.ndarray, counts: np.ndarray) -> pd.DataFrame:
    """Return the profile deviance of β, κ and τ given counts, rows of `PROFILE_COLUMNS`.

    Log counts scatter normally about log r_τ(N; β, κ, τ) with unknown variance. The deviance of a value is
    n log(RSS/RSS_min), with the residual sum of squares minimised over the other two parameters on a grid: 3.84 and
    more excludes the value at 95%. A profile that stays near 0 says that counts cannot tell the parameter.
    γ does not appear, because r_τ does not depend on it while r0 < A.
    """
    used = np.asarray(counts, float) > 0
    sizes, y = np.asarray(sizes, float)[used], np.log(np.asarray(counts, float)[used])
    if len(np.unique(sizes)) < 3:
        return pd.DataFrame([], columns=PROFILE_COLUMNS)
    log_r0 = np.array([[[math.log(continuum_r0(k * n, b)) for n in sizes] for k in KAPPAS] for b in BETAS])
    shift = np.log1p(TAUS)[None, :] / BETAS[:, None]  # log(r0/r_τ), by β and τ
    residual = y - log_r0  # (β, κ, size)
    mean, within = residual.mean(axis=2), residual.var(axis=2)
    squares = len(y) * (within[:, :, None] + (mean[:, :, None] + shift[:, None, :]) ** 2)  # (β, κ, τ)
    floor = max(squares.min(), 1e-12)
    tables = []
    for name, values, others in (("beta", BETAS, (1, 2)), ("kappa", KAPPAS, (0, 2)), ("tau", TAUS, (0, 1))):
        deviance = len(y) * np.log(np.maximum(squares.min(axis=others), floor) / floor)
        tables.append(pd.DataFrame({"ladder": ladder, "parameter": name, "value": values, "deviance": deviance}))
    return pd.concat(tables, ignore_index=True)
