"""A user's own files that a run reads: what was made of other files than are there now.

Snakemake makes a result again when a file that it was made of is newer, if that is an input of the
job, and not the pieces of a bundle. A file that was moved, copied with its time, or unpacked from
an archive may be another and yet older, so the size and the time of each are written down, with the
moment from which on results are made of them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from rosetta.config import Config
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.run.provenance import STALE
from rosetta.run.stages import STAGES, slice_name
from rosetta.storage.atomic import replacing
from rosetta.storage.names import USER_FILES, digest_path


class Reader(NamedTuple):
    """Who reads files: a stage, and the model whose they are; none of a stage for all."""

    stage: str
    model: str = ""


Seen = dict[str, list[int]]  # by path, of each file: bytes, and seconds since the epoch


def date_back_replaced(
    files: Mapping[Reader, Iterable[Path]], config: Config, paths: Paths
) -> None:
    """Date results back that were made of other files than their readers would read now, or before
    one of these was written.
    """
    known = _known(paths)
    for reader, mine in files.items():
        there = [path for path in mine if path.exists()]
        entry = known.get(_key(reader))
        replaced = entry is not None and entry["files"] != _seen(there)
        newest = max((path.stat().st_mtime for path in there), default=0.0)
        since = max(newest, entry["since"]) if entry else newest
        for path in _outputs(reader, config, paths):
            if replaced or digest_path(path).stat().st_mtime < since:
                os.utime(path, (STALE, STALE))


def remember(files: Mapping[Reader, Iterable[Path]], paths: Paths) -> None:
    """Write down which files results are made of from now on.

    Of files that nothing is known of, results that are there count as made of them.
    """
    known = _known(paths)
    for reader, mine in files.items():
        seen, entry = _seen(mine), known.get(_key(reader))
        if entry is None or entry["files"] != seen:
            known[_key(reader)] = {"files": seen, "since": time.time() if entry else 0.0}
    if known:
        text = json.dumps(known, indent=1).encode()
        with replacing(paths.root / USER_FILES, len(text)) as temporary:
            temporary.write_bytes(text)


def _known(paths: Paths) -> dict[str, dict]:
    path = paths.root / USER_FILES
    if not path.exists():
        return {}
    try:
        known: dict[str, dict] = json.loads(path.read_bytes())
    except ValueError:
        say(f"{path}: damaged, so files that were replaced by older ones are not noticed this time")
        return {}
    return known


def _key(reader: Reader) -> str:
    return " ".join(reader).strip()


def _seen(files: Iterable[Path]) -> Seen:
    """Return size and time of files, in whole seconds: archives keep no more."""
    told = ((path, path.stat()) for path in files if path.exists())
    return {str(path): [stat.st_size, int(stat.st_mtime)] for path, stat in told}


def _outputs(reader: Reader, config: Config, paths: Paths) -> list[Path]:
    """Return the results of a reader that are there and no user's own."""
    stage = STAGES[reader.stage]
    jobs = [job for job in stage.jobs(config) if reader.model in ("", slice_name(stage.name, job))]
    return [
        path
        for job in jobs
        for path in stage.outputs(config, paths, job)
        if path.exists() and digest_path(path).exists()
    ]
