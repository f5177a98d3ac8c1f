"""Predictions beside measurements: exponents, and the distribution of matched r (docs/theory.md, section 6)."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.stats import chi2, kstest

from rosetta.analysis.intervals import CONFIDENCE
from rosetta.analysis.scaling import fit_power_law
from rosetta.config_theory import Theory
from rosetta.theory.allocation import continuum_r0, matched_r_survival
from rosetta.theory.prediction import Interval, estimates_of
from rosetta.theory.routes import BetaEstimate, alpha_interval

COMPARISON_COLUMNS = [
    "ladder", "quantity", "statistic", "route", "predicted", "predicted_ci_low", "predicted_ci_high",
    "measured", "measured_ci_low", "measured_ci_high", "overlap", "predicted_at_sizes",
]  # fmt: skip
MATCHED_R_COLUMNS = [
    "ladder", "rung", "route", "floor", "n", "alpha_predicted", "alpha_from_r", "ci_low", "ci_high",
    "median_predicted", "median_measured", "ks", "ks_p",
]  # fmt: skip


def compare(
    theory: Theory,
    betas: pd.DataFrame,
    scaling: pd.DataFrame,
    counts: pd.DataFrame,
    polarization: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return predicted and measured exponents of every ladder and route, with both intervals.

    `overlap` says whether the intervals meet; it is empty where one is missing. Wide intervals meet easily, so
    overlap is no proof of the theory, but its absence speaks against it. `predicted_at_sizes` is the slope of the
    continuum's count over the ladder's own sizes at the configured κ and γ, which lies below the asymptotic 1/β.

    Parameters
    ----------
    theory : Theory
        κ and γ of the finite-size slope.
    betas : DataFrame
        `routes.BETA_COLUMNS`.
    scaling, counts : DataFrame
        Fitted laws and counts of the ladders.
    polarization : DataFrame, optional
        `POLARIZATION_COLUMNS`: a selectivity statistic of each group of neurons, `rosetta` and others, per rung. Its
        slopes are set beside those predicted for the isolation of the same group.
    """
    rows = []
    for ladder in scaling["ladder"]:
        law = scaling[scaling["ladder"] == ladder].iloc[0]
        measured = [("matches", "matches", Interval(law["alpha"], law["alpha_ci_low"], law["alpha_ci_high"]))]
        if polarization is not None:
            measured += _polarization_slopes(polarization, counts, ladder)
        for quantity, statistic, slope in measured:
            for estimate in estimates_of(betas, ladder):
                predicted = _exponent(quantity, estimate)
                values = [getattr(side, name) for side in (predicted, slope) for name in ("value", "low", "high")]
                sizes = counts[counts["ladder"] == ladder]["n_neurons"].to_numpy()
                finite = _slope_at(theory, estimate.beta, sizes) if quantity == "matches" else math.nan
                rows.append((ladder, quantity, statistic, estimate.route, *values, _overlap(predicted, slope), finite))
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)


def _slope_at(theory: Theory, beta: float, sizes: np.ndarray) -> float:
    """Return the slope of log r_τ over sizes in the continuum; τ shifts all sizes alike, so it does not matter."""
    frontiers = [continuum_r0(theory.kappa * n, beta, theory.gamma * n) for n in sizes]
    return fit_power_law(sizes, np.array(frontiers)).alpha


def _exponent(quantity: str, estimate: BetaEstimate) -> Interval:
    value, low, high = alpha_interval(estimate)
    if quantity == "matches":
        return Interval(value, low, high)
    if quantity == "isolation_rosetta":
        return Interval(1 - value, 1 - high, 1 - low)
    return Interval(value - 1, low - 1, high - 1)


def _polarization_slopes(
    polarization: pd.DataFrame, counts: pd.DataFrame, ladder: str
) -> list[tuple[str, str, Interval]]:
    sizes = counts[counts["ladder"] == ladder].set_index("rung")["n_neurons"]
    found = []
    for (group, statistic), part in polarization[polarization["ladder"] == ladder].groupby(["group", "statistic"]):
        law = fit_power_law(part["rung"].map(sizes).to_numpy(), part["mean"].to_numpy())
        quantity = "isolation_rosetta" if group == "rosetta" else "isolation_rest"
        found.append((quantity, f"{statistic} of {group}", Interval(law.alpha, law.alpha_ci_low, law.alpha_ci_high)))
    return found


def _overlap(a: Interval, b: Interval) -> bool | None:
    ends = (a.low, a.high, b.low, b.high)
    return None if any(math.isnan(end) for end in ends) else a.low <= b.high and b.low <= a.high


def compare_matched_r(ladder: str, rung: int, r: np.ndarray, estimates: list[BetaEstimate], floor: float) -> list[dict]:
    """Return rows of `MATCHED_R_COLUMNS`: the matched correlations above a floor against their predicted distribution.

    Given that r exceeds the floor, log((1 − floor)/(1 − r)) is exponential with rate 1/β, whatever N, κ, γ and τ, so
    its mean estimates α = 1/β a second time, from the r alone (exact χ² interval). `ks` is the
    Kolmogorov–Smirnov distance to the distribution that the route's β predicts, `ks_p` its p value.
    """
    above = np.minimum(r[r > floor], 1 - 1e-9)  # a correlation of exactly 1 has no logarithm
    n = len(above)
    excess = np.log((1 - floor) / (1 - above))
    alpha = n / excess.sum() if n else math.nan
    ends = chi2.ppf([0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2], 2 * n) / (2 * excess.sum()) if n else [math.nan] * 2
    rows = []
    for estimate in estimates:
        beta = max(estimate.beta, 1e-6)
        test = kstest(above, lambda x, b=beta: 1 - matched_r_survival(x, b, floor)) if n else None
        predicted = 1 - (1 - floor) * 0.5**beta
        values = (
            ladder, rung, estimate.route, floor, n, 1 / beta, alpha, *ends, predicted,
            float(np.median(above)) if n else math.nan, test.statistic if test else math.nan,
            test.pvalue if test else math.nan,
        )  # fmt: skip
        rows.append(dict(zip(MATCHED_R_COLUMNS, values, strict=True)))
    return rows


def verdict(compared: pd.DataFrame, matched_r: pd.DataFrame, left_out: pd.DataFrame) -> list[str]:
    """Return sentences that say where predictions and measurements agree and where they do not."""
    sentences = []
    for quantity, name in (("matches", "the count's exponent"), ("isolation_rosetta", "selectivity's exponent")):
        judged = compared[(compared["quantity"] == quantity) & compared["overlap"].notna()]
        for route, part in judged.groupby("route", sort=False):
            apart = part[~part["overlap"].astype(bool)]["ladder"].tolist()
            said = f"They disagree on {', '.join(apart)}." if apart else "Wide intervals meet easily."
            sentences.append(
                f"Route {route}: predicted and measured intervals of {name} overlap on {len(part) - len(apart)} of "
                f"{len(part)} ladders. {said}"
            )
    tested = matched_r[matched_r["ks_p"].notna()]
    for route, part in tested.groupby("route", sort=False):
        rejected = int((part["ks_p"] < 1 - CONFIDENCE).sum())
        sentences.append(
            f"Route {route}: the predicted distribution of matched r is rejected at 5% on {rejected} of {len(part)} "
            "rungs."
        )
    for method, part in left_out[left_out["log_error"].notna()].groupby("method", sort=False):
        error = math.exp(part["log_error"].abs().median())
        covered = part["covered"].dropna().astype(bool)
        sentences.append(
            f"Leaving one size out, {method}: half of the counts are predicted within a factor of {error:.2f}; "
            f"{int(covered.sum())} of {len(covered)} lie inside their 95% interval."
        )
    return sentences
