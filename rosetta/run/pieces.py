"""Pieces of a job: what is there, whole and current is not computed again.

Snakemake runs a bundle's job again if any of its pieces is missing or outdated, and leaves what
they wrote in place; which of them to do is found here, from the results alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from rosetta.config import Config
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.run.provenance import RECALLED, STALE, stamp
from rosetta.run.stages import RULES, STAGES, declared_files, pieces_of_job, rule_jobs, slice_name
from rosetta.run.stages.record import Bundle, Piece, Wildcards
from rosetta.storage.digests import is_whole, read_stamp, stamping
from rosetta.storage.names import digest_path

Work = Callable[[Config, Paths, Wildcards], None]


def do_pieces(
    config: Config, paths: Paths, pieces: Iterable[Piece], work: Mapping[str, Work]
) -> None:
    """Do the pieces of a job that are not there yet, in order, each with a stamp of its own.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    pieces : iterable of Piece
        Later ones may read what earlier ones write.
    work : mapping
        What does a piece, by the name of its stage.
    """
    for piece in pieces:
        said = " ".join([piece.stage, *map(str, piece.job.values())])
        if is_current(config, paths, piece):
            say(f"{said}: there already")
            continue
        say(said)
        with stamping(_stamp(config, piece)):
            work[piece.stage](config, paths, piece.job)


def is_current(config: Config, paths: Paths, piece: Piece) -> bool:
    """Tell whether a piece need not be done: it is not due, and all that it wrote is whole."""
    if is_due(config, paths, piece):
        return False
    outputs = STAGES[piece.stage].outputs(config, paths, piece.job)
    return all(map(is_whole, filter(Path.is_file, outputs)))


def is_due(config: Config, paths: Paths, piece: Piece) -> bool:
    """Tell whether a piece is to be done.

    It is not if all that it writes is there, has the stamp that the configuration asks for, and was
    written after all that it reads; or if no file of it has a digest: those are a user's own. Times
    are those of the digests beside files, because Snakemake and `rosetta.run.provenance.date_back`
    change those of the files. A file that was dated back is asked for again, by `--force` or
    because it is outdated.
    """
    stage = STAGES[piece.stage]
    outputs = stage.outputs(config, paths, piece.job)
    inputs = stage.inputs(config, paths, piece.job)
    if not all(path.exists() for path in [*inputs, *outputs]):
        return True
    files, asked = _with_digest(outputs), _stamp(config, piece)
    if not files:
        return False  # a user's own
    if any(path.stat().st_mtime == STALE or read_stamp(path) != asked for path in files):
        return True
    newest = max(map(_written, _with_digest(inputs)), default=0)
    return newest > min(map(_written, files))


def recall_jobs(config: Config, paths: Paths) -> None:
    """Make Snakemake run the jobs that have a piece to do.

    It does not see everything: files of further trainings are no outputs of rules, and it takes a
    job that failed for done if old outputs were there. So a declared file of such a job is given a
    time before its inputs. The job then does only what is due.
    """
    for rule, jobs in rule_jobs(config).items():
        if not isinstance(RULES[rule], Bundle):
            continue
        for job in jobs:
            declared = declared_files(config, paths, rule, job)
            if not all(path.exists() for path in declared):
                continue  # Snakemake sees that
            first = next(iter(_with_digest(declared)), None)
            if first is None:
                continue  # all are a user's own
            pieces = pieces_of_job(config, rule, job)
            if any(is_due(config, paths, piece) for piece in pieces):
                os.utime(first, (RECALLED, RECALLED))
            elif first.stat().st_mtime == RECALLED:  # of an edit that was taken back
                os.utime(first, ns=(_written(first), _written(first)))


def _stamp(config: Config, piece: Piece) -> str:
    return stamp(config, piece.stage, slice_name(*piece))


def _with_digest(paths: Iterable[Path]) -> list[Path]:
    """Return the files that have a digest beside them; manifests stand for the others."""
    return [path for path in paths if digest_path(path).exists()]


def _written(path: Path) -> int:
    """Return when a file was written, in nanoseconds since the epoch."""
    return digest_path(path).stat().st_mtime_ns
