"""The scaling laws |R| = c · x^α of a run (method, section 5).

There is one per ladder, one per null model, and one pooled over all pairs of families.

α is that of counts at this run's number of aligned positions. Counts are fitted by `count_law`;
least squares in log–log, as in the study, stands beside it. A rung may have several groups of
models, one row each: the trainings of its models, in all combinations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rosetta.analysis.count_law import FEW, CountLaw, law_of
from rosetta.analysis.counts import COUNT_OF
from rosetta.analysis.intervals import half_sample_interval, t_quantile
from rosetta.analysis.null_thresholds import PLAIN
from rosetta.analysis.pairs_of_models import pairs_by_modality
from rosetta.analysis.scatter import RESIDUAL, RUNG, TRAINING
from rosetta.config import PAIR_SEPARATOR
from rosetta.errors import StoreError

STATISTIC = "statistic"  # a column that says of what the matches of a row are
# Columns in which rows are counts of the same models, made in another way: no replications.
_APART = ("control", "half_sample", "sweep", "setting", "threshold", "k", "step")
_SIGMAS = {f"sigma_{kind}": kind for kind in (TRAINING, RUNG, RESIDUAL)}
# What every table tells of a fit besides the exponent.
FIT_COLUMNS = ["df", *_SIGMAS, "n_groups", "n_trainings"]
SCALING_COLUMNS = [
    "ladder",
    "statistic",
    "alpha",
    "alpha_ci_low",
    "alpha_ci_high",
    "alpha_resampled_low",
    "alpha_resampled_high",
    "half_sample_bias",
    "alpha_extrapolated",
    "alpha_extrapolated_low",
    "alpha_extrapolated_high",
    "c",
    "dispersion",
    "alpha_ols",
    "r2",
    "n_rungs",
    *FIT_COLUMNS,
    "few_matches",
    "reason",
]
POOLED_COLUMNS = [
    "pairs",
    "statistic",
    "left_out",
    "alpha",
    "alpha_ci_low",
    "alpha_ci_high",
    "alpha_family_low",
    "alpha_family_high",
    "n_ladders",
    "n_points",
    "freedom",
    "n_rungs",
    *FIT_COLUMNS,
    "few_matches",
    "reason",
]
NULL_SCALING_COLUMNS = [
    "ladder",
    "control",
    "n_seeds",
    "alpha",
    "alpha_ci_low",
    "alpha_ci_high",
    "c",
    "alpha_ols",
    "r2",
    "n_rungs",
    *FIT_COLUMNS,
    "few_matches",
    "reason",
]

# What is left out of the fit to all pairs; an empty cell would be read as missing.
NOTHING_LEFT_OUT = "none"


@dataclass(frozen=True)
class PowerLaw:
    """A power law through positive values.

    Attributes
    ----------
    alpha, c : float
        Exponent and prefactor.
    alpha_ci_low, alpha_ci_high : float
        95% confidence interval of alpha from Student's t with n − 2 degrees of freedom; NaN for
        fewer than three values, and where all are equal, which leaves no scatter to tell it from.
    r2 : float
        Coefficient of determination in log–log; NaN for fewer than three values.
    n_rungs : int
        Values used: those above 0.
    """

    alpha: float
    alpha_ci_low: float
    alpha_ci_high: float
    c: float
    r2: float
    n_rungs: int


def fit_log_log(sizes: np.ndarray, values: np.ndarray) -> PowerLaw:
    """Fit a power law by least squares in log–log; NaN with fewer than two sizes.

    For numbers that are no counts, and for comparison with the study; of counts it would leave out
    those of 0.
    """
    from scipy.stats import linregress  # takes a second to import

    sizes, values = np.asarray(sizes, dtype=float), np.asarray(values, dtype=float)
    used = (values > 0) & (sizes > 0)
    n = int(used.sum())
    if len(np.unique(sizes[used])) < 2:
        return PowerLaw(*[float("nan")] * 5, n_rungs=n)
    log_sizes, log_values = np.log(sizes[used]), np.log(values[used])
    fit = linregress(log_sizes, log_values)
    half = t_quantile(n - 2) * fit.stderr if n > 2 and np.ptp(log_values) else float("nan")
    return PowerLaw(
        alpha=float(fit.slope),
        alpha_ci_low=float(fit.slope - half),
        alpha_ci_high=float(fit.slope + half),
        c=float(np.exp(fit.intercept)),
        r2=float(fit.rvalue**2) if n > 2 else float("nan"),
        n_rungs=n,
    )


def scaling_table(counts: pd.DataFrame, replicates: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the fitted law of every ladder and statistic (`SCALING_COLUMNS`).

    `alpha_ci_…` is the 95% interval of the exponent at this number of positions. It joins, by the
    root of the sum of squares of their half widths, how far the rungs lie from a law (`count_law`)
    and, where half-samples are given, what the choice of samples and the sampling of the null's
    threshold do, which move rungs together. The second alone is `alpha_resampled_…`.
    `half_sample_bias` is the mean exponent on half-samples minus the exponent: what half the
    positions do to it; `alpha_extrapolated`, α minus that, is the exponent extrapolated in
    1/positions. `alpha_ols` and `r2` are of least squares in log–log through the counts above 0.

    `df` are the degrees of freedom of the fit's interval, `n_groups` and `n_trainings` the counts
    and the models that it is of. `sigma_training`, `sigma_rung` and `sigma_residual` are standard
    deviations of the logarithms of counts (`rosetta.analysis.scatter`); a kind that the design
    cannot tell from the others is empty, and part of these. `dispersion` is the variance of one
    count's logarithm by all of them. `few_matches` names the rungs with fewer than `FEW`, on
    average over their groups, by their size, and `reason` says why there is no exponent, or none on
    some half-sample, which leaves no interval.

    Parameters
    ----------
    counts : DataFrame
        One row per group: ladder, n_neurons, matches, and optionally the counts above each null,
        `above_…`, and rung and models. Without `rung`, groups of one size are a rung; without
        `models`, each group has trainings of its own. With `statistic`, `matches` are of the
        statistic that each row names (`check_counts`).
    replicates : DataFrame, optional
        Counts on half-samples (`rosetta.analysis.replicates`).
    """
    rows = []
    for statistic, counted in _counted(counts):
        for ladder, points in counted.groupby("ladder", sort=False):
            rows.append(
                {
                    "ladder": ladder,
                    "statistic": statistic,
                    **_law_row(points, statistic, replicates),
                }
            )
    order = {ladder: place for place, ladder in enumerate(counts["ladder"].unique())}
    rows.sort(
        key=lambda row: order[row["ladder"]]
    )  # stable: the statistics of a ladder stay in their order
    return pd.DataFrame(rows, columns=SCALING_COLUMNS)


def check_counts(counts: pd.DataFrame, place: str) -> None:
    """Check that the rows of a table of counts differ by nothing that a law does not know.

    Raises
    ------
    StoreError
        If a size is 0, or rows are of several null models, half-samples or settings, do not all
        say of which statistic they are, or have counts of others as well; `place` is named.
    """
    if (counts["n_neurons"] == 0).any():
        raise StoreError(f"{place}: n_neurons is 0 in some row. Give the neurons per model.")
    for name in _APART:
        if name in counts and counts[name].nunique(dropna=False) > 1:
            raise StoreError(
                f"{place}: its rows differ in {name}, and a law is of one. Give the rows of one "
                f"{name}."
            )
    if STATISTIC not in counts:
        return
    if counts[STATISTIC].isna().any():
        row = int(counts[STATISTIC].isna().to_numpy().argmax()) + 1
        raise StoreError(f"{place}: {STATISTIC} in row {row} is empty. Name it in every row.")
    others = [name for name in COUNT_OF.values() if name != COUNT_OF[PLAIN] and name in counts]
    if others:
        raise StoreError(
            f"{place}: its rows name a {STATISTIC}, and {others[0]} is one in a column of its own. "
            "Leave one of the two out."
        )


def _counted(counts: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the statistics of a table of counts, each with its rows and its `count`."""
    if STATISTIC in counts:
        for name, part in counts.groupby(STATISTIC, sort=False):
            yield str(name), part.assign(count=part[COUNT_OF[PLAIN]])
        return
    for name, column in counted_columns(counts):
        yield name, counts.assign(count=counts[column])


def counted_columns(counts: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the statistics that a table of counts has, of some ladder, and their columns."""
    return [
        (name, column)
        for name, column in COUNT_OF.items()
        if column in counts and counts[column].notna().any()
    ]


def _law_row(points: pd.DataFrame, statistic: str, replicates: pd.DataFrame | None) -> dict:
    law = law_of(points)
    on_halves = None if replicates is None else _laws_on_halves(points, law, statistic, replicates)
    reason = law.reason or _no_interval(on_halves)
    return {**_described(law, points), **_resampled(law, on_halves), "reason": reason}


def _described(law: CountLaw, points: pd.DataFrame) -> dict:
    """Return what tables say of the law of one ladder's points."""
    line = fit_log_log(points["n_neurons"].to_numpy(), points["count"].to_numpy())
    return {
        "alpha": law.alpha,
        "alpha_ci_low": law.alpha - law.half_width,
        "alpha_ci_high": law.alpha + law.half_width,
        "c": next(iter(law.heights.values()), float("nan")),
        "dispersion": law.dispersion,
        "alpha_ols": line.alpha,
        "r2": line.r2,
        **fit_told(law),
        "few_matches": few_matches(points),
        "reason": law.reason,
    }


def fit_told(law: CountLaw) -> dict[str, float]:
    """Return what every table says of a fit: degrees of freedom, scatter, and what it is of."""
    return {
        "n_rungs": law.n_rungs,
        "df": law.df,
        **{column: law.sigma(kind) for column, kind in _SIGMAS.items()},
        "n_groups": law.n_groups,
        "n_trainings": law.n_trainings,
    }


def few_matches(points: pd.DataFrame) -> str:
    """Return the rungs of one ladder with fewer than `FEW` matches, on average over their groups,
    by their size: `256 neurons: 3; 512 neurons: 0.5`.
    """
    means = points.groupby("n_neurons")["count"].mean()
    few = means[means < FEW]
    return "; ".join(f"{size:,.0f} neurons: {count:.3g}" for size, count in few.items())


@dataclass(frozen=True)
class _Halves:
    """Laws on half-samples of the documents, and on all of them, of the groups that have some."""

    whole: CountLaw
    laws: list[CountLaw]


def _laws_on_halves(
    points: pd.DataFrame, law: CountLaw, statistic: str, replicates: pd.DataFrame
) -> _Halves:
    """Return the law fitted to the counts on every half-sample, with the variances of the law."""
    counted, halves = halves_of(points, statistic, replicates)
    laws = [
        CountLaw(reason="a rung is not counted")
        if np.isnan(column).any()
        else law_of(counted.assign(count=column), like=law)
        for column in halves.T
    ]
    return _Halves(law_of(counted, like=law), laws)


def halves_of(
    points: pd.DataFrame, statistic: str, replicates: pd.DataFrame
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the groups that have half-samples, and their counts on each, shape (n, R).

    Half-samples that name no models are of the first group of every rung.
    """
    keys = [name for name in ("ladder", "rung", "models") if name in replicates]
    mine = replicates[replicates["statistic"] == statistic]
    by_half = mine.pivot(index=keys, columns="half_sample", values="matches")
    counted = points.drop_duplicates(keys)
    by_half = by_half.reindex(pd.MultiIndex.from_frame(counted[keys]))
    found = by_half.to_numpy()
    made = ~np.isnan(found).all(axis=0)
    return counted, found[:, np.repeat(made.reshape(-1, 2).all(axis=1), 2)]


def _no_interval(halves: _Halves | None) -> str:
    """Return why half-samples leave an exponent without an interval; empty if they do not."""
    if halves is None:
        return ""
    laws = halves.laws
    if not laws:
        return "not counted on half-samples of the documents"
    reasons = [law.reason for law in laws if law.reason]
    if not reasons:
        return halves.whole.reason
    return (
        f"no exponent on {len(reasons)} of {len(laws)} half-samples: "
        f"{', '.join(dict.fromkeys(reasons))}"
    )


def _resampled(law: CountLaw, halves: _Halves | None) -> dict[str, float]:
    """Return what half-samples say of an exponent; without them, the interval of the fit stands
    alone.
    """
    if halves is None:
        return {}
    if not halves.laws:
        return {"alpha_ci_low": float("nan"), "alpha_ci_high": float("nan")}
    # Of the groups that have half-samples: what these do to their exponent is done to that of all.
    on_halves = law.alpha + np.array([one.alpha for one in halves.laws]) - halves.whole.alpha
    low, high = map(float, half_sample_interval(law.alpha, on_halves))
    wide = float(np.hypot(law.half_width, (high - low) / 2))
    bias = float(on_halves.mean()) - law.alpha
    # The mean over the halves is itself of a sample of them, each with its complement.
    pairs = on_halves.reshape(-1, 2).mean(axis=1)
    spread = float(
        np.hypot(wide, t_quantile(len(pairs) - 1) * pairs.std(ddof=1) / np.sqrt(len(pairs)))
    )
    return {
        "alpha_ci_low": law.alpha - wide,
        "alpha_ci_high": law.alpha + wide,
        "alpha_resampled_low": low,
        "alpha_resampled_high": high,
        "half_sample_bias": bias,
        "alpha_extrapolated": law.alpha - bias,
        "alpha_extrapolated_low": law.alpha - bias - spread,
        "alpha_extrapolated_high": law.alpha - bias + spread,
    }


def null_scaling_table(counts: pd.DataFrame, controls: pd.DataFrame) -> pd.DataFrame:
    """Return the laws of matches under each null model (`NULL_SCALING_COLUMNS`).

    They are fitted to the sums over the seeds, whose sampling error is the smaller; `c` is of the
    mean over seeds. Columns of the fit are as in `scaling_table`.

    Parameters
    ----------
    counts : DataFrame
        Columns ladder, rung, n_neurons.
    controls : DataFrame
        Matches by ladder, rung, control and seed (`rosetta.analysis.null_counts.control_table`).
    """
    rows = []
    for (ladder, control), points in null_points(counts, controls).groupby(
        ["ladder", "control"], sort=False
    ):
        n_seeds = points["n_seeds"].max()
        described = _described(law_of(points), points)
        described |= {
            "c": described["c"] / n_seeds,
            "few_matches": few_matches(points.assign(count=points["count"] / points["n_seeds"])),
        }
        rows.append({"ladder": ladder, "control": control, "n_seeds": n_seeds, **described})
    return pd.DataFrame(rows, columns=NULL_SCALING_COLUMNS)


def null_points(counts: pd.DataFrame, controls: pd.DataFrame) -> pd.DataFrame:
    """Return rows of `counts` per null, with `control`, `n_seeds` and `count`, the sum over the
    seeds.

    Nulls that name no models are of the first group of every rung.
    """
    keys = [name for name in ("ladder", "rung", "models") if name in controls]
    sums = (
        controls.groupby([*keys, "control"], sort=False)["matches"]
        .agg(["sum", "size"])
        .reset_index()
    )
    return counts.drop_duplicates(keys).merge(
        sums.rename(columns={"sum": "count", "size": "n_seeds"}), on=keys
    )


def pooled_table(
    counts: pd.DataFrame,
    replicates: pd.DataFrame | None = None,
    controls: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return one exponent for all ladders of pairs, with a height per ladder (`POOLED_COLUMNS`).

    `pairs` says of which (`rosetta.analysis.pairs_of_models`). Statistics are those of
    `scaling_table` and, by their own names, the null models. The first row of each is of all pairs;
    in the others, every pair with a model of the family `left_out` is left out. The interval of the
    fit knows that pairs share trainings, not that they share families: `alpha_family_…` is the
    jackknife over families, with Student's t of families − 1 degrees of freedom (NaN with fewer
    than three). A pair that is in several ladders counts in the first. A ladder that is not
    counted, because its threshold cannot be read, is excluded: `reason` names it. `n_points` are
    the counts that the fit is of, `freedom` its rungs less coefficients; the other columns are as
    in `scaling_table`.

    Parameters
    ----------
    counts : DataFrame
        `rosetta.analysis.counts.COUNT_COLUMNS`.
    replicates, controls : DataFrame, optional
        As in `scaling_table` and `null_scaling_table`.
    """
    rows = []
    for called, of_modality in pairs_by_modality(counts, "families"):
        pairs = of_modality.drop_duplicates("models")
        series = {
            name: (pairs.assign(count=pairs[column]), replicates)
            for name, column in counted_columns(counts)
        }
        if controls is not None:
            points = null_points(pairs, controls)
            series |= {name: (part, None) for name, part in points.groupby("control", sort=False)}
        rows += [
            {"pairs": called, **row}
            for name, (points, halves) in series.items()
            for row in _pooled_rows(name, points, halves)
        ]
    return pd.DataFrame(rows, columns=POOLED_COLUMNS)


def _pooled_rows(
    statistic: str, points: pd.DataFrame, replicates: pd.DataFrame | None
) -> list[dict]:
    uncounted = points["ladder"].isin(points.loc[points["count"].isna(), "ladder"])
    members = points["families"].str.split(PAIR_SEPARATOR)
    families = list(dict.fromkeys(family for pair in members[~uncounted] for family in pair))
    rows = []
    for family in (NOTHING_LEFT_OUT, *families):
        kept = np.array([family not in pair for pair in members], dtype=bool)
        row = _pooled_row(statistic, family, points[kept & ~uncounted], replicates)
        missing = ", ".join(dict.fromkeys(points.loc[kept & uncounted, "ladder"]))
        told = [row["reason"], missing and f"without {missing}, whose threshold cannot be read"]
        rows.append({**row, "reason": "; ".join(filter(None, told))})
    without = np.array([row["alpha"] for row in rows[1:]])
    half = float("nan")
    if len(families) > 2:
        half = t_quantile(len(families) - 1) * float(np.sqrt((len(families) - 1) * np.var(without)))
    rows[0] |= {
        "alpha_family_low": rows[0]["alpha"] - half,
        "alpha_family_high": rows[0]["alpha"] + half,
    }
    return rows


def _pooled_row(
    statistic: str, left_out: str, points: pd.DataFrame, replicates: pd.DataFrame | None
) -> dict:
    law = law_of(points)
    on_halves = None if replicates is None else _laws_on_halves(points, law, statistic, replicates)
    resampled = _resampled(law, on_halves)
    few = {ladder: few_matches(part) for ladder, part in points.groupby("ladder")}
    ends = {"alpha_ci_low": law.alpha - law.half_width, "alpha_ci_high": law.alpha + law.half_width}
    return {
        "statistic": statistic,
        "left_out": left_out,
        "alpha": law.alpha,
        **{name: resampled.get(name, end) for name, end in ends.items()},
        "n_ladders": len(law.heights),
        "n_points": law.n_groups,
        "freedom": law.freedom,
        **fit_told(law),
        "few_matches": "; ".join(f"{ladder}: {named}" for ladder, named in few.items() if named),
        "reason": "there is no ladder of pairs"
        if points.empty
        else law.reason or _no_interval(on_halves),
    }
