"""What jobs that run a model may use of their machine."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from rosetta.config.base import Section

AUTO = "auto"


class Devices(Section):
    """What one job that runs or reads a model may use of its machine; trainings take one device and
    the model whole.
    """

    n_gpus: int = Field(
        1,
        ge=1,
        le=64,
        description="GPUs of one machine that a model is split over where it does not fit one",
    )
    gpu_memory_gb: float | None = Field(
        None, gt=0, le=100_000, description="of each GPU, in 10⁹ bytes; null: 90 % of what it has"
    )
    cpu_memory_gb: float | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description="main memory of a job, in 10⁹ bytes; null: 90 % of what the machine has, "
        "which is too much for "
        "several jobs at once",
    )
    offload: Literal["none", "cpu", "disk"] = Field(
        "cpu",
        description="where weights wait that do not fit: nowhere, in main memory those that fit "
        "no GPU, in the model's "
        "own files those that fit neither",
    )


def device_problems(config: Any) -> list[str]:
    """Return what is wrong with the devices of a `rosetta.config.root.Config`."""
    given = config.devices.gpu_memory_gb or config.devices.cpu_memory_gb
    if config.activations.batch_size == AUTO and not given:
        return [
            "activations.batch_size: auto is what fits the memory given, and none is; give "
            "devices.gpu_memory_gb or, "
            "without a GPU, devices.cpu_memory_gb"
        ]
    return []
