"""Tasks on Dask: threads, worker processes, a given cluster, or SLURM jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch

from rosetta.config import Dask
from rosetta.errors import ClusterError
from rosetta.extras import require_extra
from rosetta.progress import bar, say

CONNECT_SECONDS = 30


def run_tasks(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], settings: Dask, *, label: str
) -> list[Any]:
    """Call `function` with each task's arguments; return results in the tasks' order.

    A task that a dying worker took with it is given to another one. Functions and arguments must be
    small and picklable: workers read stores and write results on the shared file system themselves.

    Raises
    ------
    ClusterError
        If the cluster cannot be reached or started.
    """
    if not tasks:
        return []
    with bar(total=len(tasks), label=label, unit="task") as shown:
        if settings.scheduler == "threads":
            return _in_threads(function, tasks, settings, shown)
        with _client(settings) as client:
            return _on_cluster(client, function, tasks, settings, shown)


def _in_threads(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], settings: Dask, shown: Any
) -> list[Any]:
    def one(*arguments: Any) -> Any:
        result = _with_threads(settings.threads, function, *arguments)
        shown.update()
        return result

    if settings.n_workers == 1:  # one after the other; Dask would take half a second to import
        with ThreadPoolExecutor(1) as thread:
            return list(thread.map(lambda arguments: one(*arguments), tasks))
    from dask.base import compute
    from dask.delayed import delayed

    calls = [delayed(one, pure=False)(*arguments) for arguments in tasks]
    return list(compute(*calls, scheduler="threads", num_workers=settings.n_workers))


def _on_cluster(
    client: Any,
    function: Callable[..., Any],
    tasks: Sequence[tuple[Any, ...]],
    settings: Dask,
    shown: Any,
) -> list[Any]:
    from distributed import as_completed

    futures = [
        client.submit(_with_threads, settings.threads, function, *arguments, pure=False)
        for arguments in tasks
    ]
    for future in as_completed(futures):
        future.result()  # raises what the task raised
        shown.update()
    return list(client.gather(futures))


def _with_threads(n_threads: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function with torch's thread count set: torch keeps one per calling thread."""
    torch.set_num_threads(n_threads)
    return function(*arguments)


@contextmanager
def _client(settings: Dask) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    if settings.scheduler == "processes":
        # One task at a time per process; its threads are torch's.
        with (
            LocalCluster(
                n_workers=settings.n_workers, threads_per_worker=1, dashboard_address=":0"
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
    elif settings.scheduler == "slurm":
        with _slurm_cluster(settings) as cluster, Client(cluster) as client:
            cluster.scale(settings.n_workers)
            say(f"SLURM: asked for {settings.n_workers} workers")
            yield client
    else:
        try:
            client = Client(settings.scheduler, timeout=CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"dask.scheduler: no scheduler answers at {settings.scheduler} ({error})."
            ) from None
        with client:
            yield client


def _slurm_cluster(settings: Dask) -> Any:
    require_extra("slurm", "dask.scheduler: slurm")
    from dask_jobqueue.slurm import SLURMCluster

    try:
        # processes=1: one task per SLURM job at a time, so that the memory of a job is one task's.
        options: dict[str, Any] = {**settings.jobqueue}
        return SLURMCluster(processes=1, cores=settings.threads, **options)
    except (TypeError, ValueError) as error:
        raise ClusterError(f"dask.jobqueue: {error}") from None
