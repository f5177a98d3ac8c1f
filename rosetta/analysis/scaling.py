"""The scaling law |R| = c · x^α: ordinary least squares in log–log (method, section 5)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy import stats

from rosetta.progress import say

SCALING_COLUMNS = ["ladder", "alpha", "alpha_ci_low", "alpha_ci_high", "c", "r2", "n_rungs"]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class PowerLaw:
    """A fitted power law.

    Attributes
    ----------
    alpha, c : float
        Exponent and prefactor.
    alpha_ci_low, alpha_ci_high : float
        95% confidence interval of alpha from Student's t with n − 2 degrees of freedom; NaN for fewer than
        three rungs.
    r2 : float
        Coefficient of determination in log–log; NaN for fewer than three rungs.
    n_rungs : int
        Rungs used: those with at least one match.
    """

    alpha: float
    alpha_ci_low: float
    alpha_ci_high: float
    c: float
    r2: float
    n_rungs: int


def fit_power_law(sizes: np.ndarray, counts: np.ndarray) -> PowerLaw:
    """Fit a power law through positive counts; NaN throughout if fewer than two different sizes have any."""
    sizes, counts = np.asarray(sizes, dtype=float), np.asarray(counts, dtype=float)
    used = (counts > 0) & (sizes > 0)
    n = int(used.sum())
    if len(np.unique(sizes[used])) < 2:
        return PowerLaw(*[float("nan")] * 5, n_rungs=n)
    fit = stats.linregress(np.log(sizes[used]), np.log(counts[used]))
    # Equal counts lie on a flat line exactly; SciPy leaves its error undefined.
    error = fit.stderr if np.ptp(counts[used]) else 0.0
    half = stats.t.ppf(0.5 + CONFIDENCE / 2, n - 2) * error if n > 2 else float("nan")
    return PowerLaw(
        alpha=float(fit.slope),
        alpha_ci_low=float(fit.slope - half),
        alpha_ci_high=float(fit.slope + half),
        c=float(np.exp(fit.intercept)),
        r2=float(fit.rvalue**2) if n > 2 else float("nan"),
        n_rungs=n,
    )


def scaling_table(counts: pd.DataFrame) -> pd.DataFrame:
    """Return the fitted law of every ladder in a table of counts (columns ladder, n_neurons, matches)."""
    rows = []
    for ladder, part in counts.groupby("ladder", sort=False):
        law = fit_power_law(part["n_neurons"].to_numpy(), part["matches"].to_numpy())
        if law.n_rungs < len(part):
            say(f"{ladder}: {len(part) - law.n_rungs} rung(s) without any match cannot enter a log–log fit")
        rows.append({"ladder": ladder, **asdict(law)})
    return pd.DataFrame(rows, columns=SCALING_COLUMNS)
