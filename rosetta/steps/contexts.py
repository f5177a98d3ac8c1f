"""The step that describes matches by their top contexts."""

from __future__ import annotations

import json
from pathlib import Path

from rosetta.analysis.contexts import describe_matches
from rosetta.config import Config
from rosetta.corpus.build import read_split
from rosetta.files import write_text
from rosetta.matching import MATCH_COLUMNS
from rosetta.paths import Paths
from rosetta.tables import read_parquet


def contexts_step(config: Config, paths: Paths, matches: Path, a: Path, b: Path, out: Path) -> None:
    """Describe the best matches of a pair by their top contexts."""
    documents = read_split(paths, "match", config.activations.max_documents)
    described = describe_matches(
        read_parquet(matches, MATCH_COLUMNS),
        a,
        b,
        documents,
        config.report.n_matches,
        config.report.n_contexts,
    )
    write_text(out, json.dumps(described, ensure_ascii=False, indent=1) + "\n")
