"""Predictions beside measurements: exponents and matched r (docs/theory.md, section 6)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2, kstest

from rosetta.analysis.groups import OTHERS, rosetta_group
from rosetta.analysis.intervals import CONFIDENCE
from rosetta.analysis.null_thresholds import PLAIN
from rosetta.analysis.scaling import fit_log_log
from rosetta.config.theory import Theory
from rosetta.theory.allocation import continuum_r0, exponent_from_r, matched_r_survival
from rosetta.theory.prediction import Interval, estimates_of, selectivity_series
from rosetta.theory.routes import BetaEstimate, alpha_interval
from rosetta.theory.simulation import ALL_NEURONS

COMPARISON_COLUMNS = [
    "ladder",
    "quantity",
    "group",
    "statistic",
    "route",
    "predicted",
    "predicted_ci_low",
    "predicted_ci_high",
    "measured",
    "measured_ci_low",
    "measured_ci_high",
    "measured_resampled_low",
    "measured_resampled_high",
    "overlap",
    "overlap_resampled",
    "predicted_at_sizes",
]
MATCHED_R_COLUMNS = [
    "ladder",
    "rung",
    "model",
    "route",
    "floor",
    "n",
    "alpha_predicted",
    "alpha_from_r",
    "ci_low",
    "ci_high",
    "factor",
    "factor_low",
    "factor_high",
    "median_predicted",
    "median_measured",
    "ks",
    "ks_p",
]


def compare(
    theory: Theory,
    betas: pd.DataFrame,
    scaling: pd.DataFrame,
    counts: pd.DataFrame,
    polarization: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return predicted and measured exponents per ladder, statistic and route.

    Two measured intervals stand beside the predicted one. `measured_ci_…` is the 95% interval: of a
    count's exponent it joins how far the rungs lie from a law and what documents and thresholds do
    (`scaling_table`), of selectivity it is the scatter of the rungs alone (none with two).
    `measured_resampled_…` is that of documents and thresholds, or for selectivity that of neurons.
    `overlap` and `overlap_resampled` say whether each meets the predicted interval; they are empty
    where one is missing, and where a route leaves all exponents open that the model knows, and so
    predicts nothing. Wide intervals meet easily, so overlap is no proof of the theory, but its
    absence speaks against it. `predicted_at_sizes` is the slope of the continuum's count over the
    ladder's own sizes at the configured κ and γ, which lies below the asymptotic 1/β.

    Parameters
    ----------
    theory : Theory
        κ and γ of the finite-size slope.
    betas : DataFrame
        `routes.BETA_COLUMNS`.
    scaling, counts : DataFrame
        Fitted laws of every statistic, all matches or those above a null, and counts of the
        ladders.
    polarization : DataFrame, optional
        `groups.POLARIZATION_COLUMNS`. The slopes of the selectivity of Rosetta Neurons, of those
        above each null and of the others are set beside those predicted for their isolation.
    """
    rows = []
    for ladder, laws in scaling.groupby("ladder", sort=False):
        sizes = counts[counts["ladder"] == ladder]["n_neurons"].to_numpy()
        measured = [_count_slopes(law) for law in laws.to_dict("records")]
        if polarization is not None:
            measured += _selectivity_slopes(polarization, counts, ladder)
        for quantity, group, statistic, fitted, resampled in measured:
            for estimate in estimates_of(betas, ladder):
                values = _compared(_exponent(quantity, estimate), fitted, resampled)
                finite = (
                    _slope_at(theory, estimate.beta, sizes) if quantity == "matches" else math.nan
                )
                rows.append((ladder, quantity, group, statistic, estimate.route, *values, finite))
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)


def _compared(predicted: Interval, fitted: Interval, resampled: Interval) -> list[Any]:
    """Return both exponents with their ends, and whether each measured interval meets the predicted
    one.
    """
    ends = [end for side in (predicted, fitted) for end in (side.value, side.low, side.high)]
    overlaps = [_overlap(predicted, fitted), _overlap(predicted, resampled)]
    return [*ends, resampled.low, resampled.high, *overlaps]


# Quantity, group of neurons, statistic, and its exponent with its 95% interval and with the
# resampled one.
_Measured = tuple[str, str, str, Interval, Interval]


def _count_slopes(law: dict) -> _Measured:
    fitted = Interval(law["alpha"], law["alpha_ci_low"], law["alpha_ci_high"])
    resampled = Interval(law["alpha"], law["alpha_resampled_low"], law["alpha_resampled_high"])
    return "matches", rosetta_group(law["statistic"]), law["statistic"], fitted, resampled


def _slope_at(theory: Theory, beta: float, sizes: np.ndarray) -> float:
    """Return the slope of log r_τ over sizes in the continuum; τ shifts all sizes alike, so it does
    not matter.

    NaN if β is not positive, as the slope of a flat curve may be by chance: the model has no such
    β.
    """
    if beta <= 0:
        return math.nan
    frontiers = [continuum_r0(theory.kappa * n, beta, theory.gamma * n) for n in sizes]
    return fit_log_log(sizes, np.array(frontiers)).alpha


def _exponent(quantity: str, estimate: BetaEstimate) -> Interval:
    value, low, high = alpha_interval(estimate)
    if quantity == "matches":
        return Interval(value, low, high)
    if quantity == "isolation_rosetta":
        return Interval(1 - value, 1 - high, 1 - low)
    return Interval(value - 1, low - 1, high - 1)


def _selectivity_slopes(
    polarization: pd.DataFrame, counts: pd.DataFrame, ladder: str
) -> list[_Measured]:
    """Return the slopes of every selectivity statistic, with the scatter of rungs and that of
    resampled neurons.

    The latter follows from the means' own bootstrap intervals, which are independent between rungs:
    to first order the slope is a weighted sum of log means.
    """
    found = []
    for group, statistic, part in selectivity_series(polarization, counts, ladder):
        law = fit_log_log(part["n_neurons"].to_numpy(), part["mean"].to_numpy())
        distance = np.log(part["n_neurons"]) - np.log(part["n_neurons"]).mean()
        spread = (part["ci_high"] - part["ci_low"]) / 2 / part["mean"]
        squares = float(np.square(distance).sum())
        half = float(np.linalg.norm(distance * spread)) / squares if squares else math.nan
        quantity = "isolation_rest" if group == OTHERS else "isolation_rosetta"
        fitted = Interval(law.alpha, law.alpha_ci_low, law.alpha_ci_high)
        resampled = Interval(law.alpha, law.alpha - half, law.alpha + half)
        found.append((quantity, group, statistic, fitted, resampled))
    return found


def _overlap(predicted: Interval, measured: Interval) -> bool | None:
    ends = (predicted.low, predicted.high, measured.low, measured.high)
    if any(math.isnan(end) for end in ends) or predicted.high - predicted.low >= 1:
        return None
    return predicted.low <= measured.high and measured.low <= predicted.high


def matched_r(rosetta: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the r of a group's Rosetta Neurons with each other model, by name.

    The model speaks of two networks, so each comparison with the anchor stands by itself: a mean
    over several has another law. Of several partners in one model, the best counts.
    """
    neuron = ["layer_anchor", "unit_anchor"]
    return {
        model: part.groupby(neuron)["r"].max().to_numpy()
        for model, part in rosetta.groupby("model", sort=False)
    }


def compare_matched_r(
    place: dict[str, Any], r: np.ndarray, estimates: list[BetaEstimate], floor: float
) -> list[dict]:
    """Return `MATCHED_R_COLUMNS`: matched r above a floor against their predicted law.

    Given that r exceeds the floor, log((1 − floor)/(1 − r)) is exponential with rate 1/β, whatever
    N, κ, γ and τ, so its mean estimates α = 1/β a second time, from the r alone (exact χ²
    interval). `factor` is this α over the predicted one; its interval reaches from end to end of
    both. `ks` is the Kolmogorov–Smirnov distance to the distribution that the route's β predicts,
    `ks_p` its p value.

    Parameters
    ----------
    place : dict
        Ladder, rung and the model that the anchor is compared with.
    r : ndarray
        Matched correlations of two models (`matched_r`).
    estimates : list of BetaEstimate
        β by each route.
    floor : float
        Correlation at the threshold of detection, τ/(1 + τ).
    """
    above = r[r > floor]
    alpha, n = exponent_from_r(r, floor)
    ends = (
        alpha * chi2.ppf([0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2], 2 * n) / (2 * n)
        if n
        else [math.nan] * 2
    )
    measured = {"alpha_from_r": alpha, "ci_low": ends[0], "ci_high": ends[1]}
    median = float(np.median(above)) if n else math.nan
    known = {**place, "floor": floor, "n": n, **measured, "median_measured": median}
    return [{**known, **_against(estimate, above, measured, floor)} for estimate in estimates]


def _against(
    estimate: BetaEstimate, above: np.ndarray, measured: dict[str, float], floor: float
) -> dict[str, Any]:
    """Return what a route's β predicts of the correlations above a floor, and how far they are from
    it.
    """
    beta = max(estimate.beta, 1e-6)
    test = kstest(above, lambda x: 1 - matched_r_survival(x, beta, floor)) if len(above) else None
    return {
        "route": estimate.route,
        "alpha_predicted": 1 / beta,
        "factor": measured["alpha_from_r"] * beta,
        "factor_low": measured["ci_low"] * estimate.ci_low,
        "factor_high": measured["ci_high"] * estimate.ci_high,
        "median_predicted": 1 - (1 - floor) * 0.5**beta,
        "ks": test.statistic if test else math.nan,
        "ks_p": test.pvalue if test else math.nan,
    }


def verdict(
    compared: pd.DataFrame,
    matched_r: pd.DataFrame,
    left_out: pd.DataFrame,
    finite_size: pd.DataFrame,
) -> list[str]:
    """Return sentences that say where predictions and measurements agree and where they do not.

    Parameters
    ----------
    compared, matched_r : DataFrame
        `COMPARISON_COLUMNS` and `MATCHED_R_COLUMNS`.
    left_out : DataFrame
        `prediction.LEAVE_ONE_OUT_COLUMNS`.
    finite_size : DataFrame
        `exponents.FINITE_SIZE_COLUMNS`: what simulated whole networks, where there are any, say of
        counts of all matches.
    """
    counted = compared[compared["quantity"] == "matches"]
    sentences = [_overlap_said(route, part) for route, part in counted.groupby("route", sort=False)]
    if (counted["statistic"] == PLAIN).any():
        sentences += _whole_networks_said(finite_size)
    sentences += _signs_said(compared)
    # A route whose β may be anything predicts nothing.
    tested = matched_r[
        matched_r["ks_p"].notna() & np.isfinite(matched_r["factor_high"].astype(float))
    ]
    sentences += [
        _matched_r_said(route, part) for route, part in tested.groupby("route", sort=False)
    ]
    for method, part in left_out[left_out["predicted"].notna()].groupby("method", sort=False):
        sentences.append(f"Leaving one size out, {method}: {'; '.join(_errors_said(part))}.")
    return sentences


def _whole_networks_said(finite_size: pd.DataFrame) -> list[str]:
    """Return how all matches of simulated whole networks grow beside what they should; nothing
    without any.
    """
    whole = finite_size[finite_size["neurons"] == ALL_NEURONS]
    by_beta = whole.pivot(index="beta", columns="quantity", values="fitted")
    expected = whole[whole["quantity"] == "matches"].set_index("beta")["predicted"]
    said = [
        f"{row['matches']:.2f} and {row['true_matches']:.2f} where {expected[beta]:.2f} is "
        "predicted"
        for beta, row in by_beta.iterrows()
    ]
    told = (
        "Whether all matches are a test, simulated whole networks tell, in which the theory "
        "holds: there the exponents "
        f"of all matches and of the right ones among them are {'; '.join(said)}."
    )
    return [told] if said else []


def _matched_r_said(route: str, tested: pd.DataFrame) -> str:
    """Return what the matched r say of a route's β, with the factors of the largest rungs."""
    rejected = int((tested["ks_p"] < 1 - CONFIDENCE).sum())
    apart = int(((tested["factor_low"] > 1) | (tested["factor_high"] < 1)).sum())
    factors = []
    for ladder, part in tested.groupby("ladder", sort=False):
        for row in part[part["rung"] == part["rung"].max()].to_dict("records"):
            interval = f"{row['factor_low']:.1f} to {row['factor_high']:.1f}"
            alphas = f"{row['alpha_from_r']:.2f} where {row['alpha_predicted']:.2f} is predicted"
            factors.append(
                f"{ladder} with {row['model']} {row['factor']:.1f} ({interval}; {alphas})"
            )
    return (
        f"Route {route}: α read off the matched r alone, over the predicted α, on the largest "
        "rungs: "
        f"{'; '.join(factors)}. The theory says 1; that lies outside the 95% interval in "
        f"{apart} of all {len(tested)} "
        "comparisons of two models, and the predicted distribution of r is rejected at 5% in "
        f"{rejected}."
    )


def _errors_said(left_out: pd.DataFrame) -> list[str]:
    said = []
    for statistic, part in left_out.groupby("statistic", sort=False):
        # A count of 0 is within no factor of any prediction.
        error = math.exp(part["log_error"].abs().fillna(math.inf).median())
        within = (
            f"within a factor of {error:.2f}"
            if math.isfinite(error)
            else "within no factor, for want of matches"
        )
        covered = part["covered"].dropna().astype(bool)
        said.append(
            f"half of the counts ({statistic}) are predicted {within}, and {int(covered.sum())} "
            f"of {len(covered)} lie "
            "inside their 95% interval"
        )
    return said


def _overlap_said(route: str, part: pd.DataFrame) -> str:
    said = []
    for statistic, laws in part.groupby("statistic", sort=False):
        for column, interval in (
            ("overlap", "95% interval"),
            ("overlap_resampled", "of documents and thresholds"),
        ):
            judged = laws[laws[column].notna()]
            apart = judged[~judged[column].astype(bool)]["ladder"].tolist()
            if len(judged):
                but = f" (not {', '.join(apart)})" if apart else ""
                said.append(
                    f"{statistic}, {interval}: {len(judged) - len(apart)} of {len(judged)}{but}"
                )
    return (
        f"Route {route}: ladders on which the predicted interval of the count's exponent "
        "overlaps the measured one: "
        f"{'; '.join(said) or 'none can be judged'}. Wide intervals meet easily."
    )


def _signs_said(compared: pd.DataFrame) -> list[str]:
    """Return what the slopes of selectivity say: their sign is all that the model predicts
    firmly.
    """
    slopes = compared[(compared["quantity"] != "matches") & compared["measured"].notna()]
    sentences = []
    for group, mine in slopes.drop_duplicates(["ladder", "group", "statistic"]).groupby(
        "group", sort=False
    ):
        sign, name = (-1, "falls") if group == OTHERS else (1, "rises")
        said = []
        for statistic, part in mine.groupby("statistic", sort=False):
            towards = int((part["measured"] * sign > 0).sum())
            nearer = (
                part[["measured_resampled_low", "measured_resampled_high"]].mul(sign).min(axis=1)
            )
            surely = int((nearer > 0).sum())
            said.append(
                f"{statistic} {towards} of {len(part)} ({surely} beyond the sampling of neurons)"
            )
        sentences.append(
            f"Ladders on which the mean selectivity of {group} {name} with size, as predicted: "
            f"{'; '.join(said)}."
        )
    return sentences
