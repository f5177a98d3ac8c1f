"""Counts of every rung under the null models (method, section 6)."""

from __future__ import annotations

import pandas as pd

from rosetta.analysis.group_counts import count_group
from rosetta.analysis.nulls import read_nulls
from rosetta.config import Config, group_name, group_pairs
from rosetta.paths import Paths

CONTROL_COLUMNS = ["ladder", "rung", "control", "seed", "matches", "mean_r"]


def control_table(config: Config, paths: Paths) -> pd.DataFrame:
    """Return one row per rung, null model and seed: matches counted as those of the main result, and their mean r.

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
