"""Which folder holds a run, and which paths inside of it a rule of the workflow makes."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from rosetta.config import load_config
from rosetta.errors import ConfigError, RosettaError
from rosetta.run.paths import FEATURES, FilterPaths, Paths, places
from rosetta.run.stages import STAGES, rule_jobs, undeclared_files
from rosetta.storage.damage import Maker
from rosetta.storage.names import RUN_CONFIG


def run_config_in(folder: Path) -> Path:
    """Return the configuration of the run that has its results in a folder.

    Raises
    ------
    ConfigError
        If there is none. The error names the run above or below the folder, if there is one.
    """
    path = Paths(folder).run_config
    if not path.is_file():
        raise ConfigError(f"{folder}: {_why_none(folder)}")
    return path


def _why_none(folder: Path) -> str:
    near = run_near(folder)
    name_it = f"{near} is one." if near else "Name that of a run that has begun."
    if not folder.exists():
        return f"no such folder. Name the results folder of a run{f', say {near}' * bool(near)}."
    if not folder.is_dir():
        return f"is a file, not the results folder of a run. {name_it}"
    return f"has no {RUN_CONFIG}, so it is not the results folder of a run. {name_it}"


def run_near(folder: Path) -> Path | None:
    """Return the results folder that a folder or file lies in, or that lies in the folder."""
    above = (parent for parent in folder.parents if Paths(parent).run_config.is_file())
    inside = sorted(path.parent for path in folder.glob(f"*/{RUN_CONFIG}"))
    return next(above, None) or next(iter(inside), None)


def maker(root: Path, inside: Path) -> Maker:
    """Return what of the workflow makes a path, given relative to a results folder.

    `matches/opt-s--qwen-s.parquet` is declared by a rule, unless it is of a further training
    (`opt-s~2`), which the job of another file makes. `matches.parquet` is no result.
    """
    if not _is_result(inside):
        return None
    run_config = root / RUN_CONFIG
    return "job" if inside in _undeclared(run_config, run_config.stat().st_mtime_ns) else "rule"


@lru_cache(maxsize=1)
def _undeclared(run_config: Path, _mtime_ns: int) -> frozenset[Path]:
    """Return what jobs of a run make and no rule declares, relative to its results folder."""
    try:
        config = load_config(run_config)
    except RosettaError:  # damaged: a run that is started again writes it first
        return frozenset()
    jobs = ((rule, job) for rule, of_rule in rule_jobs(config).items() for job in of_rule)
    return frozenset(
        path for rule, job in jobs for path in undeclared_files(config, Paths(Path()), rule, job)
    )


def _is_result(inside: Path) -> bool:
    if inside.parts[:1] == ("tables",):
        return any(inside.stem in stage.tables for stage in STAGES.values())
    return bool(_results().fullmatch(inside.as_posix()))


@lru_cache(maxsize=1)
def _results() -> re.Pattern[str]:
    """Return the pattern of all paths of the table `rosetta.run.paths`, whatever the names."""
    patterns = [place.pattern for place in places(Paths).values()]
    patterns += [f"{FEATURES}/{pattern}" for pattern in patterns]
    patterns += [f"filtering/{{name}}/{place.pattern}" for place in places(FilterPaths).values()]
    return re.compile(
        "|".join(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(pattern)) for pattern in patterns)
    )
