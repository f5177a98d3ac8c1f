"""The steps that correlate two models: stores of any origin, and a pair of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rosetta.analysis.replicates import null_floor
from rosetta.config import Config, Correlation
from rosetta.correlation.neighbor_tables import write_lists
from rosetta.correlation.request import CorrelationRequest
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.run.stages import files

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

    scratch = _scratch(out)
    lists = correlate_pair(request, job=job, view=view or WHOLE, scratch=scratch)
    write_lists(out, lists)
    remove_scratch(scratch)


def _floored(settings: Correlation, floor: float | None) -> Correlation:
    """Return settings that look for no match below a floor, or for all where there is none."""
    told = f"no match with r below {floor:.3f}" if floor is not None else "all matches"
    say(f"the null models leave {told} to be looked for")
    screening = settings.screening.model_copy(update={"min_r": floor})
    return settings.model_copy(update={"screening": screening})


def _scratch(out: Path) -> Path:
    return out.parent / f".tiles-{out.stem}"


def neighbors_step(config: Config, paths: Paths, pair: str, job: int) -> None:
    """Correlate a pair of a run, and write the neighbour lists of one of its jobs.

    Where nothing is stored, those of permuted positions come from the same passes, and lie in the
    same file.
    """
    from rosetta.correlation.pairs import correlate_orders, remove_scratch
    from rosetta.correlation.view import View

    settings = config.correlation
    if settings.floor_of_nulls:
        settings = _floored(settings, null_floor(config, paths, pair))
    a, b = files.store_folders(config, paths, pair)
    pooling, gpu_memory_gb = config.alignment.pooling, config.devices.gpu_memory_gb
    request = CorrelationRequest(a, b, pooling, settings, config.dask, gpu_memory_gb)
    out, seeds = paths.neighbors_part(pair, job, settings.n_jobs), config.permuted_with(pair)
    view = replace(View.of(config), permute_seeds=(None, *seeds))
    main, *permuted = correlate_orders(request, job=job, view=view, scratch=_scratch(out))
    write_lists(out, main, dict(zip(seeds, permuted, strict=True)))
    remove_scratch(_scratch(out))
