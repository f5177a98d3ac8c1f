"""Steps that count: Rosetta Neurons, and what becomes of them under the controls and sweeps."""

from __future__ import annotations

from rosetta.analysis.controls import control_table, null_summary
from rosetta.analysis.counts import count_table, model_shape
from rosetta.analysis.replicates import pair_thresholds, replicate_table
from rosetta.analysis.stability import exclusion_table, k_sweep_table, stability_table, threshold_table
from rosetta.config import Config
from rosetta.ladders import check_scales
from rosetta.paths import Paths
from rosetta.tables import write_csv


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
    limits = pair_thresholds(config, paths)
    replicates = replicate_table(config, paths, limits)
    counts = count_table(config, paths, limits, replicates)
    write_csv(paths.table("replicates"), replicates)
    write_csv(paths.table("counts"), counts)
