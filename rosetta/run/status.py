"""`rosetta status`: what is done, running, missing or failed, the disk, the time left.

Known from what a run leaves behind: a job's log exists from its start, its benchmark from its end.
Results that an edit of the configuration or another version of rosetta asks for again are told by
their stamps (`rosetta.run.provenance`).
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

from rosetta.config import Config
from rosetta.run.paths import Paths
from rosetta.run.provenance import left_over, stale_results
from rosetta.run.stages import job_names
from rosetta.storage.locks import running_here

STATES = ("done", "running", "interrupted", "failed", "missing")


@dataclass(frozen=True)
class Job:
    """A job of a run.

    Attributes
    ----------
    rule, name : str
        As in `rosetta.run.stages.job_names`.
    state : str
        One of `STATES`. `interrupted`: begun, not ended, and no run is alive in the folder.
    seconds : float or None
        What it took, if it is done.
    ended : float or None
        When it ended, in seconds since the epoch.
    log : Path
        Its log.
    """

    rule: str
    name: str
    state: str
    seconds: float | None
    ended: float | None
    log: Path


def job_states(config: Config, paths: Paths, alive: bool) -> list[Job]:
    """Return the state of every job of a configuration, in the workflow's order of rules.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    alive : bool
        Whether a run is at work in the folder: what has begun and not ended is running then.
    """
    return [
        _job(paths, rule, name, alive)
        for rule, names in job_names(config).items()
        for name in names
    ]


def _job(paths: Paths, rule: str, name: str, alive: bool) -> Job:
    log, benchmark = paths.log(rule, name), paths.benchmark(rule, name)
    seconds = ended = None
    if benchmark.exists() and (
        not log.exists() or log.stat().st_mtime <= benchmark.stat().st_mtime
    ):
        state, seconds, ended = "done", _seconds(benchmark), benchmark.stat().st_mtime
    elif not log.exists():
        state = "missing"
    elif _failed(log):
        state = "failed"
    else:
        state = "running" if alive else "interrupted"
    return Job(rule, name, state, seconds, ended, log)


def _seconds(benchmark: Path) -> float | None:
    with open(benchmark, newline="") as stream:
        row = next(csv.DictReader(stream, delimiter="\t"), {})
    try:
        return float(row["s"])
    except (KeyError, ValueError):
        return None


def last_line(log: Path) -> str:
    """Return the last line of a log that says anything; of a progress bar, its last state."""
    text = log.read_bytes()[-20_000:].decode(errors="replace").replace("\r", "\n")
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _failed(log: Path) -> bool:
    """Return whether a job ended with an error: its message, or Python's, is the last thing that it
    said.
    """
    text = log.read_bytes()[-200_000:].decode(errors="replace")
    return (
        last_line(log).startswith("rosetta: ")
        or "\nTraceback (most recent call last)" in f"\n{text}"
    )


def seconds_left(jobs: list[Job]) -> float | None:
    """Return the time left for missing jobs at the pace so far; None if none is done.

    A job is taken to last as long as the finished ones of its rule do on average, or of all rules
    if there is none.
    """
    done = [job for job in jobs if job.seconds is not None]
    if not done:
        return None
    overall = sum(job.seconds for job in done) / len(done)
    work = 0.0
    for job in jobs:
        if job.state != "done":
            same = [other.seconds for other in done if other.rule == job.rule]
            work += sum(same) / len(same) if same else overall
    return work / jobs_at_once(done)


def jobs_at_once(done: list[Job]) -> float:
    """Return how many jobs ran at once on average, while any ran."""
    spans = sorted((job.ended - job.seconds, job.ended) for job in done)
    covered, until = 0.0, -float("inf")
    for start, end in spans:
        covered += max(0.0, end - max(start, until))
        until = max(until, end)
    return sum(job.seconds for job in done) / covered if covered else 1.0


def disk_use(root: Path) -> dict[str, int]:
    """Return the bytes below a results folder, by the folder in it, largest first."""
    used: dict[str, int] = {}
    for folder, _, files in os.walk(root):
        inside = Path(folder).relative_to(root).parts
        size = sum(path.lstat().st_size for name in files if (path := Path(folder) / name).exists())
        used[inside[0] if inside else "."] = used.get(inside[0] if inside else ".", 0) + size
    return dict(sorted(used.items(), key=lambda item: -item[1]))


def started_in(config: Config, root: Path) -> Path:
    """Return the folder from which a configuration names its results `root`."""
    named, found = Path(config.results), root.absolute()
    n = len(named.parts)
    if named.is_absolute() or not n or found.parts[-n:] != named.parts:
        return Path.cwd()
    return found.parents[n - 1].resolve()


def status_text(config: Config, paths: Paths, folder: Path) -> str:
    """Return the status of a run as text for a terminal.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    folder : Path
        Where Snakemake was started.
    """
    alive = running_here(
        folder, Path(config.results) if Path(config.results).is_absolute() else None
    )
    jobs = job_states(config, paths, bool(alive))
    lines = [f"{'rule':<20}" + "".join(f"{state:>12}" for state in STATES) + f"{'seconds':>10}"]
    for rule in dict.fromkeys(job.rule for job in jobs):
        lines.append(_row(rule, [job for job in jobs if job.rule == rule]))
    lines += [_row("total", jobs), ""]
    for job in jobs:
        if job.state in ("running", "interrupted", "failed"):
            lines.append(f"{job.state}: {job.rule} {job.name}: {job.log}")
            if job.state == "failed":
                lines.append(f"    {last_line(job.log)}")
    stale = stale_results(config, paths.root)
    lines += [_stale_line(stage, files) for stage, files in stale.items()]
    lines += [
        _left_over_line(stage, files) for stage, files in left_over(config, paths.root).items()
    ]
    lines.append(_disk_line(disk_use(paths.root)))
    lines.append(_time_line(jobs, bool(stale)))
    lines.append(
        f"run: process {alive[0]} is at work in this folder"
        if alive
        else "run: none is at work in this folder"
    )
    return "\n".join(lines)


def _row(name: str, jobs: list[Job]) -> str:
    counts = "".join(f"{sum(job.state == state for job in jobs) or '–':>12}" for state in STATES)
    seconds = sum(job.seconds or 0 for job in jobs)
    return f"{name:<20}{counts}{seconds:>10.0f}"


def _disk_line(used: dict[str, int]) -> str:
    shown = [f"{name} {size / 1e6:,.0f} MB" for name, size in used.items() if size >= 1e6]
    return "; ".join(
        [f"disk: {sum(used.values()) / 1e6:,.0f} MB", *([", ".join(shown)] if shown else [])]
    )


def _stale_line(stage: str, files: list[Path]) -> str:
    return (
        f"outdated: {stage}: {_shown(files)}, of another configuration or version of rosetta; "
        "the next run makes it again"
    )


def _left_over_line(stage: str, files: list[Path]) -> str:
    return (
        f"left over: {stage}: {_shown(files)}, which the configuration does not ask for; "
        "delete it, or leave it"
    )


def _shown(files: list[Path]) -> str:
    return f"{files[0]}{f' and {len(files) - 1} more' if len(files) > 1 else ''}"


def _time_line(jobs: list[Job], outdated: bool) -> str:
    left, n_left = seconds_left(jobs), sum(job.state != "done" for job in jobs)
    if not n_left and outdated:
        return "time left: not known, all jobs are done but results are outdated"
    if not n_left:
        return "time left: none, all jobs are done"
    if left is None:
        return "time left: not known before a job has finished; see `rosetta plan`"
    done = [job for job in jobs if job.seconds is not None]
    return (
        f"time left: about {left / 60:.0f} min for {n_left} jobs, at "
        f"{jobs_at_once(done):.1f} jobs at once as so far"
    )
