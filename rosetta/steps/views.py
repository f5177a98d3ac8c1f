"""Matching a pair anew under another view of its stores, through the same code as the main result."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd

from rosetta.config import Config
from rosetta.correlation.lists import pair_counts, read_lists
from rosetta.correlation.pairs import correlate_stores
from rosetta.correlation.view import View
from rosetta.matching import mutual_matches


def match_view(
    config: Config, folder_a: Path, folder_b: Path, scratch: Path, view: View, pooling: str | None = None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Correlate and match two folders of stores by the exact method, as a run does, but under a view.

    Parameters
    ----------
    config : Config
        Of the run: its k, budget, precision and pooling.
    folder_a, folder_b : Path
        Shard stores of either model.
    scratch : Path
        Folder for temporary files.
    view : View
        Documents, positions and neurons that take part, and their order.
    pooling : str, optional
        In place of the configuration's.

    Returns
    -------
    matches : DataFrame
        `rosetta.matching.MATCH_COLUMNS`.
    facts : dict
        Its positions, and what the exclusions left out.
    """
    k = config.matching.k
    settings = config.correlation.model_copy(update={"method": "exact", "n_jobs": 1, "max_k": k})
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".view-") as folder:
        lists = Path(folder) / "neighbors.parquet"
        correlate_stores(
            folder_a, folder_b, lists, pooling or config.alignment.pooling, settings, config.dask, view=view
        )
        neighbors, facts = read_lists([lists])
    return mutual_matches(neighbors, facts, k), pair_counts(neighbors, facts)
