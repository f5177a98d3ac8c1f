"""The step that correlates two models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rosetta.correlation.request import CorrelationRequest

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
        Samples, positions and neurons that are correlated, and their order.
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
