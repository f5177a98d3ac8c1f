"""Running the workflow as a user types it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

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
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--configfile",
        "run.yaml",
        "--cores",
        CORES,
        *arguments,
    ]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=1800, check=False
    )
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


def copy_project(folder: Path) -> Path:
    """Copy what a run needs apart from the package."""
    folder.mkdir()
    for name in ("Snakefile", "workflow", "envs", "config.yaml"):
        source = ROOT / name
        shutil.copytree(source, folder / name) if source.is_dir() else shutil.copy(source, folder)
    (folder / "profiles").symlink_to("workflow/profiles")
    return folder


def rosetta(*arguments, folder):
    command = [sys.executable, "-c", "from rosetta.cli import main; main()", *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def read_matches(folder):
    return {p.name: pd.read_parquet(p) for p in (folder / "results" / "matches").glob("*.parquet")}
