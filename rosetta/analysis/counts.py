"""Counts of Rosetta Neurons per rung of every ladder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rosetta.analysis.group_counts import count_group
from rosetta.analysis.null_thresholds import PLAIN, STATISTICS
from rosetta.analysis.replicates import Limits, clipped, intervals_of
from rosetta.config import Config, group_name, group_pairs
from rosetta.config.ladders import families_of
from rosetta.errors import StoreError
from rosetta.matching.mutual import MATCH_COLUMNS
from rosetta.models.neurons import NeuronShape
from rosetta.run.paths import Paths
from rosetta.storage.manifests import read_manifest
from rosetta.storage.tables import read_parquet, read_parquet_metadata

# Floors of r above which counts are told, whatever chance makes (α against the floor of r); the
# columns of these counts, and their floors.
FLOORS = (0.3, 0.4, 0.5, 0.6)
FLOOR_OF = {f"matches_above_{floor}": floor for floor in FLOORS}
# How the column of a statistic's count is called.
COUNT_OF = {PLAIN: "matches", **{name: name for name in STATISTICS[1:]}}
COUNT_COLUMNS = [
    "ladder",
    "rung",
    "models",
    "n_neurons",
    "n_positions",
    "matches",
    "n_dead_a",
    "n_dead_b",
    "mean_r",
    *STATISTICS[1:],
    *(f"{name}_ci_{end}" for name in (*COUNT_OF.values(), "mean_r") for end in ("low", "high")),
    "interval",
    "n_quiet_a",
    "n_quiet_b",
    "n_special",
    "n_first_position",
    "n_high_norm",
    "families",
    "modality",
]
TRAINING_COLUMNS = [
    "ladder",
    "rung",
    "models",
    "families",
    "n_neurons",
    *COUNT_OF.values(),
    "mean_r",
    *FLOOR_OF,
    "modality",
]


def training_table(config: Config, paths: Paths, limits: Limits) -> pd.DataFrame:
    """Return one row per group of trainings of every rung: what the scaling laws are fitted to.

    A rung whose models have replicates holds a group for each way to take one training per model;
    without replicates it holds one. `matches`, `mean_r`, `above_documents` and `above_untrained`
    are as in `count_table`, with the ladder's thresholds; `matches_above_0.5` counts matches with
    r > 0.5, and so on for each of `FLOORS`; NaN where screening gave up at a higher r.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    limits : dict
        What r has to exceed, by ladder and statistic
        (`rosetta.analysis.replicates.ladder_thresholds`).
    """
    rows, families = [], families_of(config.ladders)
    for ladder, rungs in config.ladders.items():
        calibrated = {COUNT_OF[name]: limit for name, limit in limits[ladder].items()}
        floors = FLOOR_OF | calibrated
        for number, rung in enumerate(map(tuple, rungs)):
            named = group_name(tuple(families[model] for model in rung))
            for group in config.replicate_groups(rung):
                tables = _matches_of(group, paths)
                row = {"ladder": ladder, "rung": number, "models": group_name(group)}
                row |= {"families": named, "n_neurons": _mean_neurons(group, paths)}
                found = [table[table["r"] > limits[ladder][PLAIN]] for table in tables]
                row["mean_r"] = count_group(found).mean_r
                row["modality"] = config.ladder_modality(ladder)
                for column, floor in floors.items():
                    if floor >= limits[ladder][PLAIN]:  # NaN is not
                        above = [table[table["r"] > floor] for table in tables]
                        row[column] = count_group(above).matches
                rows.append(row)
    return pd.DataFrame(rows, columns=TRAINING_COLUMNS)


def _mean_neurons(group: tuple[str, ...], paths: Paths) -> float:
    """Return the mean neuron count of a group's models, the size x of the scaling law."""
    return float(np.mean([model_shape(paths, model).n_neurons for model in group]))


def _matches_of(group: tuple[str, ...], paths: Paths) -> list[pd.DataFrame]:
    pairs = group_pairs(group)
    return [read_parquet(paths.matches(group_name(pair)), MATCH_COLUMNS) for pair in pairs]


def count_table(
    config: Config, paths: Paths, limits: Limits, replicates: pd.DataFrame
) -> pd.DataFrame:
    """Return one row per rung of every ladder, of the trainings that the ladder names.

    `n_neurons` is the mean neuron count of the rung's models, the size x of the scaling law.
    `matches` is the number of matches of a pair, or of anchor neurons matched with every other
    model in larger groups; of those above where screening gave up, if it did
    (`rosetta.analysis.replicates.screened_floors`); `mean_r` is the mean correlation of those
    matches. `above_documents` and `above_untrained` count only matches whose r exceeds the
    configured quantile of that null's matched r, one threshold for all rungs of a ladder (NaN
    without the null, and where it has too few matches to tell or tells less than was screened for).
    `_ci_low` and `_ci_high` are 95% intervals from balanced halves of the
    samples, which for calibrated counts hold the error of the threshold (NaN with a single seed,
    which does not tell it), and `interval` says how the pairs were matched on these: `rematched`,
    or among `candidates` (`rosetta.correlation.resample`).

    `n_dead_a` and `n_dead_b` are the dead neurons of both models on the positions that they share,
    `n_quiet_a` and `n_quiet_b` those below the variance floor; `n_special` counts rows that belong
    to no position, `n_first_position` and `n_high_norm` aligned positions, that are left out.

    A larger group has one comparison, with aligned positions of its own, per model that is not the
    anchor. There `n_positions` is the minimum over the comparisons, `n_dead_a` and `n_quiet_a` the
    maximum over them of the anchor's neurons, the other numbers left out are sums over them, and
    `mean_r` the mean over all of their matches. `families` are those of the models
    (`rosetta.config.ladders.families_of`), and `modality` is what the models see.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    limits : dict
        What r has to exceed, by ladder and statistic
        (`rosetta.analysis.replicates.ladder_thresholds`).
    replicates : DataFrame
        `rosetta.analysis.replicates.replicate_table`.
    """
    rows, families = [], families_of(config.ladders)
    for ladder, rungs in config.ladders.items():
        for number, rung in enumerate(rungs):
            mine = replicates[(replicates["ladder"] == ladder) & (replicates["rung"] == number)]
            counted = _count_rung(tuple(rung), paths, limits[ladder], mine)
            named = group_name(tuple(families[model] for model in rung))
            counted |= {"families": named, "modality": config.ladder_modality(ladder)}
            rows.append({"ladder": ladder, "rung": number, **counted})
    return pd.DataFrame(rows, columns=COUNT_COLUMNS)


def _count_rung(
    group: tuple[str, ...], paths: Paths, limits: dict[str, float], replicates: pd.DataFrame
) -> dict:
    names = [group_name(pair) for pair in group_pairs(group)]
    tables = _matches_of(group, paths)
    facts = [match_facts(paths.matches(name)) for name in names]
    methods = [read_parquet_metadata(paths.replicates(name))["interval"] for name in names]
    row = {
        "models": group_name(group),
        "n_neurons": _mean_neurons(group, paths),
        "n_positions": min(fact["n_positions"] for fact in facts),
        "interval": ", ".join(dict.fromkeys(methods)),
        **{name: max(fact[name] for fact in facts) for name in ("n_dead_a", "n_quiet_a")},
        **{name: sum(fact[name] for fact in facts) for name in _SUMMED},
    }
    for statistic, limit in limits.items():
        if np.isnan(limit):
            continue
        counted, column = (
            count_group([table[table["r"] > limit] for table in tables]),
            COUNT_OF[statistic],
        )
        mine = replicates[replicates["statistic"] == statistic]
        row[column] = counted.matches
        interval = clipped(intervals_of(mine, "matches", counted.matches), 0.0)
        row[f"{column}_ci_low"], row[f"{column}_ci_high"] = interval
        if statistic == PLAIN:
            row["mean_r"] = counted.mean_r
            interval = clipped(intervals_of(mine, "mean_r", counted.mean_r), -1.0, 1.0)
            row["mean_r_ci_low"], row["mean_r_ci_high"] = interval
    return row


_SUMMED = ("n_dead_b", "n_quiet_b", "n_special", "n_first_position", "n_high_norm")


def match_facts(path: Path) -> dict[str, Any]:
    """Return what a run noted with a pair's matches: positions, and what is left out.

    Raises
    ------
    StoreError
        If the matches are imported, of which nothing of this is known.
    """
    facts = read_parquet_metadata(path)
    if "imported_from" in facts:
        raise StoreError(
            f"{path}: is imported from {facts['imported_from']}, so positions, intervals and "
            "controls of its matches "
            "are not known. Write their counts into a table for `rosetta fit` "
            "(docs/reproduction.md, section 7)."
        )
    return facts


def model_shape(paths: Paths, model: str) -> NeuronShape:
    """Return a model's neuron counts from its manifest."""
    return NeuronShape.of(read_manifest(paths.model_manifest(model), "model"))
