"""What is asked for when two folders of stores are correlated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rosetta.config import Correlation, Dask


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
    """

    folder_a: Path
    folder_b: Path
    pooling: str
    settings: Correlation
    dask: Dask
