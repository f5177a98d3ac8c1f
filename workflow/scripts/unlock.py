"""Remove the lock that a killed Snakemake left in this folder, unless one is still running here."""

import subprocess
import sys
from pathlib import Path

import psutil

LOCKS = Path(".snakemake/locks")


def running_here() -> list[int]:
    """Return the processes that run Snakemake, or a job that a killed one left alive, in this folder."""
    here = Path.cwd()
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        words = [Path(word).name for word in (process.info["cmdline"] or [])[:3]]
        if {"snakemake", "rosetta"} & set(words) and process.info["cwd"] and Path(process.info["cwd"]) == here:
            found.append(process.info["pid"])
    return found


if LOCKS.is_dir() and any(LOCKS.iterdir()):
    alive = running_here()
    if alive:
        sys.exit(f"Another run is working in this folder (process {alive[0]}). Wait for it, or stop it first.")
    print("Removing the lock of a run that was killed.", file=sys.stderr)
    done = subprocess.run(["snakemake", "--unlock"], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
