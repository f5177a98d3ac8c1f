"""Manifests: JSON files on what made a result and what it holds, with digests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rosetta.errors import StoreError
from rosetta.storage.damage import DamageError
from rosetta.storage.digests import check_digest, digest_file, digest_json, write_text


def write_manifest(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON manifest that carries a digest of its own content."""
    body = json.loads(json.dumps(content))
    write_text(path, json.dumps({**body, "manifest_digest": digest_json(body)}, indent=1))


def read_manifest(path: Path, kind: str) -> dict[str, Any]:
    """Read a manifest and check its digests and kind.

    Raises
    ------
    StoreError
        If the file is missing, is not JSON, was altered, is that of another run, or describes
        something else than `kind`.
    """
    check_digest(path)
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        recorded = content.pop("manifest_digest")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise DamageError(path, "damaged manifest") from None
    if recorded != digest_json(content):
        raise DamageError(path, "altered: its content has another manifest_digest")
    if content.get("kind") != kind:
        raise StoreError(
            f"{path}: describes a {content.get('kind')!r}, not a {kind!r}. Give the right path."
        )
    return content


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and digest of a folder's files by relative path, for a manifest."""
    return describe(folder, sorted(path for path in folder.rglob("*") if path.is_file()))


def describe(folder: Path, files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Return size and digest of some files of a folder, as `describe_files` does of all."""
    return {
        str(p.relative_to(folder)): {"bytes": p.stat().st_size, "digest": digest_file(p)}
        for p in files
    }


def _always(_name: str) -> bool:
    return True


def check_files(
    folder: Path,
    files: dict[str, dict[str, Any]],
    manifest: Path,
    *,
    content: Callable[[str], bool] = _always,
) -> None:
    """Check that the files that a manifest lists are there, whole and unaltered.

    Parameters
    ----------
    folder : Path
        What the manifest is of.
    files : dict
        What `describe_files` found when it was written.
    manifest : Path
        The manifest.
    content : callable
        From a file's name in the folder to whether its content is compared too, rather than its
        size alone.

    Raises
    ------
    StoreError
        Naming the first file that is not as it was written.
    """
    for name, facts in files.items():
        path = folder / name
        if not path.is_file():
            raise DamageError(path, "missing", manifest)
        if path.stat().st_size != facts["bytes"]:
            raise DamageError(
                path, f"truncated or altered: not the size that {manifest.name} tells", manifest
            )
        if content(name) and digest_file(path) != facts["digest"]:
            raise DamageError(
                path, f"damaged: not the file that {manifest.name} describes", manifest
            )
