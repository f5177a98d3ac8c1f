"""The commands on a pair of a run take every pair that a rule of theirs has a job on."""

import pytest
from commands import assert_rejected, run_here
from workflow_runs import TINY

from rosetta.config import dump_config, parse_config
from rosetta.run.stages import rule_jobs
from rosetta.storage.digests import write_text

CONFIG = parse_config(
    {**TINY, "activations": {**TINY["activations"], "shards_per_job": "one"}, "results": "results"}
)
COMMANDS = {
    "correlate": "neighbors",
    "match": "matches",
    "nulls": "nulls",
    "instruments": "instruments",
    "sae_match": "sae-match",
}


@pytest.fixture
def folder(tmp_path):
    write_text(tmp_path / "run_config.yaml", dump_config(CONFIG))
    return tmp_path


@pytest.mark.parametrize("stage", COMMANDS)
def test_a_command_takes_the_pairs_of_its_rule(folder, stage):
    jobs = rule_jobs(CONFIG)[stage]
    assert jobs
    for job in jobs:
        options = [part for key, value in job.items() for part in (f"--{key}", value)]
        done = run_here(COMMANDS[stage], "--config", "run_config.yaml", *options, folder=folder)
        # Nothing was computed yet, so a file is missing; the pair is right.
        assert_rejected(done, "(?i)missing|holds no store manifest|no such file")
        assert "--pair" not in done.err


@pytest.mark.parametrize(
    ("command", "pair"),
    [
        ("neighbors", "pythia-s--nobody"),
        ("matches", "pythia-m~2--opt-m"),
        ("nulls", "pythia-s~2--opt-s"),
        ("intervals", "pythia-s~2--opt-s"),
        ("sweeps", "opt-s--pythia-s"),
        ("instruments", "opt-s--pythia-s"),
        ("sae-match", "pythia-s~2--opt-s"),
    ],
)
def test_a_command_rejects_other_pairs(folder, command, pair):
    control = ["--control", "permutation"] if command == "nulls" else []
    asked = [command, "--config", "run_config.yaml", "--pair", pair, *control]
    assert_rejected(run_here(*asked, folder=folder), f"--pair: '{pair}' is not a pair of the run")
