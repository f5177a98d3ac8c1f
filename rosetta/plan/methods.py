"""What a run costs by either method of correlation, stores kept or not."""

from __future__ import annotations

from itertools import product
from typing import Literal

from rosetta.config import Config
from rosetta.config.base import GB
from rosetta.errors import ModelError, PlanError
from rosetta.plan.sweep import RunPlan, plan_run
from rosetta.run.paths import Paths

Keep = bool | Literal["temporary"]
_STORES: dict[Keep, str] = {True: "kept", "temporary": "temporary", False: "none"}
DISK_BYTES_PER_SECOND = 0.5e9  # a disk, or a shared file system, that reads or writes activations
HEAD = (
    f"{'method':<10}{'stores':<11}{'jobs':>6}{'FLOPs':>12}"
    f"{'disk GB':>12}{'left GB':>12}{'memory GB':>11}"
)


def compare_methods(config: Config, paths: Paths, planned: RunPlan) -> str:
    """Return a table of the six ways to run a configuration; a star marks its own.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    planned : RunPlan
        Its plan, for the speed and number of devices.

    Returns
    -------
    str
        Per way: jobs, operations, disk while it runs and disk that is left at its end, memory,
        device-hours, and hours in which activations are read and written.
    """
    speed = planned.speed
    lines = ["", f"{HEAD}{speed.device + '-hours':>15}{'disk-hours':>13}"]
    for method, keep in product(("exact", "screened"), _STORES):
        variant = with_method(config, method, keep)
        chosen = "*" if _same_ways(variant, config) else ""
        name = f"{method + chosen:<10}{_STORES[keep]:<11}"
        try:
            plan = plan_run(variant, paths, speed.flops_per_second / 1e12, speed.n_devices)
        except (ModelError, PlanError) as error:
            lines.append(f"{name}does not fit: {error}")
            continue
        lines.append(f"{name}{_row(plan)}")
    return "\n".join(
        [
            *lines,
            "* as configured; disk: while it runs, at most, if all stores lie there at once; "
            f"disk-hours: activations read and written at {DISK_BYTES_PER_SECOND / GB:g} GB/s",
        ]
    )


def _same_ways(variant: Config, config: Config) -> bool:
    """Tell whether two configurations run in the same of the ways, `auto` being one of them."""
    ways = [(one.correlation.method, one.store_mode) for one in (variant, config)]
    return ways[0] == ways[1]


def with_method(config: Config, method: str, keep: Keep) -> Config:
    """Return a configuration with another method of correlation, what becomes of stores."""
    changes: dict = {"method": method}
    if method == "screened":
        changes["n_jobs"] = 1  # its tasks are spread by dask.n_workers instead
    return config.model_copy(
        update={
            "correlation": config.correlation.model_copy(update=changes),
            "activations": config.activations.model_copy(update={"keep": keep}),
        }
    )


def _row(plan: RunPlan) -> str:
    disk = sum(phase.disk_bytes or 0 for phase in plan.phases)
    left = sum(phase.disk_bytes or 0 for phase in plan.phases if not phase.temporary)
    jobs = sum(phase.jobs for phase in plan.phases)
    memory = max(phase.peak_bytes for phase in plan.phases)
    moved = sum(phase.operations.moved_bytes for phase in plan.phases)
    sizes = f"{disk / GB:>12,.1f}{left / GB:>12,.1f}{memory / GB:>11.1f}"
    hours = f"{plan.device_hours:>15,.2f}{moved / DISK_BYTES_PER_SECOND / 3600:>13,.2f}"
    return f"{jobs:>6}{plan.flops:>12.2e}{sizes}{hours}"
