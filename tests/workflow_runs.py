"""Running the workflow as a user types it, or its jobs in this process."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml
from commands import Done, run_here
from forked_snakemake import snakemake

from rosetta.storage.names import RUN_CONFIG

ROOT = Path(__file__).parent.parent
TINY = yaml.safe_load((ROOT / "workflow" / "presets" / "tiny.yaml").read_text())
VISION = yaml.safe_load((ROOT / "workflow" / "presets" / "vision-tiny.yaml").read_text())
CORES = "2"


def run_snakemake(
    folder: Path, *arguments: str, config: dict | None = None, check=True
) -> subprocess.CompletedProcess:
    """Run Snakemake in a project folder, with one configuration file of its own."""
    if config is not None:
        (folder / "run.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(folder, "--configfile", "run.yaml", "--cores", CORES, *arguments)
    if check and done.returncode:
        logs = "\n".join(p.read_text() for p in (folder / "results").rglob("*.log"))
        pytest.fail(f"{done.stderr[-4000:]}\n{logs[-4000:]}")
    return done


def jobs_of(done: subprocess.CompletedProcess) -> dict[str, int]:
    """Return the job counts of the table that Snakemake prints; empty if there was nothing to
    do.
    """
    table = re.search(
        r"^job +count\n-+ +-+\n(.*?)^total", done.stdout + done.stderr, re.MULTILINE | re.DOTALL
    )
    return (
        {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", table[1], re.MULTILINE)}
        if table
        else {}
    )


def commands_of(planned: subprocess.CompletedProcess) -> list[str]:
    """Return the commands of the jobs of a dry run that prints them, in their order."""
    found = re.findall(
        r"^Shell command: (rosetta .*)$", planned.stdout + planned.stderr, re.MULTILINE
    )
    jobs = jobs_of(planned)
    jobs.pop("all", None)  # has no command
    assert len(found) == sum(jobs.values()), jobs
    return found


def run_jobs_here(
    folder: Path, *targets: str, config: dict | None = None
) -> subprocess.CompletedProcess:
    """Have Snakemake plan a run, do its jobs in this process, and return what it planned.

    Most of what a small run costs is starting its jobs.
    """
    planned = run_snakemake(folder, "-n", "-p", *targets, config=config)
    results = yaml.safe_load((folder / "run.yaml").read_text())["results"]
    run_of(folder, "check", "--configfile", "run.yaml", "--out", f"{results}/{RUN_CONFIG}")
    for command in commands_of(planned):
        words = shlex.split(command)  # rosetta … 2> results/logs/….log
        log = folder / words.pop()
        assert words.pop() == "2>"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(run_of(folder, *words[1:]).err)
    return planned


def run_of(folder: Path, *arguments: object) -> Done:
    """Run a command in this process, which must succeed."""
    done = run_here(*arguments, folder=folder)
    assert done.code == 0, done
    return done


def copy_project(folder: Path) -> Path:
    """Copy what a run needs apart from the package."""
    folder.mkdir()
    for name in ("Snakefile", "workflow", "envs", "config.yaml"):
        source = ROOT / name
        shutil.copytree(source, folder / name) if source.is_dir() else shutil.copy(source, folder)
    (folder / "profiles").symlink_to("workflow/profiles")
    return folder


def read_matches(folder):
    return {p.name: pd.read_parquet(p) for p in (folder / "results" / "matches").glob("*.parquet")}
