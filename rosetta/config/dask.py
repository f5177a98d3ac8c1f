"""The section `dask`."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from rosetta.config.base import Section


def all_cores() -> int:
    """Return the cores of this machine that the process may use."""
    # A SLURM job, or a container, may have fewer than the machine. Not every system tells.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Dask(Section):
    """Where the tasks of a correlation job run."""

    scheduler: str = Field(
        "threads",
        pattern=r"^(threads|processes|slurm|(tcp|tls)://\S+)$",
        description="threads, processes, slurm (through dask-jobqueue) or the address of a "
        "scheduler",
    )
    n_workers: int = Field(
        1,
        ge=1,
        le=100_000,
        description="tasks at once; threads and processes share correlation.memory_gb, others "
        "have it each",
    )
    threads_per_worker: Annotated[int, Field(ge=1, le=10_000)] | Literal["auto"] = Field(
        "auto",
        description="cores that each task uses; auto: the job's share of `--cores`, or by hand all "
        "of the machine's, and one on a cluster and in jobs of small models",
    )
    jobqueue: dict[str, JsonValue] = Field(
        {}, description="options of dask_jobqueue.SLURMCluster: memory, queue, account, walltime, …"
    )

    @model_validator(mode="after")
    def _quoted_walltime(self) -> Dask:
        walltime = self.jobqueue.get("walltime")
        if walltime is not None and not isinstance(walltime, str):
            raise ValueError(
                "jobqueue.walltime must be in quotes: YAML reads 01:00:00 as a number (got "
                f"{walltime})"
            )
        return self

    @property
    def local(self) -> bool:
        """Whether the tasks run on the machine of the job that starts them."""
        return self.scheduler in ("threads", "processes")

    @property
    def threads(self) -> int:
        """Cores that each task uses; one where `auto` got no number (`on_cores`)."""
        return 1 if self.threads_per_worker == "auto" else self.threads_per_worker

    @property
    def cores(self) -> int:
        """Cores that all tasks use that run on one machine at once."""
        return self.n_workers * self.threads if self.local else self.threads

    def on_cores(self, n: int) -> Dask:
        """Return the settings of a job of n cores, which its tasks share.

        Workers on other machines keep the cores that they have.
        """
        if not self.local:
            return self
        return self.model_copy(update={"threads_per_worker": max(1, n // self.n_workers)})

    @property
    def n_processes(self) -> int:
        """Processes that share the memory of the job that starts the tasks."""
        return self.n_workers if self.scheduler == "processes" else 1
