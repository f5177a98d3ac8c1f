"""Counts of every rung on half-samples, and their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rosetta.analysis.group_counts import count_group
from rosetta.analysis.intervals import half_sample_interval
from rosetta.analysis.null_thresholds import PLAIN, LadderNull, read_ladder_nulls
from rosetta.config import Config, group_name, group_pairs
from rosetta.errors import StoreError
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.storage.tables import check_table, read_parquet, read_parquet_metadata

REPLICATE_COLUMNS = ["ladder", "rung", "statistic", "half_sample", "matches", "mean_r"]

# What r has to exceed, by statistic; of all ladders or groups, by their name.
Limits = dict[str, dict[str, float]]


def read_all_nulls(config: Config, paths: Paths) -> dict[str, dict[str, LadderNull]]:
    """Return the null models that calibrate counts, by ladder and statistic."""
    return {ladder: read_ladder_nulls(config, paths, ladder) for ladder in config.ladders}


def ladder_thresholds(nulls: dict[str, dict[str, LadderNull]], quantile: float) -> Limits:
    """Return what r has to exceed in each ladder, by statistic; no bound for `plain`.

    NaN where a ladder's null has too few matches to tell.
    """
    limits: Limits = {}
    for ladder, mine in nulls.items():
        limits[ladder] = {
            PLAIN: -np.inf,
            **{name: null.threshold(quantile) for name, null in mine.items()},
        }
        for name, limit in limits[ladder].items():
            if np.isnan(limit):
                say(
                    f"{ladder}, {name}: a threshold cannot be read off {len(mine[name].r)} null "
                    "matches; add seeds"
                )
    return limits


def known_thresholds(config: Config, paths: Paths) -> Limits:
    """Return each ladder's thresholds by statistic, for statistics that some ladder has."""
    limits = ladder_thresholds(read_all_nulls(config, paths), config.controls.null_quantile)
    known = [
        name
        for name in next(iter(limits.values()))
        if any(not np.isnan(mine[name]) for mine in limits.values())
    ]
    return {ladder: {name: mine[name] for name in known} for ladder, mine in limits.items()}


def group_thresholds(config: Config, limits: Limits) -> Limits:
    """Return each group's thresholds by statistic: the highest of its ladders.

    For what is told of a group or a model, whatever the ladder. What is told of a rung has its
    ladder's own threshold.

    Parameters
    ----------
    config : Config
        The run.
    limits : dict
        By ladder and statistic (`known_thresholds`); NaN in all of a group's ladders leaves NaN.
    """
    found: Limits = {}
    for ladder, rungs in config.ladders.items():
        for rung in rungs:
            mine = found.setdefault(group_name(tuple(rung)), dict.fromkeys(limits[ladder], np.nan))
            mine.update(
                {name: float(np.fmax(mine[name], limit)) for name, limit in limits[ladder].items()}
            )
    return found


def check_replicates(table: pd.DataFrame, place: str) -> None:
    """Check that a table is one of counts on half-samples, each with its complement.

    Raises
    ------
    StoreError
        If it is not; `place` is what the message names as the culprit.
    """
    check_table(table, place, REPLICATE_COLUMNS)
    if table["half_sample"].nunique() % 2:
        raise StoreError(
            f"{place}: has an odd number of half-samples; give each with its complement."
        )


def replicate_table(
    config: Config, paths: Paths, nulls: dict[str, dict[str, LadderNull]]
) -> pd.DataFrame:
    """Return counts per rung and statistic on half-samples (`REPLICATE_COLUMNS`).

    With every half-sample the thresholds are drawn again (`LadderNull.redrawn`), the same for all
    rungs of a ladder, so that the spread of a calibrated count holds the sampling error of its
    threshold. All ladders are drawn alike, because they share the seeds of exchanged samples and
    the twins of the models that they share: drawn apart, their errors would cancel in an exponent
    of all of them. Without a threshold, or with one whose error is not known, counts are NaN. A
    rung has no rows if one of its pairs has no half-samples, or fewer than others of the run: their
    numbers would not be of the same samples.
    """
    n_half_samples = max(_n_half_samples(paths, pair) for pair in config.pairs())
    rows = []
    for ladder, rungs in config.ladders.items():
        tables = [_half_sample_tables(tuple(rung), paths, n_half_samples) for rung in rungs]
        for statistic in (PLAIN, *nulls[ladder]):
            limits = _limits(config, nulls[ladder], statistic, n_half_samples)
            for number, found in enumerate(tables):
                place = {"ladder": ladder, "rung": number, "statistic": statistic}
                rows += [{**place, **row} for row in _replicates(found, limits)] if found else []
    return pd.DataFrame(rows, columns=REPLICATE_COLUMNS)


def _limits(config: Config, nulls: dict[str, LadderNull], statistic: str, n: int) -> np.ndarray:
    if statistic == PLAIN:
        return np.full(n, -np.inf)
    return nulls[statistic].redrawn(config.controls.null_quantile, n // 2, statistic)


def _half_sample_tables(
    group: tuple[str, ...], paths: Paths, n_half_samples: int
) -> list[pd.DataFrame]:
    """Return the matches of a group's pairs on half-samples; none if some pair has another number
    of these.
    """
    pairs = group_pairs(group)
    if any(_n_half_samples(paths, pair) != n_half_samples for pair in pairs):
        return []
    return [read_parquet(paths.replicates(group_name(pair))).assign(rank_a=1) for pair in pairs]


def _n_half_samples(paths: Paths, pair: tuple[str, ...]) -> int:
    return read_parquet_metadata(paths.replicates(group_name(pair)))["n_half_samples"]


def _replicates(tables: list[pd.DataFrame], limits: np.ndarray) -> list[dict]:
    rows = []
    for number, limit in enumerate(limits):
        row = {"half_sample": number, "matches": np.nan, "mean_r": np.nan}
        if not np.isnan(limit):
            kept = [
                table[(table["half_sample"] == number) & (table["r"] > limit)] for table in tables
            ]
            row |= count_group(kept)._asdict()
        rows.append(row)
    return rows


def intervals_of(replicates: pd.DataFrame, column: str, estimate: float) -> tuple[float, float]:
    """Return the 95% interval of a rung's count or mean r from its replicates."""
    low, high = half_sample_interval(
        estimate, replicates.sort_values("half_sample")[column].to_numpy(float)
    )
    return float(low), float(high)


def clipped(interval: tuple[float, float], low: float, high: float = np.inf) -> tuple[float, float]:
    """Return an interval within the values that its quantity can take."""
    return float(np.clip(interval[0], low, high)), float(np.clip(interval[1], low, high))
