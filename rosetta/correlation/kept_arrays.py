"""Arrays kept on disk until a result is saved, so that a killed job repeats nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from rosetta.progress import say
from rosetta.storage.digests import digested, is_whole


def kept_arrays(path: Path, make: Callable[[], dict[str, np.ndarray]]) -> Path:
    """Compute arrays and save them, unless a killed job left them whole; return `path`."""
    if path.exists() and is_whole(path):
        return path
    if path.exists():
        say(f"{path}: damaged; computing it again")
    save_arrays(path, make())
    return path


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Save arrays as one file, with its digest."""
    with (
        digested(path, sum(array.nbytes for array in arrays.values())) as temporary,
        open(temporary, "wb") as stream,
    ):
        np.savez(stream, **arrays)  # type: ignore[arg-type]  # the stubs take each name for `allow_pickle`


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays that `save_arrays` saved."""
    with np.load(path, allow_pickle=False) as saved:
        return {name: saved[name] for name in saved.files}
