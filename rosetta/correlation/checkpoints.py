"""What a pass over a pair has summed so far, on disk, so that a killed job repeats minutes only."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from rosetta.correlation.kept_arrays import load_arrays, save_arrays
from rosetta.errors import DiskFullError
from rosetta.progress import say
from rosetta.storage.digests import is_whole

SECONDS = 300  # between two checkpoints of a pass, at least
SHARE = 0.05  # of the time that saving may take
# Windows of permuted positions between two places where a pass can be interrupted.
WINDOWS_AT_ONCE = 16


class Summed(Protocol):
    """Sums that can be saved and restored."""

    def state(self) -> dict[str, np.ndarray]:
        """Return what is summed so far."""

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state."""


class Checkpoint:
    """The file of one pass.

    Parameters
    ----------
    path : Path
        Where it lies; its folder is that of this computation and no other.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._due = time.monotonic() + SECONDS

    def restore(self, sums: Mapping[str, Summed]) -> int:
        """Restore the sums of a killed pass; return the position to go on with, 0 if there is none.

        A damaged checkpoint counts as none.
        """
        if not self._path.exists():
            return 0
        if not is_whole(self._path):
            say(f"{self._path}: damaged; beginning again")
            return 0
        saved = load_arrays(self._path)
        for name, one in sums.items():
            keys = [key for key in saved if key.startswith(f"{name}.")]
            one.restore({key.removeprefix(f"{name}."): saved[key] for key in keys})
        position = int(saved["position"])
        say(f"going on with position {position:,} of this pass")
        return position

    def save_if_due(self, position: int, sums: Mapping[str, Summed]) -> None:
        """Save the sums over the positions before `position`, if the last time is long ago."""
        start = time.monotonic()
        if start < self._due:
            return
        arrays = {"position": np.array(position)}
        for name, one in sums.items():
            arrays |= {f"{name}.{key}": value for key, value in one.state().items()}
        try:
            save_arrays(self._path, arrays)
        except DiskFullError as error:  # costs time after a kill, but no result
            say(f"no checkpoint of this pass: {error}")
        now = time.monotonic()
        self._due = now + max(SECONDS, (now - start) / SHARE)
