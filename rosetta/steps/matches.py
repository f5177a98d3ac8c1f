"""Steps that turn neighbour lists into matches, Rosetta Neurons and their descriptions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from rosetta.analysis.intervals import INTERVAL_COLUMNS
from rosetta.analysis.nulls import tail_probability
from rosetta.correlation.lists import pair_counts, read_lists
from rosetta.errors import ConfigError
from rosetta.matching.mutual import (
    MATCH_COLUMNS,
    NOTE_COLUMNS,
    check_comparisons,
    mutual_matches,
    rosetta_neurons,
)
from rosetta.progress import say
from rosetta.storage.tables import read_parquet, read_parquet_metadata, write_parquet


def match_step(
    neighbors: list[Path], out: Path, k: int, nulls: dict[str, Path] | None = None, intervals: Path | None = None
) -> None:
    """Turn a pair's neighbour lists into matches, with p-values from null models and intervals if they are given."""
    lists, facts = read_lists(neighbors)
    if not 1 <= k < facts.n_kept:
        raise ConfigError(
            f"--k: {k} is not between 1 and {facts.n_kept - 1}, the neighbours kept. Correlate with a larger max_k."
        )
    matches = mutual_matches(lists, facts, k)
    say(f"{len(matches)} matches of {facts.model_a} and {facts.model_b}, mean r {matches['r'].mean():.3f}")
    write_parquet(out, _noted(matches, nulls or {}, intervals), {"k": k, **pair_counts(lists, facts)})


def _noted(matches: pd.DataFrame, nulls: dict[str, Path], intervals: Path | None) -> pd.DataFrame:
    noted = matches.assign(**dict.fromkeys(NOTE_COLUMNS, np.nan))
    for name, path in nulls.items():
        null_r = read_parquet(path, ["r"])["r"].to_numpy()
        noted[f"p_{name}"] = tail_probability(matches["r"].to_numpy(), null_r)
    if intervals:
        keys = ["layer_a", "unit_a", "layer_b", "unit_b"]
        found = matches[keys].merge(read_parquet(intervals, [*keys, *INTERVAL_COLUMNS]), on=keys, how="left")
        noted[INTERVAL_COLUMNS] = found[INTERVAL_COLUMNS].to_numpy()
    return noted


def anchors_step(matches: list[Path], out: Path) -> None:
    """Intersect the matches of an anchor with each of the other models."""
    tables = [read_parquet(path, MATCH_COLUMNS) for path in matches]
    check_comparisons(tables)
    metadata = [read_parquet_metadata(path) for path in matches]
    found = rosetta_neurons(tables)
    say(f"{len(found.drop_duplicates(['layer_anchor', 'unit_anchor']))} anchor neurons in every comparison")
    write_parquet(out, found, {"comparisons": metadata})
