"""The mean count of every rung, with an interval over trainings and one over documents.

The counts of a ladder's groups have the log means

    log μ = m_r + Σ_m t_m + e,    y ~ Poisson(μ),

with a height per rung in place of the law (`count_law`), and exp m_r is the mean over the effects:
of a rung with all pairs of its trainings, the mean of their counts. Groups of a rung share
trainings. Of R_A trainings of one family and R_B of another, all R_A · R_B pairs counted, the
variance of m_r is

    σ²_t / R_A + σ²_t / R_B + (σ²_e + 1/μ) / (R_A · R_B).

Two or three trainings cannot tell the σ² of their rung, so those of all rungs of the ladder are
one: trainings are taken to scatter by the same factor at every size.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rosetta.analysis.count_law import groups_of
from rosetta.analysis.intervals import half_sample_interval
from rosetta.analysis.scaling import counted_columns, halves_of
from rosetta.analysis.scatter import Scatter

RUNG_COLUMNS = [
    "ladder",
    "rung",
    "statistic",
    "n_neurons",
    "n_groups",
    "n_trainings",
    "mean",
    "mean_ci_low",
    "mean_ci_high",
    "mean_resampled_low",
    "mean_resampled_high",
]


@dataclass(frozen=True)
class RungMeans:
    """Mean counts of the rungs of a ladder.

    Attributes
    ----------
    rungs : list
        The rungs, in the order of the table.
    means, low, high : ndarray, shape (n_rungs,)
        Means, and their 95% intervals over trainings: NaN where no rung has a second group, and of
        a rung without any match.
    """

    rungs: list[Hashable]
    means: np.ndarray
    low: np.ndarray
    high: np.ndarray


def rung_means(points: pd.DataFrame) -> RungMeans:
    """Return the mean count of each rung of one ladder.

    Parameters
    ----------
    points : DataFrame
        One row per group: rung, models (the names of its trainings) and count.
    """
    rungs, places = list(dict.fromkeys(points["rung"])), points["rung"].to_numpy()
    counts = points["count"].to_numpy(float)
    means, low, high = np.full((3, len(rungs)), np.nan)
    if np.isnan(counts).any():
        return RungMeans(rungs, means, low, high)
    told = np.array([counts[places == rung].any() for rung in rungs])
    means[~told] = 0.0
    if not told.any():
        return RungMeans(rungs, means, low, high)
    heights = [rung for rung, some in zip(rungs, told, strict=True) if some]
    used = points[np.isin(places, heights)]
    design = np.column_stack([used["rung"] == rung for rung in heights]).astype(float)
    groups = groups_of(used)
    scatter = Scatter.of(design, groups["rungs"] or [], groups["models"] or [])
    freedom = _freedom(design, scatter)
    fit = scatter.fit(design, used["count"].to_numpy(float), freedom)
    half = np.array([fit.half_width(row, freedom)[0] for row in np.eye(len(heights))])
    means[told] = np.exp(fit.coefficients)
    low[told], high[told] = np.exp(fit.coefficients - half), np.exp(fit.coefficients + half)
    return RungMeans(rungs, means, low, high)


def _freedom(design: np.ndarray, scatter: Scatter) -> int:
    """Return how many independent effects are left beside the means, of the kind with the fewest.

    Groups share trainings: the nine of 3 · 3 trainings have 2 + 2 independent ones beside the mean.
    """
    residue = np.eye(len(design)) - design @ np.linalg.pinv(design)
    ranks = [int(np.linalg.matrix_rank(residue @ factor)) for factor in scatter.factors]
    return min(ranks, default=0)


def rung_table(counts: pd.DataFrame, replicates: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the mean counts of every ladder, rung and statistic (`RUNG_COLUMNS`).

    `mean_ci_…` is the 95% interval over trainings, with the documents of the run. It is empty where
    every rung of the ladder has one group. `mean_resampled_…` is that over documents, with the
    trainings of the run, from half-samples. `n_groups` counts were made of `n_trainings` models.

    Parameters
    ----------
    counts : DataFrame
        One row per group: ladder, rung, models, n_neurons, matches and, optionally, the counts
        above each null, `above_…`.
    replicates : DataFrame, optional
        Counts on half-samples of the documents (`rosetta.analysis.replicates`).
    """
    rows: list[dict] = []
    for statistic, column in counted_columns(counts):
        for ladder, part in counts.groupby("ladder", sort=False):
            points = part.assign(count=part[column])
            rows += [
                {"ladder": ladder, "statistic": statistic, **row}
                for row in _rung_rows(points, statistic, replicates)
            ]
    return pd.DataFrame(rows, columns=RUNG_COLUMNS)


def _rung_rows(points: pd.DataFrame, statistic: str, replicates: pd.DataFrame | None) -> list[dict]:
    found = rung_means(points)
    resampled = np.full((2, len(found.rungs)), np.nan)
    if replicates is not None:
        resampled = _over_samples(found, points, statistic, replicates)
    rows = []
    for place, rung in enumerate(found.rungs):
        groups = points[points["rung"] == rung]
        models = groups_of(groups)["models"] or []
        rows.append(
            {
                "rung": rung,
                "n_neurons": groups["n_neurons"].mean(),
                "n_groups": len(groups),
                "n_trainings": len({model for group in models for model in group}),
                "mean": found.means[place],
                "mean_ci_low": found.low[place],
                "mean_ci_high": found.high[place],
                "mean_resampled_low": resampled[0][place],
                "mean_resampled_high": resampled[1][place],
            }
        )
    return rows


def _over_samples(
    found: RungMeans, points: pd.DataFrame, statistic: str, replicates: pd.DataFrame
) -> np.ndarray:
    """Return the ends of the means' intervals from half-samples, shape (2, n_rungs).

    Where only some groups of a rung have half-samples, what these do to their count, as a factor,
    is done to the mean of all. NaN of a rung without any, and where these groups have no match.
    """
    counted, halves = halves_of(points, statistic, replicates)
    ends = np.full((2, len(found.rungs)), np.nan)
    for place, (rung, mean) in enumerate(zip(found.rungs, found.means, strict=True)):
        mine = (counted["rung"] == rung).to_numpy()
        on_halves = halves[mine].mean(axis=0)
        whole = counted["count"].to_numpy(float)[mine].mean()
        if not on_halves.size or np.isnan(on_halves).any() or whole == 0 < mean:
            continue
        factor = mean / whole if whole else 1.0
        low, high = half_sample_interval(mean, on_halves * factor)
        ends[:, place] = max(float(low), 0.0), high
    return ends
