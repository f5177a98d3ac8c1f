"""How long each phase of a run took, from the benchmark files that Snakemake keeps."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

PHASE_COLUMNS = ["phase", "jobs", "seconds", "longest_seconds", "peak_memory_mb"]


def phase_table(benchmarks: Path) -> pd.DataFrame:
    """Return one row per rule: number of jobs, their seconds summed, the longest, and the peak memory.

    The files are `benchmarks/{rule}/**.tsv`; the time is that of the jobs as they last ran, so it covers
    the phases of a resumed run too.
    """
    rows = []
    for folder in sorted(path for path in benchmarks.glob("*") if path.is_dir()):
        jobs = [pd.read_csv(path, sep="\t", na_values=["-"]) for path in sorted(folder.rglob("*.tsv"))]
        if jobs:
            table = pd.concat(jobs)
            rows.append((folder.name, len(jobs), table["s"].sum(), table["s"].max(), table["max_rss"].max()))
    return pd.DataFrame(rows, columns=PHASE_COLUMNS).sort_values("seconds", ascending=False, ignore_index=True)
