"""Steps that turn neighbour lists into matches, Rosetta Neurons and their descriptions."""

from __future__ import annotations

from pathlib import Path

from rosetta.correlation.lists import read_lists
from rosetta.errors import ConfigError
from rosetta.matching import MATCH_COLUMNS, mutual_matches, rosetta_neurons
from rosetta.progress import say
from rosetta.tables import read_parquet, read_parquet_metadata, write_parquet


def match_step(neighbors: list[Path], out: Path, k: int) -> None:
    """Turn a pair's neighbour lists into matches."""
    lists, facts = read_lists(neighbors)
    if not 1 <= k < facts.n_kept:
        raise ConfigError(
            f"--k: {k} is not between 1 and {facts.n_kept - 1}, the neighbours kept. Correlate with a larger max_k."
        )
    matches = mutual_matches(lists, facts, k)
    say(f"{len(matches)} matches of {facts.model_a} and {facts.model_b}, mean r {matches['r'].mean():.3f}")
    metadata = {
        "n_positions": facts.n_positions,
        "k": k,
        "n_dead_a": int(lists.dead_a.sum()),
        "n_dead_b": int(lists.dead_b.sum()),
    }
    write_parquet(out, matches, metadata)


def anchors_step(matches: list[Path], out: Path) -> None:
    """Intersect the matches of an anchor with each of the other models."""
    tables = [read_parquet(path, MATCH_COLUMNS) for path in matches]
    named = {name for table in tables for name in table["model_a"].unique()}
    if len(named) > 1:
        raise ConfigError(f"the tables have different anchors ({', '.join(sorted(named))}); model_a must be the same.")
    metadata = [read_parquet_metadata(path) for path in matches]
    found = rosetta_neurons(tables)
    say(f"{len(found.drop_duplicates(['layer_anchor', 'unit_anchor']))} anchor neurons in every comparison")
    write_parquet(out, found, {"comparisons": metadata})
