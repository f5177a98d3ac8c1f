"""A run that is killed anywhere finishes with the same files, and does nothing twice that was
finished.
"""

import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest
from killed_run import EVENTS, KilledRun, finished_jobs, make_project
from workflow_runs import TINY, run_snakemake

SEED = int(os.environ.get("CHAOS_SEED", "0"))
# The way to the matches, in Dask processes and a job for each step; they do not depend on the null
# models.
TO_MATCHES = {
    **TINY,
    "results": "results",
    "sae": None,
    "controls": {"permutation_seeds": [], "document_seeds": [], "untrained_seeds": []},
    "activations": {**TINY["activations"], "shards_per_job": "one"},
    "correlation": {**TINY["correlation"], "memory_gb": 1.84},
    "dask": {"scheduler": "processes", "n_workers": 2},
}
MATCHES = "results/matches/pythia-m--opt-m.parquet"
# Everything; exchanged samples of the larger models in several tiles, since they need the most
# memory.
ALL = {**TINY, "results": "results", "correlation": {**TINY["correlation"], "memory_gb": 0.62}}
TOLD_APART_BY_TIME = ("logs/", "benchmarks/", "report.html", ".report.html.digest")


def run_killed(folder, config, targets, n_jobs, n_kills):
    print(f"seed {SEED}")
    run = KilledRun(make_project(folder, config), targets, n_jobs, n_kills, SEED)
    tally = run.to_the_end(folder.with_suffix(".log"))
    print(tally.text())
    assert not tally.recomputed
    assert sum(tally.kills.values()) == n_kills
    return tally


def test_a_run_killed_once_at_each_kind_of_moment_finishes_with_the_same_matches(
    finished, tmp_path
):
    folder = tmp_path / "p"
    tally = run_killed(folder, TO_MATCHES, (MATCHES,), 12, len(EVENTS))
    assert tally.interrupted
    found, expected = (pd.read_parquet(project / MATCHES) for project in (folder, finished))
    columns = [
        name for name in found if not name.startswith("p_")
    ]  # of null models, which this run leaves out
    pd.testing.assert_frame_equal(found[columns], expected[columns])
    assert leftovers(folder / "results") == []


def leftovers(results: Path) -> list[str]:
    """Return hidden files and folders, but for digests: what jobs need on their way begins with a
    dot.
    """
    names = (str(path.relative_to(results)) for path in results.rglob(".*"))
    return sorted(name for name in names if not re.search(r"\.zarr/|\.digest$", name))


def contents(results: Path) -> dict[str, object]:
    """Return what every file holds, but for those that tell times."""
    files = {str(path.relative_to(results)): path for path in results.rglob("*") if path.is_file()}
    return {
        name: _content(path)
        for name, path in files.items()
        if not name.startswith(TOLD_APART_BY_TIME)
    }


def _content(path: Path):
    return json.loads(path.read_text()) if path.suffix == ".json" else path.read_bytes()


def differences(one: dict, other: dict) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


@pytest.mark.chaos
def test_a_run_killed_fifty_times_makes_the_same_files(tmp_path):
    whole = make_project(tmp_path / "whole", ALL)
    run_snakemake(whole)
    n_jobs = len(finished_jobs(whole))
    killed = tmp_path / "killed"
    tally = run_killed(killed, ALL, (), n_jobs, 50)
    assert tally.finished == n_jobs
    assert differences(contents(killed / "results"), contents(whole / "results")) == []
    assert leftovers(killed / "results") == []
