"""How many cores each job of a run computes on, given those of the run."""

from __future__ import annotations

from rosetta.config import Config
from rosetta.run.stages import find_rule
from rosetta.run.stages.record import Bundle

# Stages on pairs that compute in the job's own process, wherever tiles are computed.
IN_THEIR_PROCESS = ("intervals", "instruments", "sae_match")


def job_cores(config: Config, rule: str, n_jobs: int, cores: int | None) -> int:
    """Return the cores that each job of a rule computes on.

    A correlation, or a capture of a model that is not small, takes an equal share: of 16 cores, the
    one pair of a run takes all, each of three captures 5, and each of 40 pairs 1. Jobs of small
    models and pairs take one, because there are many of them.

    Parameters
    ----------
    config : Config
        `dask.threads_per_worker`, if it is a number, is that of each task of a correlation.
    rule : str
        What the jobs run.
    n_jobs : int
        Jobs of this rule in the run.
    cores : int or None
        Cores of the run; None on a cluster, whose jobs do not share a machine.
    """
    record, dask = find_rule(rule), config.dask
    how = record.resources.cores if record.resources else "one"
    if how == "one" or waits_for_workers(config, rule):
        return 1
    chosen = how == "tasks" and dask.threads_per_worker != "auto"
    if chosen or cores is None or isinstance(record, Bundle):
        return dask.cores if how == "tasks" else 1
    return max(1, cores // max(n_jobs, 1))


def waits_for_workers(config: Config, rule: str) -> bool:
    """Tell whether a rule's jobs only start tasks on other machines, and wait for them."""
    resources = find_rule(rule).resources
    on_tasks = resources is not None and resources.cores == "tasks"
    return on_tasks and not config.dask.local and rule not in IN_THEIR_PROCESS
