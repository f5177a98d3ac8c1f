"""Matching a pair again under another view of its stores, as a run matches it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pandas as pd

from rosetta.config import Config
from rosetta.correlation.aligned import pair_identity
from rosetta.correlation.neighbor_tables import (
    NeighborLists,
    pair_counts,
    read_lists,
    write_lists,
)
from rosetta.correlation.pairs import correlate_orders, remove_scratch
from rosetta.correlation.products import resolve_precision
from rosetta.correlation.request import CorrelationRequest
from rosetta.correlation.view import View
from rosetta.matching.mutual import mutual_matches
from rosetta.storage.atomic import scratch_folder
from rosetta.storage.digests import digest_json


def view_scratch(out: Path) -> AbstractContextManager[Path]:
    """Return the scratch folder of a job with several views, where a killed one resumes."""
    return scratch_folder(out.with_name(f".views-{out.stem}"), keep=True)


def match_view(
    config: Config,
    folder_a: Path,
    folder_b: Path,
    scratch: Path,
    view: View,
    pooling: str | None = None,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Correlate and match two folders of stores exactly, under a view.

    Parameters
    ----------
    config : Config
        Of the run: its k, budget, precision and pooling.
    folder_a, folder_b : Path
        Shard stores of either model.
    scratch : Path
        Folder of the job (`view_scratch`), in which finished neighbour lists are kept, and found
        again.
    view : View
        Samples, positions and neurons that are correlated, and their single order.
    pooling : str, optional
        In place of the configuration's.

    Returns
    -------
    matches : DataFrame
        `rosetta.matching.mutual.MATCH_COLUMNS`.
    facts : dict
        Its positions, and what the exclusions left out.
    """
    (found,) = match_orders(config, folder_a, folder_b, scratch, view, pooling)
    return found


def match_orders(
    config: Config,
    folder_a: Path,
    folder_b: Path,
    scratch: Path,
    view: View,
    pooling: str | None = None,
) -> list[tuple[pd.DataFrame, dict[str, int]]]:
    """Do as `match_view` for each order of the second model's positions, in as few passes over the
    stores as memory allows.
    """
    k = config.matching.k
    settings = config.correlation.model_copy(update={"method": "exact", "n_jobs": 1, "max_k": k})
    pooling = pooling or config.alignment.pooling
    gpu_memory_gb = config.devices.gpu_memory_gb
    request = CorrelationRequest(folder_a, folder_b, pooling, settings, config.dask, gpu_memory_gb)
    lists = _lists_under(request, view, scratch)
    return [(mutual_matches(*one, k), pair_counts(*one)) for one in lists]


def _lists_under(request: CorrelationRequest, view: View, scratch: Path) -> list[NeighborLists]:
    """Return the neighbour lists of a pair under a view; those that a killed job finished are in
    `scratch`.
    """
    settings = request.settings
    stores = pair_identity(request.folder_a, request.folder_b)
    precision = resolve_precision(settings.precision)
    kept = {}
    for seed in view.permute_seeds:
        alone = replace(view, permute_seeds=(seed,)).describe()
        computed = [stores, request.pooling, settings.max_k, precision, alone]
        kept[seed] = scratch / f"{digest_json(computed)}.parquet"
    missing = tuple(seed for seed, path in kept.items() if not path.exists())
    if missing:
        tiles = scratch / f".tiles-{kept[missing[0]].stem}"
        view = replace(view, permute_seeds=missing)
        for seed, lists in zip(
            missing, correlate_orders(request, view=view, scratch=tiles), strict=True
        ):
            write_lists(kept[seed], lists)
        remove_scratch(tiles)
    return [read_lists([path]) for path in kept.values()]


def null_view(config: Config, table: Path | None, control: str, *seeds: int) -> View:
    """Return the main view under a null model that reorders positions: of permuted ones with all
    seeds, of exchanged samples with one.

    `table` tells the samples' labels and clusters, where there is one.
    """
    main = View.of(config)
    if control == "permutation":
        return replace(main, permute_seeds=seeds)
    (seed,) = seeds
    return replace(main, exchange_seed=seed, sample_table=table)
