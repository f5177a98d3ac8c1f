"""Files that are whole or absent, and unaltered: atomic writes, digests, manifests.

A job writes beside its destination and renames at the end, so that a killed job leaves nothing that a later
one could take for a result. Beside every file that a later step reads goes its digest, compared before it is read.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shlex
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

from rosetta.errors import DiskFullError, RosettaError, StoreError, is_disk_full

RUN_CONFIG = "run_config.yaml"  # in the results folder of every run

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


@contextmanager
def digested(destination: Path, n_bytes: int | None = None) -> Iterator[Path]:
    """Do what `replacing` does for a file that a later step reads: its digest goes beside it, for `check_digest`."""
    with replacing(destination, n_bytes) as temporary:
        yield temporary
        # Before the file itself: a file without a digest is taken for a user's own.
        with replacing(digest_path(destination)) as beside:
            stamp = f"# {_STAMP.get()}\n" if _STAMP.get() else ""
            beside.write_text(_digest_line(temporary, destination.name) + stamp, encoding="utf-8")


def digest_path(path: Path) -> Path:
    """Return where the digest of a file lies: a hidden file, in the format of `b2sum --check`, its stamp a comment."""
    return path.with_name(f".{path.name}.digest")


def read_stamp(path: Path) -> str | None:
    """Return the stamp of the job that wrote a file; None if none is told."""
    try:
        _, *rest = digest_path(path).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError, ValueError):  # the digest itself is found to be damaged elsewhere
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


def digest_json(value: Any) -> str:
    """Return the digest of a JSON-serialisable value, whatever the order of its keys."""
    return digest_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def digest_file(path: Path) -> str:
    """Return the 128-bit BLAKE2b digest of a file's content in hexadecimal; what is known is not read again."""
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


class DamageError(StoreError):
    """A file that is not as it was written, and how exactly it is made again.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What is wrong with it.
    piece : Path, optional
        The output of a rule that the file is a part of, say the manifest of its store; the file itself if not given.
    """

    def __init__(self, path: Path, what: str, piece: Path | None = None) -> None:
        super().__init__(path, what, piece)
        self.path, self.what, self.piece = Path(path), what, Path(piece or path)

    def __str__(self) -> str:
        return f"{self.path}: {self.what}. {mend(self.piece)}"


def mend(*pieces: Path) -> str:
    """Return what to type to make outputs of rules, and nothing else, again; of several, the first first."""
    if pieces[0].name == RUN_CONFIG:
        return "Start the run again as you started it: that writes this file anew."
    for root in pieces[0].parents:
        if (root / RUN_CONFIG).exists():
            command = f"snakemake --cores all --configfile {shlex.quote(str(root / RUN_CONFIG))} --force"
            named = shlex.join(map(str, pieces))
            if len(pieces) == 1:
                return f"Make it again: {command} {named}"
            # One call for all would also make again what lies between them.
            return f'Make them again: for piece in {named}; do {command} "$piece"; done'
    if not pieces[0].exists():
        return "Make it with the command that writes it, or give another path."
    own = f", or delete {beside} if you changed it" if (beside := digest_path(pieces[0])).exists() else ""
    return f"Make it again with the command that wrote it{own}."


def check_digest(path: Path, recorded: str | None = None, piece: Path | None = None) -> None:
    """Check that a file is there, and as it was written.

    Parameters
    ----------
    path : Path
        The file.
    recorded : str, optional
        Its digest, if a manifest tells it. Otherwise it is that beside the file; a file without is a user's own.
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
                f"{path}: no file has a name of this pattern. Look at the folder, and give names that are there."
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


def write_manifest(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON manifest that carries a digest of its own content."""
    body = json.loads(json.dumps(content))
    write_text(path, json.dumps({**body, "manifest_digest": digest_json(body)}, indent=1))


def read_manifest(path: Path, kind: str) -> dict[str, Any]:
    """Read a manifest and check its digests and kind.

    Raises
    ------
    StoreError
        If the file is missing, is not JSON, was altered, is that of another run, or describes something else than
        `kind`.
    """
    check_digest(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        recorded = content.pop("manifest_digest")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise DamageError(path, "damaged manifest") from None
    if recorded != digest_json(content):
        raise DamageError(path, "altered: its content has another manifest_digest")
    if content.get("kind") != kind:
        raise StoreError(f"{path}: describes a {content.get('kind')!r}, not a {kind!r}. Give the right path.")
    return content


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and digest of every file of a folder, by its path inside the folder, for a manifest."""
    return describe(folder, sorted(path for path in folder.rglob("*") if path.is_file()))


def describe(folder: Path, files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Return size and digest of some files of a folder, as `describe_files` does of all."""
    return {str(p.relative_to(folder)): {"bytes": p.stat().st_size, "digest": digest_file(p)} for p in files}


def _always(_name: str) -> bool:
    return True


def check_files(
    folder: Path, files: dict[str, dict[str, Any]], manifest: Path, *, content: Callable[[str], bool] = _always
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
        From a file's name in the folder to whether its content is compared too, rather than its size alone.

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
            raise DamageError(path, f"truncated or altered: not the size that {manifest.name} tells", manifest)
        if content(name) and digest_file(path) != facts["digest"]:
            raise DamageError(path, f"damaged: not the file that {manifest.name} describes", manifest)
