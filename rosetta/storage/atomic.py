"""Files that are whole or absent: a job writes beside its destination and renames at the end.

A killed job so leaves nothing that a later one could take for a result.
"""

from __future__ import annotations

import glob
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rosetta.errors import DiskFullError, RosettaError, StoreError, is_disk_full


@contextmanager
def replacing(destination: Path, n_bytes: int | None = None) -> Iterator[Path]:
    """Yield a temporary sibling of `destination` that takes its place when the block succeeds.

    The sibling may be written as a file or created as a folder; on an exception it is removed and
    `destination` is left as it was. A destination has one writer at a time, so siblings that lie
    there already are those of killed ones, and are removed first.

    Parameters
    ----------
    destination : Path
        What is to be written.
    n_bytes : int, optional
        Its size, if that is known beforehand: that there is room is then checked before the block
        begins.

    Raises
    ------
    DiskFullError
        If it does not fit on the disk.
    """
    destination = Path(destination)
    if not destination.name or destination.name == "..":
        raise StoreError(f"{destination}: is a folder. Name a file in it.")
    temporary = destination.with_name(f".{destination.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(destination)
        if n_bytes is not None:
            check_room(destination, n_bytes)
        yield temporary
        _sync(temporary)
        if temporary.is_dir() and destination.exists():
            shutil.rmtree(destination)
        os.replace(temporary, destination)
    except Exception as error:
        if isinstance(error, RosettaError) or not is_disk_full(error):
            raise
        needed = f"{_size(temporary):,} bytes and more" if n_bytes is None else f"{n_bytes:,} bytes"
        raise _disk_full(destination, needed) from None
    finally:
        _remove(temporary)


def _sync(path: Path) -> None:
    """Have a file, or those of a folder, on the disk: after a power cut a new name may otherwise
    hold nothing.
    """
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with open(file, "rb") as stream:
                os.fsync(stream.fileno())


def check_room(path: Path, n_bytes: int) -> None:
    """Check that so much can be written to a path, whose folder is there.

    Raises
    ------
    DiskFullError
        If the disk has less room.
    """
    if shutil.disk_usage(path.parent).free < n_bytes:
        raise _disk_full(path, f"{n_bytes:,} bytes")


def _disk_full(path: Path, needed: str) -> DiskFullError:
    free = (
        f"{shutil.disk_usage(path.parent).free:,} are free"
        if path.parent.exists()
        else "its folder cannot be made"
    )
    return DiskFullError(
        f"{path}: the disk is full: {needed} are needed, {free}. Free some space and run the "
        "same command again: "
        "what is finished is kept."
    )


def _size(path: Path) -> int:
    """Return the bytes that a file, or those of a folder, hold."""
    return sum(
        file.stat().st_size
        for file in (path.rglob("*") if path.is_dir() else [path])
        if file.is_file()
    )


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def scratch_folder(folder: Path, *, keep: bool = False) -> Iterator[Path]:
    """Yield a folder for what is needed on the way only; it is removed when the block succeeds.

    Parameters
    ----------
    folder : Path
        Of one user at a time, so what lies there already is what a killed one left.
    keep : bool
        Whether that, and what a failing block leaves, is to be gone on with; otherwise it is
        removed.
    """
    if not keep:
        _remove(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    except BaseException:
        if not keep:
            _remove(folder)
        raise
    _remove(folder)


def remove_leftovers(destination: Path) -> None:
    """Remove temporary siblings that killed writers of `destination` left behind."""
    # The whole name: `.pythia.*.tmp` would also be what the writer of `pythia.v2` is working on.
    for leftover in destination.parent.glob(
        f".{glob.escape(destination.name)}.{'[0-9a-f]' * 8}.tmp"
    ):
        _remove(leftover)
