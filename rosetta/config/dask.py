"""The section `dask`."""

from __future__ import annotations

from pydantic import Field, JsonValue, model_validator

from rosetta.config.base import Section


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
    threads_per_worker: int = Field(1, ge=1, le=10_000, description="cores that each task uses")
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
    def n_processes(self) -> int:
        """Processes that share the memory of the job that starts the tasks."""
        return self.n_workers if self.scheduler == "processes" else 1
