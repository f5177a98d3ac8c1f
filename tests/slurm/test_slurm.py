"""The tiny preset through a real SLURM cluster of one node: to the end, and after a job was
cancelled.

Run by `make test-slurm`; needs Debian's slurm-wlm and munge.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import yaml
from cluster import Cluster, missing_programs
from helpers import save_tiny_model
from small_runs import CONFIG, MODELS, PAIR
from snakemake_records import recorded
from workflow_runs import TINY, copy_project

from rosetta.storage.locks import running_here

# A job for each step, as of large models; one pair, of which either model is trained twice.
WHOLE = {
    **TINY,
    "results": "results",
    "models": {name: TINY["models"][name] for name in ("pythia-s", "opt-s")},
    "ladders": {"pythia-opt": [["pythia-s", "opt-s"]]},
    "training_ladders": {},
    "ablation": None,
    "attribution": None,
    "sae": None,
    "activations": {**TINY["activations"], "shards_per_job": "one"},
}
TO_MATCHES = {
    **WHOLE,
    "controls": {"permutation_seeds": [], "document_seeds": [], "untrained_seeds": []},
}
SUBMITTED = {
    "corpus",
    "tokenizers",
    "train",
    "activations",
    "twins",
    "correlate",
    "nulls",
    "intervals",
    "sweeps",
    "vocabulary",
    "neurons",
    "contexts",
    "simulations",
    "routes",
    "tables",
    "filter_choose",
    "filter_score",
    "filter_pretrain",
}
PAIRS = ("pythia-s--opt-s", "pythia-s~2--opt-s")
TARGETS = [f"results/matches/{pair}.parquet" for pair in PAIRS]

# Another one, of models that lie there; and the cores of its jobs.
SMALL_RUN = {**CONFIG, "controls": TO_MATCHES["controls"]}
CORES = {"activations": {1}, "correlate": {2}, "intervals": {1}}

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        bool(missing_programs()), reason=f"no SLURM here: {', '.join(missing_programs())} not found"
    ),
]


@pytest.fixture(scope="module")
def cluster():
    started = Cluster()
    yield started
    started.stop()


def project(folder: Path, config: dict) -> Path:
    copy_project(folder)
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    return folder


def command(*arguments: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "snakemake",
        "--profile",
        "workflow/profiles/slurm",
        "--configfile",
        "run.yaml",
        "--slurm-status-command",
        "squeue",
        "--slurm-init-seconds-before-status-checks",
        "5",
        "--latency-wait",
        "10",
        *arguments,
    ]


def run(folder, cluster, *arguments):
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=cluster.environment,
        capture_output=True,
        text=True,
        timeout=2400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return done


def matches(folder):
    return {
        pair: pd.read_parquet(folder / "results" / "matches" / f"{pair}.parquet") for pair in PAIRS
    }


def wait_for(condition, seconds=600):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.3)
    return found


def test_a_sweep_goes_through_slurm_survives_a_cancelled_job_and_a_killed_driver(cluster, tmp_path):
    """One run: a training job is cancelled, the driver is killed later on; what was finished is not
    made again.
    """
    folder = project(tmp_path / "p", WHOLE)
    driver = subprocess.Popen(
        command(),
        cwd=folder,
        env=cluster.environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=(tmp_path / "driver.log").open("w"),
    )

    def running(rule):
        assert driver.poll() is None, (tmp_path / "driver.log").read_text()[-3000:]
        return [
            job for job in cluster.jobs() if rule in job["comment"] and job["state"] == "RUNNING"
        ]

    cancelled = wait_for(lambda: running("rule_train"))[0]
    cluster.run("scancel", cancelled["id"])
    wait_for(lambda: list((folder / "results").glob("activations/*/*/*.json")))
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    # Jobs of a killed driver live on: docs/cluster.md says to cancel them before the next run.
    cluster.cancel_all()
    wait_for(
        lambda: (
            not [
                job
                for job in cluster.jobs()
                if job["state"] in ("RUNNING", "PENDING", "COMPLETING")
            ]
        )
    )
    # A job that was under way when its driver was killed counts as cut off, whatever it wrote:
    # Snakemake has no record of its results, and makes them again.
    done = recorded(folder, "metadata").keys() - recorded(folder, "incomplete").keys()
    finished = {
        path: path.stat().st_mtime_ns
        for path in (folder / "results").glob("models/*.json")
        if str(path.relative_to(folder)) in done
    }
    assert finished
    unlock = [sys.executable, "workflow/scripts/unlock.py"]

    def free():
        # This cluster follows processes by their parents, and loses one whose parent died first;
        # cgroups do not.
        for pid in running_here(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return subprocess.run(unlock, cwd=folder, check=False).returncode == 0

    wait_for(free, 60)
    run(folder, cluster)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    again = run(folder, cluster, "-n")
    assert "Nothing to be done" in again.stdout + again.stderr

    jobs = cluster.jobs()
    rules = {job["comment"].split("_wildcards_")[0] for job in jobs if job["state"] == "COMPLETED"}
    assert {f"rule_{rule}" for rule in SUBMITTED} <= rules
    assert (folder / "results" / "report.html").exists()
    assert next(job for job in jobs if job["id"] == cancelled["id"])["state"] == "CANCELLED"

    local = project(tmp_path / "local", TO_MATCHES)
    subprocess.run(
        [sys.executable, "-m", "snakemake", "--configfile", "run.yaml", "--cores", "2", *TARGETS],
        cwd=local,
        check=True,
        capture_output=True,
        timeout=1800,
    )
    for pair, table in matches(local).items():
        columns = [name for name in table if not name.startswith("p_")]  # those are of null models
        pd.testing.assert_frame_equal(matches(folder)[pair][columns], table[columns])


def test_jobs_get_the_cores_that_they_compute_on(cluster, tmp_path, texts):
    """One each unless told; what is asked for reaches SLURM, and the command within the job."""
    folder = project(tmp_path / "p", SMALL_RUN)
    for seed, (name, architecture) in enumerate(MODELS.items()):
        save_tiny_model(folder / name, texts, architecture, seed=seed)
    rows = [json.dumps({"text": text, "domain": "d"}) for text in texts]
    (folder / "texts.jsonl").write_text("\n".join(rows))
    before = {job["id"] for job in cluster.jobs()}
    run(folder, cluster, "--set-threads", "correlate=2", "--", f"results/matches/{PAIR}.parquet")
    submitted = [job for job in cluster.jobs() if job["id"] not in before]
    cores = {
        rule: {int(job["cores"]) for job in submitted if rule in job["comment"]} for rule in CORES
    }
    assert cores == CORES
    said = (folder / f"results/logs/correlate/{PAIR}.0-of-1.log").read_text()
    assert "1 × 2 thread(s)" in said
    captured = folder / f"results/logs/activations/{next(iter(MODELS))}.0-of-2.log"
    assert "shard 0: 1 thread(s)" in captured.read_text()
