"""How fast this machine computes, for a plan's minutes."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import torch

from rosetta.config.dask import all_cores


@dataclass(frozen=True)
class Speed:
    """Speed of the devices that a plan is made for.

    Attributes
    ----------
    flops_per_second : float
        Of one device, in a plain matrix product.
    n_devices : int
        How many there are.
    device : str
        What one is called: `device`, or `core` of this machine.
    load : float
        Processes that wanted a core while the speed was measured (load average of one minute); 0
        if the speed was given.
    """

    flops_per_second: float = 1.0
    n_devices: int = 1
    device: str = "core"
    load: float = 0.0

    @property
    def words(self) -> str:
        """The speed, after a number of hours."""
        each = f"{self.flops_per_second / 1e9:.0f} GFLOP/s per {self.device}"
        return f"{self.device}-hours at {each}, {self.n_devices} {self.device}(s)"

    @property
    def caution(self) -> str:
        """What to know about a speed that was measured beside other work; empty if it was not."""
        if self.load <= self.n_devices / 2:
            return ""
        return (
            f"BUSY MACHINE: load average {self.load:.1f} on {self.n_devices} core(s). The speed "
            "was measured beside other work,\nso minutes may be several times those of an idle "
            "machine. Plan again later, or give --tflops and --devices."
        )


UNIT_SPEED = Speed()


def machine_speed() -> Speed:
    """Measure the speed of this machine's cores, and how busy they are."""
    load = os.getloadavg()[0]  # before the measurement, which is work too
    return Speed(_matmul_speed(), all_cores(), load=load)


def _matmul_speed() -> float:
    """Return float32 operations per second of one core in a short matrix product.

    The fastest of several counts, by processor time: other work stretches the clock, and slows
    each of them differently.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    left = torch.rand(1024, 1024)
    left @ left
    seconds = min(_processor_seconds(left) for _ in range(5))
    torch.set_num_threads(threads)
    return 2 * 1024**3 / seconds


def _processor_seconds(left: torch.Tensor) -> float:
    start = time.process_time()
    left @ left
    return time.process_time() - start
