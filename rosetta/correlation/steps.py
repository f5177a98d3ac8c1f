"""The steps that correlate two models: stores of any origin, and a pair of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rosetta.config import PAIR_SEPARATOR, Config
from rosetta.correlation.request import CorrelationRequest
from rosetta.run.paths import Paths

if TYPE_CHECKING:
    from rosetta.correlation.view import View


def correlate_step(request: CorrelationRequest, out: Path, job: int, view: View) -> None:
    """Correlate all neurons of two models, and write one job's neighbour lists.

    Parameters
    ----------
    request : CorrelationRequest
        The stores, and how they are correlated.
    out : Path
        Parquet file to write (`rosetta.correlation.neighbor_tables`).
    job : int
        Number of this job among `request.settings.n_jobs`.
    view : View
        Documents, positions and neurons that are correlated, and their order.
    """
    from rosetta.correlation.pairs import correlate_stores

    correlate_stores(
        request.folder_a,
        request.folder_b,
        out,
        request.pooling,
        request.settings,
        request.dask,
        job=job,
        view=view,
    )


def neighbors_step(config: Config, paths: Paths, pair: str, job: int) -> None:
    """Correlate a pair of a run, and write the neighbour lists of one of its jobs."""
    from rosetta.correlation.view import View

    settings = config.correlation
    a, b = (
        paths.stores(model, config.activations.n_shards) for model in pair.split(PAIR_SEPARATOR)
    )
    request = CorrelationRequest(a, b, config.alignment.pooling, settings, config.dask)
    out = paths.neighbors_part(pair, job, settings.n_jobs)
    correlate_step(request, out, job, View(config.exclusions))
