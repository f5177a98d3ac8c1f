"""Steps that count: Rosetta Neurons, and what becomes of them under the controls and sweeps."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from rosetta.analysis.counts import count_table, model_shape
from rosetta.analysis.null_counts import CONTROL_COLUMNS, control_table, null_summary
from rosetta.analysis.replicates import REPLICATE_COLUMNS, ladder_thresholds, read_all_nulls, replicate_table
from rosetta.analysis.scaling import null_scaling_table, pooled_table, scaling_table
from rosetta.analysis.stability import exclusion_table, k_sweep_table, stability_table, threshold_table
from rosetta.config import Config
from rosetta.config.ladders import check_scales
from rosetta.errors import StoreError
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_csv, write_csv


def tables_step(config: Config, paths: Paths) -> None:
    """Write the tables of the controls and of the sweeps."""
    controls = control_table(config, paths)
    tables = {
        "controls": controls,
        "null_summary": null_summary(config, paths, controls),
        "k_sweep": k_sweep_table(config, paths),
        "threshold_sweep": threshold_table(config, paths),
        "stability": stability_table(config, paths),
        "exclusions": exclusion_table(config, paths),
    }
    for name, table in tables.items():
        write_csv(paths.table(name), table)


def counts_step(config: Config, paths: Paths) -> None:
    """Count Rosetta Neurons per rung of every ladder, in the whole data and on half-samples of the documents."""
    check_scales(config, lambda name: model_shape(paths, name).n_neurons)  # all sizes are known now
    nulls = read_all_nulls(config, paths)
    limits = ladder_thresholds(nulls, config.controls.null_quantile)
    replicates = replicate_table(config, paths, nulls)
    counts = count_table(config, paths, limits, replicates)
    write_csv(paths.table("replicates"), replicates)
    write_csv(paths.table("counts"), counts)


def fit_step(
    counts: Path,
    out: Path | None,
    replicates: Path | None,
    controls: Path | None,
    pooled: Path | None,
    nulls: Path | None,
) -> pd.DataFrame:
    """Fit the laws of a table of counts and return those of its ladders; write the tables that have a path.

    Raises
    ------
    StoreError
        If a table lacks columns, or half-samples their complements.
    """
    needed = ["ladder", "n_neurons", "matches"]
    if pooled or nulls:
        needed += ["rung", "models", "families"]
    table = read_csv(counts, needed, ("n_neurons", "matches"), some=True)
    on_halves = read_csv(replicates, REPLICATE_COLUMNS) if replicates else None
    if on_halves is not None and on_halves["half_sample"].nunique() % 2:
        raise StoreError(f"{replicates}: has an odd number of half-samples; give each with its complement.")
    of_nulls = read_csv(controls, CONTROL_COLUMNS) if controls else None
    found = scaling_table(table, on_halves)
    written = {out: found}
    if pooled:
        written[pooled] = pooled_table(table, on_halves, of_nulls)
    if nulls and of_nulls is not None:
        written[nulls] = null_scaling_table(table, of_nulls)
    for path, one in written.items():
        if path:
            write_csv(path, one)
    return found
