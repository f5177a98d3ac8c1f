"""Which GPUs of this machine a process uses, and what it may take of its memory."""

from __future__ import annotations

import fcntl
import os
import platform
import tempfile
from functools import cache
from itertools import count
from pathlib import Path
from typing import IO

import psutil
import torch

from rosetta.config.base import GB
from rosetta.config.devices import Devices
from rosetta.errors import ConfigError
from rosetta.models.placement import Room

# of a device's or machine's memory; the rest is for its drivers, the interpreter and libraries
USABLE = 0.9
CPU = torch.device("cpu")
_claimed: dict[int, IO[str]] = {}


def claim_gpus(n: int) -> list[int]:
    """Claim GPUs for this process until it ends, and return their numbers.

    Jobs that run at once on one machine (the shards of a model, say) spread over its GPUs: each
    takes those that the fewest others hold. The claims are locks of the operating system, so they
    end with their holders. A scheduler that shows a job only its own GPUs needs none of this, and
    is not disturbed.

    Parameters
    ----------
    n : int
        How many, at most as many as there are.

    Raises
    ------
    ConfigError
        If the folder of the locks is another user's, who could make links of them.
    """
    folder = Path(tempfile.gettempdir()) / f"rosetta-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise ConfigError(
            f"{folder} is not yours, and is where GPUs are claimed. Set TMPDIR to a folder of "
            "your own."
        )
    visible = list(enumerate(_visible()))
    tries = ((number, name, holders) for holders in count() for number, name in visible)
    while len(_claimed) < min(n, len(visible)):
        number, name, holders = next(tries)
        if number in _claimed:
            continue
        stream = open(folder / f"{name}.{holders}", "w")  # noqa: SIM115
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _claimed[number] = stream
        except BlockingIOError:
            stream.close()
    return list(_claimed)[:n]


def _visible() -> list[str]:
    """Return what the machine calls the GPUs that this process may use, by their numbers in it."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    found = torch.cuda.device_count()
    names = (
        named if len(named) >= found and all(named) else [str(number) for number in range(found)]
    )
    return [name.strip().replace("/", "-") for name in names[:found]]


@cache
def best_device() -> torch.device:
    """Return where this process computes: a GPU that few others use, or the CPU."""
    return torch.device("cuda", *claim_gpus(1)) if torch.cuda.is_available() else CPU


def gpu_memory(device: torch.device) -> tuple[float, float]:
    """Return the bytes of a GPU that this process may have, and how many of them it uses now."""
    free, _ = torch.cuda.mem_get_info(device)
    used = torch.cuda.memory_allocated(device)
    return USABLE * (free + torch.cuda.memory_reserved(device)), used


def room_here(devices: Devices) -> Room:
    """Return what a job may use of this machine: what the configuration gives, or what there is.

    Raises
    ------
    ConfigError
        If more is given than there is: what follows from it, such as a batch, would be another than
        the configuration says.
    """
    memory = _limit("cpu_memory_gb", devices.cpu_memory_gb, psutil.virtual_memory().total)
    n_gpus = min(devices.n_gpus, torch.cuda.device_count()) if torch.cuda.is_available() else 0
    totals = [torch.cuda.get_device_properties(number).total_memory for number in range(n_gpus)]
    gpus = (_limit("gpu_memory_gb", devices.gpu_memory_gb, min(totals)),) * n_gpus if totals else ()
    return Room(gpus, memory, devices.offload)


def _limit(key: str, given: float | None, total: float) -> float:
    if given is not None and given * GB > total:
        raise ConfigError(
            f"devices.{key}: {given:g} is given, and this machine has {total / GB:.4g}. Lower it."
        )
    return USABLE * total if given is None else given * GB


def processor_name(device: torch.device) -> str:
    """Return what a device is called, for readers of results: floats differ between processors.

    Of a processor also the widest instructions that torch uses, which choose its sums.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    name = next(named, platform.processor() or platform.machine())
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"
