"""Counts of every rung on half-samples of the documents, and the intervals that follow (rosetta.analysis.intervals)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rosetta.analysis.group_counts import count_group
from rosetta.analysis.intervals import half_sample_interval
from rosetta.analysis.nulls import read_nulls, thresholds
from rosetta.config import Config, group_name, group_pairs
from rosetta.paths import Paths
from rosetta.tables import read_parquet, read_parquet_metadata

REPLICATE_COLUMNS = ["ladder", "rung", "statistic", "half_sample", "matches", "mean_r"]


def pair_thresholds(config: Config, paths: Paths) -> dict[str, dict[str, float]]:
    """Return what r has to exceed in each pair, by statistic (`rosetta.analysis.nulls.thresholds`)."""
    names = [group_name(pair) for pair in config.pairs()]
    return {name: thresholds(read_nulls(config, paths, name), config.controls.null_quantile) for name in names}


def replicate_table(config: Config, paths: Paths, limits: dict[str, dict[str, float]]) -> pd.DataFrame:
    """Return the count of every rung and statistic on half-samples of the documents (`REPLICATE_COLUMNS`).

    The limits of the calibrated counts are those of the whole data: they are part of the statistic's definition.
    """
    found = {group: _replicates(group, paths, limits) for group in config.groups()}
    rows = [
        {"ladder": ladder, "rung": number, **row}
        for ladder, rungs in config.ladders.items()
        for number, rung in enumerate(rungs)
        for row in found[tuple(rung)]
    ]
    return pd.DataFrame(rows, columns=REPLICATE_COLUMNS)


def _replicates(group: tuple[str, ...], paths: Paths, limits: dict[str, dict[str, float]]) -> list[dict]:
    names = [group_name(pair) for pair in group_pairs(group)]
    tables = [read_parquet(paths.replicates(name)).assign(rank_a=1) for name in names]
    n_replicates = min(read_parquet_metadata(paths.replicates(name))["n_half_samples"] for name in names)
    rows = []
    for statistic in limits[names[0]]:
        kept = [table[table["r"] > limits[name][statistic]] for name, table in zip(names, tables, strict=True)]
        for number in range(n_replicates):
            counted = count_group([table[table["half_sample"] == number] for table in kept])
            rows.append({"statistic": statistic, "half_sample": number, **counted._asdict()})
    return rows


def intervals_of(replicates: pd.DataFrame, column: str, estimate: float) -> tuple[float, float]:
    """Return the 95% interval of a rung's count or mean r from its replicates."""
    low, high = half_sample_interval(estimate, replicates.sort_values("half_sample")[column].to_numpy(float))
    return float(low), float(high)


def clipped(interval: tuple[float, float], low: float, high: float = np.inf) -> tuple[float, float]:
    """Return an interval within the values that its quantity can take."""
    return float(np.clip(interval[0], low, high)), float(np.clip(interval[1], low, high))
