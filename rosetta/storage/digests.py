"""Digests beside files: written with each, and compared before it is read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

from rosetta.errors import StoreError
from rosetta.storage.atomic import replacing
from rosetta.storage.damage import DamageError
from rosetta.storage.names import digest_path

# What a job is: written into the digests of its results (`rosetta.run.provenance`).
_STAMP: ContextVar[str | None] = ContextVar("stamp", default=None)
# What else is asked of a file that is about to be read.
_ALSO_CHECKED: ContextVar[Callable[[Path], None] | None] = ContextVar("also_checked", default=None)


@contextmanager
def stamping(stamp: str | None) -> Iterator[None]:
    """Write a stamp, which is JSON, into the digest beside every file that the block writes."""
    token = _STAMP.set(stamp)
    try:
        yield
    finally:
        _STAMP.reset(token)


@contextmanager
def also_checking(check: Callable[[Path], None]) -> Iterator[None]:
    """Have `check_digest` ask more of a file; `check` raises if it does not hold."""
    token = _ALSO_CHECKED.set(check)
    try:
        yield
    finally:
        _ALSO_CHECKED.reset(token)


@contextmanager
def digested(destination: Path, n_bytes: int | None = None) -> Iterator[Path]:
    """Write a file as `replacing` does, with its digest beside it for `check_digest`."""
    with replacing(destination, n_bytes) as temporary:
        yield temporary
        # Before the file itself: a file without a digest is taken for a user's own.
        with replacing(digest_path(destination)) as beside:
            stamp = f"# {_STAMP.get()}\n" if _STAMP.get() else ""
            beside.write_text(_digest_line(temporary, destination.name) + stamp, encoding="utf-8")


def read_stamp(path: Path) -> str | None:
    """Return the stamp of the job that wrote a file; None if none is told."""
    try:
        _, *rest = digest_path(path).read_text(encoding="utf-8").splitlines()
    except (
        FileNotFoundError,
        UnicodeDecodeError,
        ValueError,
    ):  # the digest itself is found to be damaged elsewhere
        return None
    return rest[0][2:] if len(rest) == 1 and _is_stamp(rest[0]) else None


def _is_stamp(line: str) -> bool:
    try:
        return line[:2] == "# " and json.loads(line[2:]).keys() == {"stage", "name", "made_by"}
    except (ValueError, AttributeError):
        return False


def _tells(beside: Path, line: str) -> bool:
    """Whether a digest's file holds a line, and nothing else but a stamp."""
    first, end, rest = beside.read_bytes().decode(errors="replace").partition("\n")
    return first + end == line and (not rest or (rest[-1:] == "\n" and _is_stamp(rest[:-1])))


def _digest_line(path: Path, name: str) -> str:
    return f"{digest_file(path)}  {name}\n"


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, with its digest."""
    data = text.encode()
    with digested(path, len(data)) as temporary:
        temporary.write_bytes(data)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file that a step wrote.

    Raises
    ------
    StoreError
        If it is missing or damaged.
    """
    check_digest(path)
    return path.read_bytes()


def digest_bytes(data: bytes) -> str:
    """Return the 128-bit BLAKE2b digest of `data` in hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def hash64(*parts: str | int) -> int:
    """Return an unsigned 64-bit hash of its arguments, the same on every machine."""
    data = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def name64(value: int) -> str:
    """Return the printed form of a 64-bit hash, 16 hexadecimal digits."""
    return f"{value:016x}"


def digest_json(value: Any) -> str:
    """Return the digest of a JSON-serialisable value, whatever the order of its keys."""
    return digest_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def digest_file(path: Path) -> str:
    """Return a file's 128-bit BLAKE2b digest in hex; a known one is not recomputed."""
    facts = os.stat(path)
    return _digest_once(Path(path).absolute(), facts.st_ino, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=4096)
def _digest_once(path: Path, _inode: int, _size: int, _written: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def digest_folder(folder: Path, pattern: str = "*") -> str:
    """Return one digest of the names and contents of the files in `folder` that match `pattern`."""
    files = sorted(p for p in folder.rglob(pattern) if p.is_file())
    return digest_json([[str(p.relative_to(folder)), digest_file(p)] for p in files])


def check_digest(path: Path, recorded: str | None = None, piece: Path | None = None) -> None:
    """Check that a file is there, and as it was written.

    Parameters
    ----------
    path : Path
        The file.
    recorded : str, optional
        Its digest, if a manifest tells it. Otherwise it is that beside the file; a file without is
        a user's own.
    piece : Path, optional
        As in `DamageError`.

    Raises
    ------
    StoreError
        If it is missing or damaged.
    """
    beside = digest_path(path)
    if not path.exists():
        if set("*?[") & set(path.name):
            raise StoreError(
                f"{path}: no file has a name of this pattern. Look at the folder, and give "
                "names that are there."
            )
        raise DamageError(path, "no such file", piece)
    if recorded is not None:
        whole = path.is_file() and digest_file(path) == recorded
    else:
        whole = not beside.exists() or _tells(beside, _digest_line(path, path.name))
    if not whole:
        raise DamageError(path, "not what was written here: damaged, or of another run", piece)
    if also := _ALSO_CHECKED.get():
        also(path)


def is_whole(path: Path) -> bool:
    """Tell whether a file that a killed job may have left behind is there and as it was written."""
    try:
        check_digest(path)
    except DamageError:
        return False
    return True
