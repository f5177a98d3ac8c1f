"""The scaling law |R| = c · x^α: ordinary least squares in log–log (method, section 5)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy import stats

from rosetta.analysis.counts import COUNT_OF
from rosetta.analysis.intervals import half_sample_interval, t_quantile
from rosetta.progress import say

SCALING_COLUMNS = [
    "ladder", "statistic", "alpha", "alpha_ci_low", "alpha_ci_high", "alpha_resampled_low", "alpha_resampled_high",
    "c", "r2", "n_rungs",
]  # fmt: skip


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
    log_sizes, log_counts = np.log(sizes[used]), np.log(counts[used])
    fit = stats.linregress(log_sizes, log_counts)
    # Equal counts lie on a flat line exactly; SciPy leaves its error undefined.
    error = fit.stderr if np.ptp(log_counts) else 0.0
    half = t_quantile(n - 2) * error if n > 2 else float("nan")
    return PowerLaw(
        alpha=float(fit.slope),
        alpha_ci_low=float(fit.slope - half),
        alpha_ci_high=float(fit.slope + half),
        c=float(np.exp(fit.intercept)),
        r2=float(fit.rvalue**2) if n > 2 else float("nan"),
        n_rungs=n,
    )


def scaling_table(counts: pd.DataFrame, replicates: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the fitted law of every ladder and statistic.

    Parameters
    ----------
    counts : DataFrame
        Columns ladder, n_neurons, matches, and optionally the counts above each null, `above_…`.
    replicates : DataFrame, optional
        Counts on half-samples of the documents (`rosetta.analysis.replicates`), for the resampled intervals: those
        of the laws fitted on each. They tell what the choice of documents does to the
        exponent; the interval of the fit tells how far the rungs lie from a power law.
    """
    rows = []
    for ladder, part in counts.groupby("ladder", sort=False):
        for statistic, column in COUNT_OF.items():
            if column not in part or part[column].isna().all():
                continue
            law = fit_power_law(part["n_neurons"].to_numpy(), part[column].to_numpy())
            if law.n_rungs < len(part):
                say(f"{ladder}, {statistic}: {len(part) - law.n_rungs} rung(s) without any match cannot enter the fit")
            low, high = _resampled(law.alpha, part, ladder, statistic, replicates)
            rows.append(
                {"ladder": ladder, "statistic": statistic, **asdict(law)}
                | {"alpha_resampled_low": low, "alpha_resampled_high": high}
            )
    return pd.DataFrame(rows, columns=SCALING_COLUMNS)


def _resampled(
    alpha: float, counts: pd.DataFrame, ladder: object, statistic: str, replicates: pd.DataFrame | None
) -> tuple[float, float]:
    if replicates is None:
        return float("nan"), float("nan")
    mine = replicates[(replicates["ladder"] == ladder) & (replicates["statistic"] == statistic)]
    by_half = mine.pivot(index="rung", columns="half_sample", values="matches").loc[counts["rung"]].dropna(axis=1)
    sizes = counts["n_neurons"].to_numpy()
    alphas = np.array([fit_power_law(sizes, column).alpha for column in by_half.to_numpy().T])
    low, high = half_sample_interval(alpha, alphas)
    return float(low), float(high)
