"""How long each phase of a run took, from the benchmark files that Snakemake keeps."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from rosetta.config import Config
from rosetta.errors import StoreError
from rosetta.run.paths import Paths
from rosetta.run.stages import RULES, job_names

PHASE_COLUMNS = ["phase", "jobs", "seconds", "longest_seconds", "cpu_seconds", "peak_memory_mb"]


def phase_table(config: Config, paths: Paths) -> pd.DataFrame:
    """Return jobs, seconds, the longest job, CPU seconds and peak memory per rule.

    Only jobs that the configuration asks for count, each as it last ran, so the table covers the
    phases of a resumed run too, and leaves out what another configuration left in the folder. The
    report is not among them: it is being written.
    """
    rows = []
    for rule, names in job_names(config).items():
        made = (paths.benchmark(rule, name) for name in names)
        files = [path for path in made if path.exists()]
        if files and RULES[rule].timed:
            table = pd.concat(map(_read, files))
            times = table["s"].sum(), table["s"].max(), table["cpu_time"].sum()
            rows.append((rule, len(files), *times, table["max_rss"].max()))
    return pd.DataFrame(rows, columns=PHASE_COLUMNS).sort_values(
        "seconds", ascending=False, ignore_index=True
    )


def _read(path: Path) -> pd.DataFrame:
    """Read a job's record, which Snakemake wrote: without a digest, so only damage that makes it no
    table is found.
    """
    try:
        return pd.read_csv(path, sep="\t", na_values=["-"])[["s", "cpu_time", "max_rss"]].astype(
            float
        )
    except (ValueError, KeyError) as error:
        raise StoreError(
            f"{path}: damaged ({error}). Delete it: the report then leaves this job's time out."
        ) from None
