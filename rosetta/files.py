"""Files that are whole or absent: atomic writes, digests, manifests and checksummed tables.

A job writes beside its destination and renames at the end, so that a killed job leaves nothing that a later
one could take for a result.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rosetta.errors import DiskFullError, RosettaError, StoreError, is_disk_full


@contextmanager
def replacing(destination: Path, n_bytes: int | None = None) -> Iterator[Path]:
    """Yield a temporary sibling of `destination` that takes its place when the block succeeds.

    The sibling may be written as a file or created as a folder; on an exception it is removed and
    `destination` is left as it was. A destination has one writer at a time, so siblings that lie there already are
    those of killed ones, and are removed first.

    Parameters
    ----------
    destination : Path
        What is to be written.
    n_bytes : int, optional
        Its size, if that is known beforehand: that there is room is then checked before the block begins.

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
    """Have a file, or those of a folder, on the disk: after a power cut a new name may otherwise hold nothing."""
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
    free = f"{shutil.disk_usage(path.parent).free:,} are free" if path.parent.exists() else "its folder cannot be made"
    return DiskFullError(
        f"{path}: the disk is full: {needed} are needed, {free}. Free some space and run the same command again: "
        "what is finished is kept."
    )


def _size(path: Path) -> int:
    """Return the bytes that a file, or those of a folder, hold."""
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())


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
        Whether that, and what a failing block leaves, is to be gone on with; otherwise it is removed.
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
    for leftover in destination.parent.glob(f".{glob.escape(destination.name)}.{'[0-9a-f]' * 8}.tmp"):
        _remove(leftover)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    data = text.encode()
    with replacing(path, len(data)) as temporary:
        temporary.write_bytes(data)


def digest_bytes(data: bytes) -> str:
    """Return the 128-bit BLAKE2b digest of `data` in hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def digest_json(value: Any) -> str:
    """Return the digest of a JSON-serialisable value, whatever the order of its keys."""
    return digest_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def digest_file(path: Path) -> str:
    """Return the 128-bit BLAKE2b digest of a file's content in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def digest_folder(folder: Path, pattern: str = "*") -> str:
    """Return one digest of the names and contents of the files in `folder` that match `pattern`."""
    files = sorted(p for p in folder.rglob(pattern) if p.is_file())
    return digest_json([[str(p.relative_to(folder)), digest_file(p)] for p in files])


def write_manifest(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON manifest that carries a digest of its own content."""
    body = json.loads(json.dumps(content))
    write_text(path, json.dumps({**body, "manifest_digest": digest_json(body)}, indent=1))


def read_manifest(path: Path, kind: str) -> dict[str, Any]:
    """Read a manifest and check its digest and kind.

    Raises
    ------
    StoreError
        If the file is missing, is not JSON, was altered, or describes something else than `kind`.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        recorded = content.pop("manifest_digest")
    except FileNotFoundError:
        raise StoreError(f"{path}: no such manifest. Make it with the step that writes it.") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise StoreError(f"{path}: damaged manifest. Delete it and run again to rebuild it.") from None
    if recorded != digest_json(content):
        raise StoreError(f"{path}: the manifest was altered. Delete it and run again to rebuild it.")
    if content.get("kind") != kind:
        raise StoreError(f"{path}: describes a {content.get('kind')!r}, not a {kind!r}. Give the right path.")
    return content


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and digest of every file of a folder, by its path inside the folder, for a manifest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): {"bytes": p.stat().st_size, "digest": digest_file(p)} for p in files}


def check_files(folder: Path, files: dict[str, dict[str, Any]], *, contents: str = "zarr.json") -> None:
    """Check that the files of a store are there, whole by their size, and unaltered where that costs nothing.

    Parameters
    ----------
    folder : Path
        The store.
    files : dict
        What `describe_files` found when it was written.
    contents : str
        Pattern of the names whose content is compared too. Chunks carry checksums of their own, which are checked
        when they are read.

    Raises
    ------
    StoreError
        Naming the first file that is not as it was written.
    """
    mend = f"Delete {folder.with_suffix('.json')} and run again to rebuild this store."
    for name, facts in files.items():
        path = folder / name
        if not path.exists():
            raise StoreError(f"{path}: missing. {mend}")
        if path.stat().st_size != facts["bytes"]:
            raise StoreError(f"{path}: truncated or altered. {mend}")
        if path.match(contents) and digest_file(path) != facts["digest"]:
            raise StoreError(f"{path}: altered. {mend}")
