"""The correlation step: two folders of stores in, neighbour lists out."""

from __future__ import annotations

import shutil
from pathlib import Path

from rosetta.activations.store import Store, open_stores
from rosetta.config import Correlation
from rosetta.correlation.lists import PairFacts, write_lists
from rosetta.correlation.stream import align_pair
from rosetta.correlation.tiles import correlate_pair
from rosetta.errors import ConfigError
from rosetta.files import digest_json


def correlate_stores(
    folder_a: Path, folder_b: Path, out: Path, pooling: str, settings: Correlation, *, job: int = 0
) -> None:
    """Correlate all neurons of two models and write one job's neighbour lists.

    Parameters
    ----------
    folder_a, folder_b : Path
        Folders of shard stores of the same documents.
    out : Path
        Parquet file to write (`rosetta.correlation.lists`).
    pooling : str
        Pooling of tokens to aligned spans.
    settings : Correlation
        Budget, neighbours to keep, precision, number of jobs.
    job : int
        Number of this job.
    """
    if not 0 <= job < settings.n_jobs:
        raise ConfigError(f"--job: {job} is not among the {settings.n_jobs} jobs (--n-jobs).")
    stores_a, stores_b = open_stores(folder_a), open_stores(folder_b)
    pair = align_pair(stores_a, stores_b)
    made_from = [store.manifest for store in (*stores_a, *stores_b)]
    identity = digest_json([made_from, pooling, settings.model_dump(), job])
    scratch = out.parent / f".tiles-{out.stem}-{identity[:16]}"
    for stale in out.parent.glob(f".tiles-{out.stem}-*"):
        if stale != scratch:
            shutil.rmtree(stale)
    neighbors = correlate_pair(pair, pooling, settings, job=job, scratch=scratch)
    facts = PairFacts(
        model_a=model_name(stores_a[0]),
        model_b=model_name(stores_b[0]),
        n_layers_a=stores_a[0].n_layers,
        d_mlp_a=stores_a[0].d_mlp,
        n_layers_b=stores_b[0].n_layers,
        d_mlp_b=stores_b[0].d_mlp,
        n_positions=pair.n_positions,
        n_kept=settings.max_k + 1,
        job=job,
        n_jobs=settings.n_jobs,
    )
    write_lists(out, neighbors, facts)
    shutil.rmtree(scratch, ignore_errors=True)


def model_name(store: Store) -> str:
    """Return the name of the model that a store is of."""
    return str(store.manifest["made_by"].get("model", store.path.parent.name))
