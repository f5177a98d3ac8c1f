"""Predictions of unmeasured and left-out sizes (docs/theory.md, section 7)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import gammaincc, ndtri

from rosetta.analysis.count_law import fit_count_law, groups_of, law_of
from rosetta.analysis.counts import COUNT_OF
from rosetta.analysis.groups import OTHERS, rosetta_group
from rosetta.analysis.intervals import CONFIDENCE, t_quantile
from rosetta.analysis.scaling import counted_columns, fit_log_log
from rosetta.analysis.scatter import Scatter, own_trainings
from rosetta.theory.routes import BetaEstimate, alpha_interval

PREDICTION_COLUMNS = [
    "ladder",
    "method",
    "n_neurons",
    "quantity",
    "statistic",
    "predicted",
    "ci_low",
    "ci_high",
]
LEAVE_ONE_OUT_COLUMNS = [
    "ladder",
    "rung",
    "n_neurons",
    "statistic",
    "method",
    "measured",
    "predicted",
    "ci_low",
    "ci_high",
    "log_error",
    "covered",
]
# the method that takes its slope from the counts; the others are named after their route
FIT = "fitted law"
# What tells, of a neuron, how well its feature stands out. The other measured statistics are no
# selectivity.
SELECTIVITY = ("excess_kurtosis", "activation_variance", "domain_information")
_DRAWS = 1000  # means that stand for a distribution of means
_LARGEST_LOG = 300.0


@dataclass(frozen=True)
class Interval:
    """A value and its 95% interval."""

    value: float
    low: float
    high: float

    def ordered(self) -> Interval:
        """Return the interval with its ends in order: a falling function swaps them."""
        return Interval(self.value, min(self.low, self.high), max(self.low, self.high))

    def clipped(self, largest: float) -> Interval:
        """Return the interval within what can be: no more than `largest`."""
        return Interval(
            *(min(end, largest) if end == end else end for end in (self.value, self.low, self.high))
        )


def estimates_of(betas: pd.DataFrame, ladder: str) -> list[BetaEstimate]:
    """Return the usable estimates of a ladder in a table of β."""
    part = betas[(betas["ladder"] == ladder) & betas["beta"].notna()]
    return [BetaEstimate(r.route, r.beta, r.ci_low, r.ci_high, int(r.n)) for r in part.itertuples()]


def predict_count(
    sizes: np.ndarray,
    counts: np.ndarray,
    to_size: float,
    slope: Interval | None = None,
    rungs: Sequence[Hashable] | None = None,
    models: Sequence[Sequence[Hashable]] | None = None,
) -> Interval:
    """Extrapolate counts ≥ 0 with a new count's 95% interval (docs/theory.md, section 7).

    The law c · x^α is fitted as in `rosetta.analysis.count_law`; with a slope that is known
    beforehand, only c is. The log mean of the new count has the error of the fit and effects of its
    own, of a rung, of trainings and of the count, joined with the interval of the slope over the
    distance from the mean size of what the counts tell. About its mean the count scatters as
    Poisson's. Of large counts, this is the least-squares interval of a new observation.

    NaN where the law cannot be told, or with a slope where there is no match; no interval without
    degrees of freedom.

    Parameters
    ----------
    sizes, counts, rungs, models
        Counts of groups, as `rosetta.analysis.count_law.fit_count_law` takes them.
    to_size : float
        Neurons per model of the new group.
    slope : Interval, optional
        α with its interval, where it is not taken from the counts.
    """
    sizes, counts = np.asarray(sizes, float), np.asarray(counts, float)
    told = math.isfinite(fit_count_law(sizes, counts).alpha) if slope is None else counts.any()
    if not told or np.isnan(counts).any():
        return Interval(*[math.nan] * 3)
    # Distances are from the size that is asked for, so the height is the log mean there.
    distance, height = np.log(sizes) - math.log(to_size), np.ones((len(sizes), 1))
    design = np.column_stack([height, distance]) if slope is None else height
    places = list(sizes if rungs is None else rungs)
    scatter = Scatter.of(design, places, own_trainings(len(counts)) if models is None else models)
    freedom = len(set(places)) - design.shape[1]
    fit = scatter.fit(design, counts, freedom, 0.0 if slope is None else slope.value * distance)
    spread, _ = fit.half_width(np.eye(design.shape[1])[0], freedom, scatter.per_count)
    ends = [0.0, 0.0]
    if slope is not None:
        reach = -float(fit.model.weighting.gain[:, 0] @ distance)
        ends = sorted([(slope.low - slope.value) * reach, (slope.high - slope.value) * reach])
    center = float(fit.coefficients[0])
    return _new_count(center, math.hypot(spread, ends[0]), math.hypot(spread, ends[1]))


def _new_count(center: float, below: float, above: float) -> Interval:
    """Return the 95% interval of a Poisson count whose log mean is normal, with this 95% interval
    to either side.

    An interval on the scale of logarithms would never hold a count of 0.
    """
    center = min(max(center, -_LARGEST_LOG), _LARGEST_LOG)
    value = math.exp(center)
    if math.isnan(below + above):
        return Interval(value, math.nan, math.nan)
    scores = ndtri((np.arange(_DRAWS) + 0.5) / _DRAWS) / t_quantile(math.inf)
    means = np.exp(
        np.clip(center + scores * np.where(scores < 0, below, above), -_LARGEST_LOG, _LARGEST_LOG)
    )
    low, high = (_count_quantile(means, 0.5 + side * CONFIDENCE / 2) for side in (-1, 1))
    return Interval(value, low, max(high, value))  # a mean near 0 lies above the only likely count


def _count_quantile(means: np.ndarray, share: float) -> float:
    """Return the smallest count that a Poisson count of one of the means, all as likely, exceeds no
    oftener.
    """

    def excess(log_next: float) -> float:  # of P(count ≤ k), by log(k + 1)
        return float(gammaincc(math.exp(log_next), means).mean()) - share

    if excess(0.0) >= 0:
        return 0.0
    return float(math.ceil(math.exp(brentq(excess, 0.0, math.log(2 * means.max() + 50))) - 1))


def predict_by_fit(sizes: np.ndarray, values: np.ndarray, to_size: float) -> Interval:
    """Extrapolate means by least squares in log–log, with a new value's 95% interval.

    NaN with fewer than two sizes; no interval with two.
    """
    x, y, target = (
        np.log(np.asarray(sizes, float)),
        np.log(np.asarray(values, float)),
        math.log(to_size),
    )
    law, n = fit_log_log(sizes, values), len(x)
    if not math.isfinite(law.alpha):
        return Interval(*[math.nan] * 3)
    center = math.log(law.c) + law.alpha * target
    if n < 3:
        return Interval(math.exp(center), math.nan, math.nan)
    scatter = math.sqrt(np.square(y - math.log(law.c) - law.alpha * x).sum() / (n - 2))
    spread = math.sqrt(1 + 1 / n + (target - x.mean()) ** 2 / np.square(x - x.mean()).sum())
    return _exponential(center, *[t_quantile(n - 2) * scatter * spread] * 2)


def predict_by_slope(
    sizes: np.ndarray, values: np.ndarray, to_size: float, slope: Interval
) -> Interval:
    """Extrapolate means with a known slope; only the height is fitted.

    The interval joins their scatter about the line (Student's t) and the interval of the slope,
    over the distance from their mean size. NaN without observations; no interval with one.
    """
    x, y, target = (
        np.log(np.asarray(sizes, float)),
        np.log(np.asarray(values, float)),
        math.log(to_size),
    )
    n = len(x)
    if not n:
        return Interval(*[math.nan] * 3)
    reach = target - x.mean()
    center = y.mean() + slope.value * reach
    scatter = math.nan
    if n > 1:
        residual = y - slope.value * x
        scatter = t_quantile(n - 1) * residual.std(ddof=1) * math.sqrt(1 + 1 / n)
    ends = sorted([(slope.low - slope.value) * reach, (slope.high - slope.value) * reach])
    return _exponential(center, math.hypot(scatter, ends[0]), math.hypot(scatter, ends[1]))


def _exponential(center: float, below: float, above: float) -> Interval:
    return Interval(math.exp(center), math.exp(center - below), math.exp(center + above))


def selectivity_series(
    polarization: pd.DataFrame, counts: pd.DataFrame, ladder: str
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield group, statistic and rows of every selectivity statistic of a ladder's neurons.

    Groups are Rosetta Neurons, those whose matches are above a null, and the others. The rows have
    the columns of `polarization` and `n_neurons`, the rung's size. The differences of groups are
    left out: a difference of power laws is none. Where a mean is not positive on some rung, all
    means are NaN: it has no logarithm, and the rungs that are left would be chosen by their values.
    """
    sizes = (
        counts[counts["ladder"] == ladder].drop_duplicates("rung").set_index("rung")["n_neurons"]
    )
    mine = polarization[
        (polarization["ladder"] == ladder) & polarization["statistic"].isin(SELECTIVITY)
    ]
    groups = (*map(rosetta_group, COUNT_OF), OTHERS)
    for (group, statistic), part in mine[mine["group"].isin(groups)].groupby(
        ["group", "statistic"], sort=False
    ):
        means = part["mean"] if (part["mean"] > 0).all() else math.nan
        yield group, statistic, part.assign(n_neurons=part["rung"].map(sizes), mean=means)


def predict_to(
    to_size: float,
    betas: pd.DataFrame,
    counts: pd.DataFrame,
    polarization: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return what the fitted law and each route predict for a size, rows of `PREDICTION_COLUMNS`.

    Quantities: `count`; `fraction` of all neurons; `isolation_gain`, the factor by which the mean
    isolation of Rosetta Neurons grows from the ladder's largest size; and, if `polarization` is
    given, `selectivity of …` each group, by its own slope or the predicted one. `statistic` says
    which count or which selectivity.
    """
    rows = []
    for ladder, part in counts.groupby("ladder", sort=False):
        for statistic, column in counted_columns(part):
            points = part.assign(count=part[column])
            for method, found in _predict_counts(points, to_size, _slopes(betas, ladder)):
                place = (ladder, method, to_size)
                rows += [
                    (*place, name, statistic, i.value, i.low, i.high) for name, i in found.items()
                ]
        if polarization is not None:
            rows += _predict_selectivity(
                polarization, part, ladder, _slopes(betas, ladder), to_size
            )
    return pd.DataFrame(rows, columns=PREDICTION_COLUMNS)


def _predict_counts(
    points: pd.DataFrame, to_size: float, known: dict[str, Interval]
) -> Iterator[tuple[str, dict[str, Interval]]]:
    """Yield the fitted law and each route, with the count, fraction and gain that it predicts."""
    law, largest, groups = law_of(points), points["n_neurons"].max(), groups_of(points)
    counts = points["n_neurons"].to_numpy(), points["count"].to_numpy()
    fitted = Interval(law.alpha, law.alpha - law.half_width, law.alpha + law.half_width)
    for method, alpha in {FIT: fitted, **known}.items():
        count = predict_count(*counts, to_size, known.get(method), **groups).clipped(to_size)
        fraction = Interval(*(end / to_size for end in (count.value, count.low, count.high)))
        ends = (alpha.value, alpha.high, alpha.low)
        gain = Interval(*((to_size / largest) ** (1 - end) for end in ends))
        yield method, {"count": count, "fraction": fraction, "isolation_gain": gain.ordered()}


def _slopes(betas: pd.DataFrame, ladder: str) -> dict[str, Interval]:
    return {e.route: Interval(*alpha_interval(e)) for e in estimates_of(betas, ladder)}


def _predict_selectivity(
    polarization: pd.DataFrame,
    counts: pd.DataFrame,
    ladder: str,
    alphas: dict[str, Interval],
    to_size: float,
) -> list[tuple]:
    rows = []
    for group, statistic, part in selectivity_series(polarization, counts, ladder):
        sizes, means = part["n_neurons"].to_numpy(), part["mean"].to_numpy()
        sign = -1.0 if group == OTHERS else 1.0
        for method, alpha in {FIT: None, **alphas}.items():
            if alpha is None:
                found = predict_by_fit(sizes, means, to_size)
            else:
                slope = Interval(
                    *(sign * (1 - end) for end in (alpha.value, alpha.low, alpha.high))
                ).ordered()
                found = predict_by_slope(sizes, means, to_size, slope)
            numbers = (found.value, found.low, found.high)
            rows.append((ladder, method, to_size, f"selectivity of {group}", statistic, *numbers))
    return rows


def leave_one_out(betas: pd.DataFrame, counts: pd.DataFrame) -> pd.DataFrame:
    """Return errors of predicting each rung from the others (`LEAVE_ONE_OUT_COLUMNS`).

    The routes' β never saw a count, but the loss route saw the models of the rung that is left out.
    `log_error` is log(predicted/measured), NaN for a rung without matches, which `covered` still
    judges.
    """
    rows = []
    for ladder, part in counts.groupby("ladder", sort=False):
        slopes = {FIT: None, **_slopes(betas, ladder)}
        for statistic, column in counted_columns(part):
            for row in part.to_dict("records"):
                others = part[part["rung"] != row["rung"]]
                sizes, matches = others["n_neurons"].to_numpy(), others[column].to_numpy()
                for method, slope in slopes.items():
                    found = predict_count(
                        sizes, matches, row["n_neurons"], slope, **groups_of(others)
                    )
                    place = (ladder, row["rung"], row["n_neurons"], statistic, method)
                    rows.append((*place, row[column], *_error(found, row[column])))
    return pd.DataFrame(rows, columns=LEAVE_ONE_OUT_COLUMNS)


def _error(found: Interval, measured: float) -> tuple[float, float, float, float, bool | None]:
    covered = (
        None
        if math.isnan(found.low + found.high + measured)
        else found.low <= measured <= found.high
    )
    error = (
        math.log(found.value / measured) if measured > 0 else math.nan
    )  # of 0 there is no logarithm
    return found.value, found.low, found.high, error, covered
