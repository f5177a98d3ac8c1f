"""The step that correlates two models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rosetta.correlation.neighbor_tables import write_lists
from rosetta.correlation.request import CorrelationRequest

if TYPE_CHECKING:
    from rosetta.correlation.view import View


def correlate_step(
    request: CorrelationRequest, out: Path, job: int = 0, view: View | None = None
) -> None:
    """Correlate all neurons of two models, and write one job's neighbour lists.

    Finished tiles are kept beside `out` until it is written, so that a killed job repeats none of
    them.

    Parameters
    ----------
    request : CorrelationRequest
        The stores, and how they are correlated.
    out : Path
        Parquet file to write (`rosetta.correlation.neighbor_tables`).
    job : int
        Number of this job among `request.settings.n_jobs`.
    view : View, optional
        Samples, positions and neurons that are correlated, and their order; all of them, in
        order, if not given.
    """
    from rosetta.correlation.aligned import WHOLE
    from rosetta.correlation.pairs import correlate_pair, remove_scratch

    scratch = out.parent / f".tiles-{out.stem}"
    lists = correlate_pair(request, job=job, view=view or WHOLE, scratch=scratch)
    write_lists(out, lists)
    remove_scratch(scratch)
