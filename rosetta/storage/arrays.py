"""Zarr arrays of stores and image sets: written and read back, with checksums, damage told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from rosetta.errors import StoreError
from rosetta.storage.damage import DamageError


def write_rows(array: zarr.Array[Any], rows: slice, values: np.ndarray) -> None:
    """Write rows and read them back, so that an array is whole before it gets its name.

    Raises
    ------
    StoreError
        If what is read is something else.
    """
    array[rows] = values
    if not np.array_equal(np.asarray(array[rows]), values):
        raise StoreError(
            f"{array.store_path}: does not read back as it was written. Check the disk."
        )


def is_checksummed(array: zarr.Array[Any]) -> bool:
    """Return whether the chunks of an array, and the indices of its shards, carry checksums."""
    return _has_crc32c(array.metadata.to_dict()["codecs"])


def _has_crc32c(codecs: Any) -> bool:
    inner = [codec["configuration"] for codec in codecs if codec["name"] == "sharding_indexed"]
    if inner:
        return all(_has_crc32c(inner[0][key]) for key in ("codecs", "index_codecs"))
    return any(codec["name"] == "crc32c" for codec in codecs)


def read_whole(read: Callable[[], Any], path: Path, what: str, manifest: Path) -> Any:
    """Return what `read` returns, and tell damage that it meets.

    Parameters
    ----------
    read : callable
        Reads from Zarr.
    path : Path
        The folder that is read.
    what : str
        What is read there.
    manifest : Path
        The manifest of the folder.

    Raises
    ------
    DamageError
        If the array, or a chunk of it, is not as it was written.
    """
    try:
        return read()
    except (ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
        raise DamageError(path, f"{what} is damaged ({error})", manifest) from None
