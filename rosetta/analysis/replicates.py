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


def ladder_thresholds(
    nulls: dict[str, dict[str, LadderNull]],
    quantile: float,
    floors: dict[str, float] | None = None,
) -> Limits:
    """Return what r has to exceed in each ladder, by statistic.

    NaN where a ladder's null has too few matches to tell, or tells less than was screened for.

    Parameters
    ----------
    nulls : dict
        By ladder and statistic (`read_all_nulls`).
    quantile : float
        `controls.null_quantile`.
    floors : dict, optional
        Where screening gave up, by ladder (`screened_floors`): what `plain` has to exceed. Without
        them it has no bound.
    """
    limits: Limits = {}
    for ladder, mine in nulls.items():
        floor = (floors or {}).get(ladder, -np.inf)
        limits[ladder] = {
            PLAIN: floor,
            **{name: null.threshold(quantile) for name, null in mine.items()},
        }
        for name, limit in limits[ladder].items():
            if np.isnan(limit):
                say(
                    f"{ladder}, {name}: a threshold cannot be read off {len(mine[name].r)} null "
                    "matches; add seeds"
                )
            elif limit < floor:
                say(
                    f"{ladder}, {name}: its threshold {limit:.3f} is below {floor:.3f}, the r that "
                    "screening gave up at, so nothing is counted above it; set "
                    "correlation.screening.min_r to auto"
                )
                limits[ladder][name] = float("nan")
    return limits


def screened_floors(config: Config, paths: Paths) -> dict[str, float]:
    """Return the r below which no match of a ladder was looked for, by ladder; -inf if for all.

    It is the highest of its pairs, also where one was correlated exactly after all, so that its
    rungs are counted alike.
    """
    if config.correlation.method != "screened":
        return dict.fromkeys(config.ladders, -np.inf)
    if not config.correlation.floor_of_nulls:
        return dict.fromkeys(config.ladders, config.correlation.screening.floor)
    lowest = {ladder: _lowest_threshold(config, paths, ladder) for ladder in config.ladders}
    floors = dict.fromkeys(config.ladders, -np.inf)
    for ladders in (config.ladders_of(group_name(pair)) for pair in config.pairs()):
        floor = min(lowest[ladder] for ladder in ladders)
        for ladder in ladders if floor < np.inf else []:
            floors[ladder] = max(floors[ladder], floor)
    return floors


def null_floor(config: Config, paths: Paths, pair: str) -> float | None:
    """Return the lowest r that a count above a null takes in, in any ladder of a pair.

    Under `correlation.screening.min_r: auto` it is where screening gives up (docs/screening.md,
    Eq. 6). None if no null model has enough matches to tell one, and of a pair at a step of its
    training, which no ladder counts.
    """
    ladders = config.ladders_of(pair)
    floor = min((_lowest_threshold(config, paths, name) for name in ladders), default=np.inf)
    return floor if floor < np.inf else None


def _lowest_threshold(config: Config, paths: Paths, ladder: str) -> float:
    """Return the lowest of a ladder's thresholds, and of those drawn again for its intervals;
    infinite if no null model has enough matches to tell one.
    """
    quantile, n_pairs = config.controls.null_quantile, config.intervals.n_blocks - 1
    limits = [np.inf]
    for name, null in read_ladder_nulls(config, paths, ladder).items():
        limits += [null.threshold(quantile), *null.redrawn(quantile, n_pairs, name)]
    return float(np.nanmin(limits))


def counted_thresholds(
    config: Config, paths: Paths, nulls: dict[str, dict[str, LadderNull]]
) -> Limits:
    """Return `ladder_thresholds` of a run, as far as its matches were looked for."""
    floors = screened_floors(config, paths)
    return ladder_thresholds(nulls, config.controls.null_quantile, floors)


def known_thresholds(config: Config, paths: Paths) -> Limits:
    """Return each ladder's thresholds by statistic, for statistics that some ladder has."""
    limits = counted_thresholds(config, paths, read_all_nulls(config, paths))
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
    of all of them. Without a threshold, or with one whose error is not known, counts are NaN, as
    where a drawn one is below what was screened for. A rung has no rows if one of its pairs has no
    half-samples, or fewer than others of the run: their numbers would not be of the same samples.
    """
    n = max(half_sample_count(paths, pair) for pair in config.pairs())
    rows, floors = [], screened_floors(config, paths)
    for ladder, rungs in config.ladders.items():
        tables = [_half_sample_tables(tuple(rung), paths, n) for rung in rungs]
        for statistic in (PLAIN, *nulls[ladder]):
            limits = drawn_limits(config, nulls[ladder], statistic, np.full(n, floors[ladder]))
            for number, found in enumerate(tables):
                place = {"ladder": ladder, "rung": number, "statistic": statistic}
                rows += [{**place, **row} for row in _replicates(found, limits)] if found else []
    return pd.DataFrame(rows, columns=REPLICATE_COLUMNS)


def drawn_limits(
    config: Config, nulls: dict[str, LadderNull], statistic: str, floors: np.ndarray
) -> np.ndarray:
    """Return what r has to exceed on every half-sample, by the null models of a ladder.

    NaN without a threshold, and where one that is drawn again is below what was screened for.

    Parameters
    ----------
    config : Config
        `controls.null_quantile`.
    nulls : dict of str to LadderNull
        By statistic.
    statistic : str
        One of them, or `plain`.
    floors : ndarray, shape (n_half_samples,)
        Where screening gave up: what `plain` has to exceed.
    """
    if statistic == PLAIN:
        return floors
    drawn = nulls[statistic].redrawn(config.controls.null_quantile, len(floors) // 2, statistic)
    return drawn if (drawn >= floors).all() else np.full(len(floors), np.nan)


def _half_sample_tables(
    group: tuple[str, ...], paths: Paths, n_half_samples: int
) -> list[pd.DataFrame]:
    """Return the matches of a group's pairs on half-samples; none if some pair has another number
    of these.
    """
    pairs = group_pairs(group)
    if any(half_sample_count(paths, pair) != n_half_samples for pair in pairs):
        return []
    return [read_parquet(paths.replicates(group_name(pair))).assign(rank_a=1) for pair in pairs]


def half_sample_count(paths: Paths, pair: tuple[str, ...]) -> int:
    """Return on how many half-samples a pair is matched again; 0 with too few clusters."""
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
