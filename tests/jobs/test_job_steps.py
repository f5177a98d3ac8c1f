"""The step of jobs that do the work of several stages."""

import pytest
from workflow_runs import TINY

from rosetta.config import parse_config
from rosetta.errors import ConfigError
from rosetta.jobs.steps import WORK, job_step
from rosetta.run.paths import Paths
from rosetta.run.stages import pieces_of_job, rule_jobs
from rosetta.run.stages.bundles import BUNDLES


def test_there_is_work_for_every_stage_of_a_bundle():
    config = parse_config({**TINY, "theory": {**TINY["theory"], "sweep": {"kappa": [2.0]}}})
    jobs = rule_jobs(config)
    stages = {
        stage
        for bundle in BUNDLES
        for job in jobs[bundle.name]
        for stage, _ in pieces_of_job(config, bundle.name, job)
    }
    assert stages <= set(WORK)


@pytest.mark.parametrize(
    ("rule", "name", "message"),
    [
        ("activations", "opt-s", "activations: is no rule that does the work of several stages"),
        ("nothing", "", "nothing: is no rule.*train_and_profile, .*pair"),
        ("pair", "opt-s", "pair: the run has no job 'opt-s'; there are pythia-s--opt-s"),
        ("pair", "", "pair: the run has no job ''"),
        ("tables", "opt-s", "tables: the run has no job 'opt-s'; there are none"),
        ("profile", "", "profile: the run has no job"),
    ],
)
def test_a_job_that_there_is_not_is_told(tmp_path, rule, name, message):
    with pytest.raises(ConfigError, match=message):
        job_step(parse_config(TINY), Paths(tmp_path), rule, name)
