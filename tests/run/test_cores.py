"""How many cores each job computes on: its share of the run's, or what the configuration says."""

import pytest

from rosetta.config import Dask, parse_config
from rosetta.run.cores import job_cores
from rosetta.run.stages import RULES, rule_jobs

LARGE = {"hub": "a/b", "revision": "x"}
SHARED = ("activations", "generate", "twins", "image_twins")
ON_PAIRS = ("correlate", "nulls", "intervals", "sweeps", "instruments", "sae_match")
BUNDLES = ("pair", "part_of_rung", "image_pair", "image_part_of_rung")


def config_of(**dask):
    models = {name: LARGE for name in "abc"}
    return parse_config({"models": models, "ladders": {"x": [["a", "b", "c"]]}, "dask": dask})


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 16, 100])
def test_jobs_share_the_cores_of_the_run(cores):
    config = config_of()
    jobs = rule_jobs(config)
    for rule in (*SHARED, *ON_PAIRS):
        n_jobs = len(jobs[rule])
        each = job_cores(config, rule, n_jobs, cores)
        assert 1 <= each <= cores
        if 0 < n_jobs <= cores:
            assert each * n_jobs <= cores < (each + 1) * n_jobs, "no job could take another one"
        assert job_cores(config, rule, 1, cores) == cores, "one alone takes all"
    assert len(jobs["activations"]) == 3 * config.activations.n_shards
    assert len(jobs["correlate"]) == 2


def test_other_jobs_and_those_of_small_models_take_one():
    config = config_of()
    others = [rule for rule in RULES if rule not in (*SHARED, *ON_PAIRS)]
    assert {"train", "train_and_profile", "profile", "counts", *BUNDLES} <= set(others)
    assert {job_cores(config, rule, 1, 16) for rule in others} == {1}


def test_a_number_of_threads_is_what_correlations_take():
    config = config_of(n_workers=3, threads_per_worker=2)
    for rule in (*ON_PAIRS, *BUNDLES):
        assert {job_cores(config, rule, n, cores) for n in (1, 9) for cores in (None, 4)} == {6}
    assert job_cores(config, "activations", 1, 4) == 4, "captures are no tasks of Dask"


def test_on_a_cluster_a_job_takes_one_core_unless_told():
    rules = (*SHARED, *ON_PAIRS, *BUNDLES)
    assert {job_cores(config_of(), rule, 1, None) for rule in rules} == {1}
    assert job_cores(config_of(n_workers=4), "correlate", 1, None) == 4, "a core for each task"


@pytest.mark.parametrize("threads", ["auto", 8])
def test_jobs_that_wait_for_workers_take_one(threads):
    config = config_of(scheduler="tcp://head:1", n_workers=5, threads_per_worker=threads)
    assert job_cores(config, "correlate", 1, 16) == job_cores(config, "nulls", 1, 16) == 1
    here = {"auto": 16, 8: 8}[threads]
    assert job_cores(config, "intervals", 1, 16) == here, "half-samples are matched in the job"


def test_tasks_share_the_cores_of_their_job():
    assert Dask().threads == Dask().cores == 1
    assert [Dask().on_cores(n).threads for n in (1, 2, 7)] == [1, 2, 7]
    three = Dask(n_workers=3)
    assert [three.on_cores(n).threads for n in (1, 3, 7, 16)] == [1, 1, 2, 5]
    assert three.on_cores(16).cores == 15
    assert Dask(threads_per_worker=4).on_cores(2).threads == 2, "what the job was given"
    elsewhere = Dask(scheduler="slurm", n_workers=3, threads_per_worker=4)
    assert elsewhere.on_cores(16) == elsewhere
    assert elsewhere.cores == 4
