"""Counts of every rung under the null models (method, section 6)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rosetta.analysis.group_counts import count_group
from rosetta.analysis.intervals import t_quantile
from rosetta.analysis.null_thresholds import read_nulls
from rosetta.analysis.replicates import clipped, ladder_thresholds, read_all_nulls
from rosetta.config import Config, group_name, group_pairs
from rosetta.run.paths import Paths

CONTROL_COLUMNS = ["ladder", "rung", "control", "seed", "matches", "mean_r"]
NULL_SUMMARY_COLUMNS = [
    "ladder",
    "rung",
    "models",
    "control",
    "n_seeds",
    "matches",
    "matches_ci_low",
    "matches_ci_high",
    "mean_r",
    "mean_r_ci_low",
    "mean_r_ci_high",
    "r_threshold",
]


def control_table(config: Config, paths: Paths) -> pd.DataFrame:
    """Return matches and their mean r per rung, null model and seed, counted as the main result.

    A larger group counts anchor neurons that are matched in every comparison under the same seed.
    """
    nulls = {pair: read_nulls(config, paths, group_name(pair)) for pair in config.pairs()}
    rows = []
    for ladder, rungs in config.ladders.items():
        for number, rung in enumerate(rungs):
            for control in config.controls.names:
                tables = [nulls[pair][control] for pair in group_pairs(tuple(rung))]
                for seed in config.controls.seeds(control):
                    counted = count_group([table[table["seed"] == seed] for table in tables])
                    rows.append((ladder, number, control, seed, *counted))
    return pd.DataFrame(rows, columns=CONTROL_COLUMNS)


def null_summary(config: Config, paths: Paths, controls: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds with 95% intervals per rung and null, and the threshold on r.

    The intervals are Student's t over the seeds, those of counts not narrower than of Poisson's;
    NaN for a single seed. `r_threshold` is what `above_…` counts with, the same for all rungs of a
    ladder: NaN where the null has too few matches to tell, and for permuted positions.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    controls : DataFrame
        `control_table`.
    """
    limits = ladder_thresholds(read_all_nulls(config, paths), config.controls.null_quantile)
    rows = []
    for (ladder, rung, control), found in controls.groupby(
        ["ladder", "rung", "control"], sort=False
    ):
        group = tuple(config.ladders[ladder][rung])
        row = {
            "ladder": ladder,
            "rung": rung,
            "models": group_name(group),
            "control": control,
            "n_seeds": len(found),
        }
        for column in ("matches", "mean_r"):
            mean, low, high = null_interval(found[column], column)
            row |= {column: mean, f"{column}_ci_low": low, f"{column}_ci_high": high}
        row["r_threshold"] = limits[str(ladder)].get(f"above_{control}", float("nan"))
        rows.append(row)
    return pd.DataFrame(rows, columns=NULL_SUMMARY_COLUMNS)


def null_interval(values: pd.Series, column: str) -> tuple[float, float, float]:
    """Return the mean over the seeds of a null model, and the ends of its 95% interval.

    Parameters
    ----------
    values : Series
        One per seed.
    column : str
        What they are: counts of `matches`, or their `mean_r`.
    """
    mean, half = mean_interval(values)
    lowest, highest = (0.0, np.inf) if column == "matches" else (-1.0, 1.0)
    if column == "matches":
        # Seeds that agree by chance do not make a count exact; a single one tells nothing.
        half = float(np.maximum(half, _poisson_half_width(values)))
    return mean, *clipped((mean - half, mean + half), lowest, highest)


def _poisson_half_width(counts: pd.Series) -> float:
    """Return half of the 95% interval of the mean of Poisson counts (normal distribution; of 1 if
    their sum is 0).
    """
    return t_quantile(np.inf) * float(np.sqrt(max(counts.sum(), 1))) / len(counts)


def mean_interval(values: pd.Series) -> tuple[float, float]:
    """Return the mean and half its 95% interval (Student's t); NaN for a single value."""
    n = len(values)
    if n < 2:
        return float(values.mean()), float("nan")
    return float(values.mean()), t_quantile(n - 1) * float(values.sem())
