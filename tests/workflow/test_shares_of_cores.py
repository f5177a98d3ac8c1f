"""What `--cores` does to the jobs of a run, as Snakemake plans them."""

import re

import pytest
from workflow_runs import TINY, commands_of, copy_project, run_snakemake

# Of one pair, whose models have a job per stage.
CONFIG = {
    **TINY,
    "results": "results",
    "ladders": {"pythia-opt": [["pythia-m", "opt-m"]]},
    "training_ladders": {},
    "activations": {**TINY["activations"], "shards_per_job": "one", "n_shards": 2},
}
LISTS = "results/neighbors/pythia-m--opt-m/0-of-1.parquet"


@pytest.mark.parametrize(
    ("given", "capture", "correlation"),
    [
        (("--cores", "12"), 3, 12),
        (("--cores", "3"), 1, 3),
        (("--cores", "12", "--set-threads", "correlate=5"), 3, 5),
    ],
)
def test_jobs_are_told_their_share_of_the_cores(tmp_path, given, capture, correlation):
    """Four captures share the cores of one machine, and the one pair of the run takes all."""
    folder = copy_project(tmp_path / "p")
    planned = run_snakemake(folder, *given, "-n", "-p", "--", LISTS, config=CONFIG)
    told = {}
    for command in commands_of(planned):
        found = re.search(
            r" (activations|neighbors|train) .*?(?:--threads (\d+))?$", command.split(" 2> ")[0]
        )
        if found:
            told.setdefault(found[1], []).append(found[2] and int(found[2]))
    assert told.pop("train") == [None, None], "trainings have one thread, whatever is given"
    assert told == {"activations": [capture] * 4, "neighbors": [correlation]}
