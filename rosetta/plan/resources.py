"""What single jobs need, for a scheduler that has to know beforehand: memory, time and GPUs.

The costs of `rosetta.plan.costs` for as much text as there can be, and a margin. Sizes of models
are exact once their manifests are there, and estimated before; a job that was given too little is
tried again with more (`attempt` in workflow/rules/common.smk). Light, because Snakemake asks while
it plans.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from rosetta.config import Config
from rosetta.judging.budget import most_calls
from rosetta.models.known_sizes import Size, known_size
from rosetta.models.neurons import NeuronShape
from rosetta.plan.costs.base import Cost, Known
from rosetta.plan.costs.stages import job_cost
from rosetta.plan.extent import largest_extent
from rosetta.run.paths import Paths
from rosetta.run.stages import find_rule, pieces_of_job
from rosetta.run.stages.record import Wildcards

MB = 1_000_000
# The margin: on top of a job's own memory, what a cluster's wrapper takes and estimates miss.
BASE_MB = 1500
# Times its memory, for a job whose memory grows with its text by no formula that we have.
GROWING = 2.5
GROWING_STAGES = {"corpus", "filter_pool", "filter_select", "theory_ngrams"}
START_MINUTES = 15
DAY = 24 * 60  # what most partitions admit; further attempts ask for more
SLOW_FLOPS = 3e9  # per core and second in a matrix product: what an old node surely does
SLOW_GPU_FLOPS = 1e12  # the same of a GPU
UNKNOWN = Size(NeuronShape(1, 0), 0)


class Needs(NamedTuple):
    """Memory in MB, time in minutes and GPUs of a job."""

    mb: int
    minutes: int
    gpu: int = 0


def model_size(config: Config, paths: Paths, model: str) -> Size:
    """Return a model's size as exactly as it is known; it has no neuron where it is not."""
    return known_size(config, paths, model) or UNKNOWN


def known_at_most(config: Config, paths: Paths) -> Known:
    """Return what the largest costs follow from, as far as is known without loading anything."""
    precision = config.correlation.precision
    return Known(
        config,
        largest_extent(config, paths),
        lambda model: model_size(config, paths, model),
        # Of the two that `auto` stands for, it takes more memory.
        "bfloat16" if precision == "auto" else precision,
        at_most=True,
    )


def needs_of_job(config: Config, paths: Paths, rule: str, job: Wildcards) -> Needs:
    """Return what a job needs.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    rule : str
        The job's rule, whose record says that its resources follow from sizes.
    job : dict
        The job's wildcards.
    """
    known, dask = known_at_most(config, paths), config.dask
    cost = job_cost(known, rule, job)
    resources = find_rule(rule).resources
    if resources is not None and resources.by == "pair":
        if rule in ("intervals", "instruments"):  # in their own process, wherever tiles are
            return padded(config, cost, threads=dask.threads_per_worker)
        if not dask.local:  # it waits for workers, which have memory and GPUs of their own
            return Needs(BASE_MB, padded_minutes(cost.operations.work / SLOW_FLOPS))
        return padded(config, cost, threads=dask.n_workers * dask.threads_per_worker)
    stages = {stage for stage, _ in pieces_of_job(config, rule, job)}
    needs = padded(config, cost, times=GROWING if stages & GROWING_STAGES else 1.0)
    if "contexts" in stages:
        # Stores are read at scattered points, which no operation counts.
        return needs._replace(minutes=needs.minutes + START_MINUTES)
    if config.judge and "judge" in stages:
        # It waits for its turns to call, which no operation counts either.
        calls = most_calls(config, lambda model: known.size_of(model).shape.n_neurons)
        waiting = math.ceil(calls.minutes(config.judge))
        return needs._replace(minutes=min(needs.minutes + waiting, DAY))
    return needs


def padded(config: Config, cost: Cost, *, threads: int = 1, times: float = 1.0) -> Needs:
    """Return what a job of a cost is given.

    Parameters
    ----------
    config : Config
        From how many minutes on a job that can use GPUs asks for them (`gpu_from_minutes`).
    cost : Cost
        What the job takes.
    threads : int
        Cores that it computes on.
    times : float
        Factor on its memory.

    Returns
    -------
    Needs
        `times` its memory and `BASE_MB`; `START_MINUTES` and its time on a slow node.
    """
    mb, work = BASE_MB + math.ceil(times * cost.n_bytes / MB), cost.operations.work
    minutes = padded_minutes(work / SLOW_FLOPS / threads)
    threshold = config.gpu_from_minutes
    if threshold is None or not cost.n_gpus or minutes < threshold:
        return Needs(mb, minutes)
    return Needs(mb, padded_minutes(work / SLOW_GPU_FLOPS), cost.n_gpus)


def padded_minutes(seconds: float) -> int:
    """Return the minutes that a job of so many seconds is given: more, but no more than `DAY`."""
    return min(START_MINUTES + int(seconds / 60), DAY)
