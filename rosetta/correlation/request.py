"""What is asked for when two folders of stores are correlated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rosetta.config import Alignment, Correlation, Dask
from rosetta.config.arguments import checked
from rosetta.config.dask import all_cores
from rosetta.errors import ConfigError

# What the keys of the configuration are called as options.
_OPTIONS = {"max_k": "k", "screening.min_r": "min_r", "threads_per_worker": "threads"}


@dataclass(frozen=True)
class CorrelationRequest:
    """Two models' stores, and how they are correlated.

    Attributes
    ----------
    folder_a, folder_b : Path
        Folders of shard stores of the same samples.
    pooling : str
        Pooling of stored rows to aligned positions.
    settings : Correlation
        Method, budget, neighbours to keep, precision, number of jobs.
    dask : Dask
        Where the tiles are computed.
    gpu_memory_gb : float, optional
        Memory of a GPU; what it has left if not given.
    """

    folder_a: Path
    folder_b: Path
    pooling: str
    settings: Correlation
    dask: Dask
    gpu_memory_gb: float | None = None


@dataclass(frozen=True)
class CorrelationOptions:
    """How two models are correlated without a configuration: what `rosetta.correlate` and
    `rosetta match` take.

    Attributes
    ----------
    k : int
        Neighbours to keep per neuron.
    pooling, method, precision : str
        As in `CorrelationRequest`.
    memory_gb : float
        Memory budget.
    min_r : float, optional
        With method screened: give up on matches with r below this.
    threads : int, optional
        Cores to use; all if not given.
    """

    k: int
    pooling: str
    method: str
    precision: str
    memory_gb: float
    min_r: float | None
    threads: int | None

    def request(
        self, folder_a: Path, folder_b: Path, spelled: Callable[[str], str] = str
    ) -> CorrelationRequest:
        """Return the request that the options make for two folders of stores.

        Parameters
        ----------
        folder_a, folder_b : Path
            Folders of shard stores.
        spelled : callable
            From the name of an option to how the user writes it, for messages.

        Raises
        ------
        ConfigError
            Naming each option that is out of range, or goes with another method.
        """
        if self.min_r is not None and self.method != "screened":
            raise ConfigError(
                f"{spelled('min_r')}: is what screening certifies. Set {spelled('method')} to "
                "screened too, or leave it out."
            )

        def option(key: str) -> str:
            return spelled(_OPTIONS.get(key, key))

        values = {
            "method": self.method,
            "max_k": self.k,
            "memory_gb": self.memory_gb,
            "precision": self.precision,
            "screening": {"min_r": self.min_r},
        }
        threads = all_cores() if self.threads is None else self.threads
        return CorrelationRequest(
            folder_a,
            folder_b,
            checked(Alignment, {"pooling": self.pooling}, option).pooling,
            checked(Correlation, values, option),
            checked(Dask, {"threads_per_worker": threads}, option),
        )
