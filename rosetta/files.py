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

from rosetta.errors import StoreError


@contextmanager
def replacing(destination: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `destination` that takes its place when the block succeeds.

    The sibling may be written as a file or created as a folder; on an exception it is removed and
    `destination` is left as it was. A destination has one writer at a time, so siblings that lie there already are
    those of killed ones, and are removed first.
    """
    destination = Path(destination)
    if not destination.name or destination.name == "..":
        raise StoreError(f"{destination}: is a folder. Name a file in it.")
    destination.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(destination)
    temporary = destination.with_name(f".{destination.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        if temporary.is_dir() and destination.exists():
            shutil.rmtree(destination)
        os.replace(temporary, destination)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def remove_leftovers(destination: Path) -> None:
    """Remove temporary siblings that killed writers of `destination` left behind."""
    # The whole name: `.pythia.*.tmp` would also be what the writer of `pythia.v2` is working on.
    for leftover in destination.parent.glob(f".{glob.escape(destination.name)}.{'[0-9a-f]' * 8}.tmp"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


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
