"""The step that compares Rosetta Neurons with the others: tables and findings."""

from __future__ import annotations

import pandas as pd

from rosetta.analysis.counts import COUNT_COLUMNS
from rosetta.analysis.depth import LAYER_PAIR_COLUMNS, depth_agreement, depth_table, layer_pairs
from rosetta.analysis.findings import findings_table
from rosetta.analysis.groups import polarization_tables, selectivity_table, specialization_tables
from rosetta.analysis.populations import Population, load_populations, rungs_of
from rosetta.analysis.replicates import REPLICATE_COLUMNS
from rosetta.analysis.scaling import SCALING_COLUMNS
from rosetta.config import Config, group_name
from rosetta.matching.mutual import MATCH_COLUMNS
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_csv, read_parquet, write_csv


def describe_step(config: Config, paths: Paths) -> None:
    """Write the tables that compare Rosetta Neurons with the others, and the findings."""
    measured = [
        read_csv(paths.table(name), columns)
        for name, columns in (
            ("scaling", SCALING_COLUMNS),
            ("counts", COUNT_COLUMNS),
            ("replicates", REPLICATE_COLUMNS),
        )
    ]
    populations = load_populations(config, paths)
    rungs = list(rungs_of(config, populations))
    write_csv(paths.table("selectivity"), selectivity_table(populations.values()))
    for name, table in zip(("polarization", "polarization_by_model"), polarization_tables(rungs, config), strict=True):
        write_csv(paths.table(name), table)
    tables = specialization_tables(populations.values(), rungs, config)
    for name, table in zip(("specialization", "specialization_by_rung"), tables, strict=True):
        write_csv(paths.table(name), table)
    write_csv(paths.table("depth"), depth_table(rungs, config.bootstrap))
    pairs = _layer_pair_table(config, paths, populations)
    write_csv(paths.table("layer_pairs"), pairs)
    write_csv(paths.table("depth_agreement"), depth_agreement(pairs, config.bootstrap))
    findings = findings_table(rungs, *measured, config)
    write_csv(paths.table("findings"), findings)
    for row in findings.itertuples():
        say(f"{row.ladder}, {row.finding}: {row.verdict}. {row.sentence}")


def _layer_pair_table(config: Config, paths: Paths, populations: dict[str, Population]) -> pd.DataFrame:
    parts = []
    for a, b in config.pairs():
        matches = read_parquet(paths.matches(group_name((a, b))), MATCH_COLUMNS)
        counted = layer_pairs(matches, populations[a].shape, populations[b].shape)
        parts.append(counted.assign(model_a=a, model_b=b))
    return pd.concat(parts, ignore_index=True)[LAYER_PAIR_COLUMNS]
