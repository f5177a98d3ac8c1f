"""Predictions of sizes that were not measured, and of sizes that were left out (docs/theory.md, section 7)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t

from rosetta.analysis.intervals import CONFIDENCE
from rosetta.analysis.scaling import fit_power_law
from rosetta.theory.routes import BetaEstimate, alpha_interval

PREDICTION_COLUMNS = ["ladder", "method", "n_neurons", "quantity", "predicted", "ci_low", "ci_high"]
LEAVE_ONE_OUT_COLUMNS = [
    "ladder", "rung", "n_neurons", "method", "measured", "predicted", "ci_low", "ci_high", "log_error", "covered",
]  # fmt: skip
POLARIZATION_COLUMNS = ["ladder", "rung", "group", "statistic", "mean", "ci_low", "ci_high", "n"]
FIT = "fitted law"  # the method that takes its slope from the counts; the others are named after their route


@dataclass(frozen=True)
class Interval:
    """A value and its 95% interval."""

    value: float
    low: float
    high: float


def estimates_of(betas: pd.DataFrame, ladder: str) -> list[BetaEstimate]:
    """Return the usable estimates of a ladder in a table of β."""
    part = betas[(betas["ladder"] == ladder) & betas["beta"].notna()]
    return [BetaEstimate(r.route, r.beta, r.ci_low, r.ci_high, int(r.n)) for r in part.itertuples()]


def predict_by_fit(sizes: np.ndarray, values: np.ndarray, to_size: float) -> Interval:
    """Extrapolate by ordinary least squares in log–log, with the 95% interval of a new observation.

    NaN with fewer than two sizes; no interval with two.
    """
    x, y, target = np.log(np.asarray(sizes, float)), np.log(np.asarray(values, float)), math.log(to_size)
    law, n = fit_power_law(sizes, values), len(x)
    if not math.isfinite(law.alpha):
        return Interval(*[math.nan] * 3)
    center = math.log(law.c) + law.alpha * target
    if n < 3:
        return Interval(math.exp(center), math.nan, math.nan)
    scatter = math.sqrt(np.square(y - math.log(law.c) - law.alpha * x).sum() / (n - 2))
    spread = math.sqrt(1 + 1 / n + (target - x.mean()) ** 2 / np.square(x - x.mean()).sum())
    return _exponential(center, *[t.ppf(0.5 + CONFIDENCE / 2, n - 2) * scatter * spread] * 2)


def predict_by_slope(sizes: np.ndarray, values: np.ndarray, to_size: float, slope: Interval) -> Interval:
    """Extrapolate with a slope that is known beforehand; only the height is taken from the observations.

    The interval joins their scatter about the line (Student's t) and the interval of the slope, over the distance
    from their mean size. NaN without observations; no interval with one.
    """
    x, y, target = np.log(np.asarray(sizes, float)), np.log(np.asarray(values, float)), math.log(to_size)
    n = len(x)
    if not n:
        return Interval(*[math.nan] * 3)
    reach = target - x.mean()
    center = y.mean() + slope.value * reach
    scatter = math.nan
    if n > 1:
        residual = y - slope.value * x
        scatter = t.ppf(0.5 + CONFIDENCE / 2, n - 1) * residual.std(ddof=1) * math.sqrt(1 + 1 / n)
    ends = sorted([(slope.low - slope.value) * reach, (slope.high - slope.value) * reach])
    return _exponential(center, math.hypot(scatter, ends[0]), math.hypot(scatter, ends[1]))


def _exponential(center: float, below: float, above: float) -> Interval:
    return Interval(math.exp(center), math.exp(center - below), math.exp(center + above))


def predict_to(
    to_size: float, betas: pd.DataFrame, counts: pd.DataFrame, polarization: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return what the fitted law and each route predict for a size, rows of `PREDICTION_COLUMNS`.

    Quantities: `count`; `fraction` of all neurons; `selectivity`, the factor by which the mean isolation of Rosetta
    Neurons grows from the ladder's largest size; and each statistic of `polarization`, if given, by its own slope or
    the predicted one.
    """
    rows = []
    for ladder, part in counts.groupby("ladder", sort=False):
        used = part[part["matches"] > 0]
        sizes, matches, largest = used["n_neurons"].to_numpy(), used["matches"].to_numpy(), part["n_neurons"].max()
        law = fit_power_law(sizes, matches)
        slopes = {FIT: Interval(law.alpha, law.alpha_ci_low, law.alpha_ci_high)}
        slopes |= {e.route: Interval(*alpha_interval(e)) for e in estimates_of(betas, ladder)}
        for method, alpha in slopes.items():
            count = _predict(method, sizes, matches, to_size, alpha)
            fraction = Interval(*(end / to_size for end in (count.value, count.low, count.high)))
            gain = Interval(*((to_size / largest) ** (1 - end) for end in (alpha.value, alpha.high, alpha.low)))
            found = {"count": count, "fraction": fraction, "selectivity": Interval(gain.value, *_sorted(gain))}
            found |= _predict_polarization(polarization, part, ladder, method, alpha, to_size)
            rows += [(ladder, method, to_size, name, i.value, i.low, i.high) for name, i in found.items()]
    return pd.DataFrame(rows, columns=PREDICTION_COLUMNS)


def _sorted(interval: Interval) -> tuple[float, float]:
    return min(interval.low, interval.high), max(interval.low, interval.high)


def _predict(method: str, sizes: np.ndarray, values: np.ndarray, to_size: float, slope: Interval) -> Interval:
    return predict_by_fit(sizes, values, to_size) if method == FIT else predict_by_slope(sizes, values, to_size, slope)


def _predict_polarization(
    polarization: pd.DataFrame | None, counts: pd.DataFrame, ladder: str, method: str, alpha: Interval, to_size: float
) -> dict[str, Interval]:
    if polarization is None:
        return {}
    sizes, found = counts.set_index("rung")["n_neurons"], {}
    for (group, statistic), part in polarization[polarization["ladder"] == ladder].groupby(["group", "statistic"]):
        used = part[part["mean"] > 0]
        sign = 1.0 if group == "rosetta" else -1.0
        slope = Interval(*(sign * (1 - end) for end in (alpha.value, alpha.low, alpha.high)))
        slope = Interval(slope.value, *_sorted(slope))
        at = used["rung"].map(sizes).to_numpy()
        found[f"{statistic} of {group}"] = _predict(method, at, used["mean"].to_numpy(), to_size, slope)
    return found


def leave_one_out(betas: pd.DataFrame, counts: pd.DataFrame) -> pd.DataFrame:
    """Return the errors of predicting each rung's count from the other rungs, rows of `LEAVE_ONE_OUT_COLUMNS`.

    The routes' β never saw a count, but the spectrum and loss routes saw the models of the rung that is left out.
    `log_error` is log(predicted/measured).
    """
    rows = []
    for ladder, part in counts.groupby("ladder", sort=False):
        used = part[part["matches"] > 0]
        slopes = {FIT: Interval(math.nan, math.nan, math.nan)}
        slopes |= {e.route: Interval(*alpha_interval(e)) for e in estimates_of(betas, ladder)}
        for row in used.itertuples():
            others = used[used["rung"] != row.rung]
            sizes, matches = others["n_neurons"].to_numpy(), others["matches"].to_numpy()
            for method, slope in slopes.items():
                found = _predict(method, sizes, matches, row.n_neurons, slope)
                covered = None if math.isnan(found.low + found.high) else found.low <= row.matches <= found.high
                error = math.log(found.value / row.matches) if found.value > 0 else math.nan
                values = (row.matches, found.value, found.low, found.high, error, covered)
                rows.append((ladder, row.rung, row.n_neurons, method, *values))
    return pd.DataFrame(rows, columns=LEAVE_ONE_OUT_COLUMNS)
