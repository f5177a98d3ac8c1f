"""Which configuration made a result: the result's own stamp says it.

Jobs leave a stamp in the digest beside every file that they write: their stage, and a digest of
what it depends on (`rosetta.run.stages.made_by`). A run begins with dating back what has another
stamp than its configuration asks for, so that it is made again as an outdated file is; and no
command of `rosetta` reads such a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from rosetta.config import Config, load_config
from rosetta.errors import ConfigError
from rosetta.run.paths import Paths
from rosetta.run.stages import STAGES, job_made_by, made_by, slice_name
from rosetta.run.stages.record import Wildcards
from rosetta.storage.damage import DamageError
from rosetta.storage.digests import check_digest, digest_json, read_stamp
from rosetta.storage.names import RUN_CONFIG, digest_path

# Times in seconds since the epoch: of what another configuration made, of what a job that has a
# piece to do made (`rosetta.run.pieces.recall_jobs`), and of a file that is older than any result.
STALE, RECALLED, BEGINNING = 1, 2, 3
# What a killed job goes on with. It is checked when a job finds it, and made again by itself.
RESUMED = {"checkpoints", "answers"}


def stamp(config: Config, stage: str, name: str = "") -> str:
    """Return the stamp of a stage's results; `name` as in `rosetta.run.stages.made_by`."""
    return json.dumps(
        {"stage": stage, "name": name, "made_by": digest_json(made_by(config, stage, name))}
    )


def job_stamp(config: Config, rule: str, job: Wildcards) -> str:
    """Return what stamps a rule's job: that of its stage, or one of the stages of all its pieces.

    The pieces of a bundle stamp their results themselves, so no file has the stamp of a bundle. It
    is the rule's parameter, for Snakemake to see a change in any of them.
    """
    if rule in STAGES:
        return stamp(config, rule, slice_name(rule, job))
    made = digest_json(job_made_by(config, rule, job))
    return json.dumps({"stage": rule, "name": "", "made_by": made})


def is_stale(config: Config, stamped: str) -> bool:
    """Tell whether a configuration asks for another result than the one with a stamp."""
    found = json.loads(stamped)
    stage, name = found["stage"], found["name"]
    if stage not in STAGES:
        return True
    try:
        return stamp(config, stage, name) != stamped
    except (
        KeyError,
        ConfigError,
    ):  # of a model or family that the configuration has no more: nothing asks for it
        return False


def compare_with_run(path: Path) -> None:
    """Check that a result was made with the configuration in its results folder.

    Raises
    ------
    DamageError
        If it was made with another, or the configuration is damaged.
    """
    stamped = read_stamp(path)
    if stamped is None:
        return
    for folder in Path(path).absolute().parents:
        run_config = folder / RUN_CONFIG
        if run_config.exists():
            if is_stale(_config_of(run_config, run_config.stat().st_mtime_ns), stamped):
                told = (
                    f"made with another configuration than {run_config}, or by another "
                    "version of rosetta"
                )
                raise DamageError(path, told)
            return


@lru_cache(maxsize=4)
def _config_of(path: Path, _written: int) -> Config:
    check_digest(path)
    return load_config(path)


def stale_results(config: Config, root: Path) -> dict[str, list[Path]]:
    """Return the files of a results folder that a run will make again, by their stage.

    Another configuration made them, or a version of rosetta whose stage gave other results.
    """
    not_asked = {path for files in left_over(config, root).values() for path in files}
    return _by_stage(
        path
        for path in _results(root)
        if (stamped := read_stamp(path)) and is_stale(config, stamped) and path not in not_asked
    )


def left_over(config: Config, root: Path) -> dict[str, list[Path]]:
    """Return the results in a folder that its configuration does not ask for, by their stage.

    They are of a section, a model or a pair that it named before.
    """
    asked = {
        path
        for stage in STAGES.values()
        for job in stage.jobs(config)
        for path in stage.outputs(config, Paths(root), job)
    }
    listed = {path.with_suffix("") for path in asked}  # folders of what a manifest or a page lists
    return _by_stage(
        path
        for path in _results(root)
        if path not in asked and listed.isdisjoint(path.parents) and read_stamp(path)
    )


def _by_stage(stamped: Iterable[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(stamped):
        found.setdefault(json.loads(str(read_stamp(path)))["stage"], []).append(path)
    return found


def date_back(config: Config, root: Path) -> list[Path]:
    """Give results of another configuration a time before all others; return them.

    A file that has such a time and is what the configuration asks for, because an edit was taken
    back, gets its own time again. Files that a step wrote without a stamp count as made with
    another configuration; those without a digest are a user's own.
    """
    stale = []
    for path in _results(root):
        stamped = read_stamp(path)
        dated = path.stat().st_mtime == STALE
        if stamped is None or is_stale(config, stamped):
            stale.append(path)
            if not dated:
                os.utime(path, (STALE, STALE))
        elif dated:
            written = digest_path(path).stat().st_mtime
            os.utime(path, (written, written))
    return stale


def _results(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [
            n
            for n in folders
            if not n.startswith(".") and n not in RESUMED and not n.endswith(".zarr")
        ]
        for name in names:
            path = Path(folder) / name
            if not name.startswith(".") and name != RUN_CONFIG and digest_path(path).exists():
                yield path
