"""Which processes of this machine work on a run."""

from __future__ import annotations

from pathlib import Path

import psutil


def running_here(folder: Path) -> list[int]:
    """Return the processes that run Snakemake, or a job that a killed one left alive, in a folder."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        words = process.info["cmdline"] or []
        names = [Path(word).name for word in words[:3]]
        # A person who asks for the status is not a run.
        if {"snakemake", "rosetta"} & set(names) and "status" not in words and process.info["cwd"] == str(folder):
            found.append(process.info["pid"])
    return found
