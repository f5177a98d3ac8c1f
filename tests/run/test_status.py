"""What `rosetta status` tells of a run, from what the run left behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run_here

from rosetta.config import dump_config, load_config
from rosetta.run.paths import Paths
from rosetta.run.stages import job_names
from rosetta.run.status import (
    Job,
    disk_use,
    job_states,
    jobs_at_once,
    last_line,
    seconds_left,
    started_in,
    status_text,
)
from rosetta.storage.digests import write_text
from rosetta.storage.locks import running_here

TINY = Path(__file__).parents[2] / "workflow" / "presets" / "tiny.yaml"


@pytest.fixture
def run(tmp_path):
    config = load_config(TINY)
    return config, Paths(tmp_path / "results")


def begin(paths, rule, name, said="", at=1000.0):
    log = paths.log(rule, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(said)
    os.utime(log, (at, at))


def end(paths, rule, name, seconds, at):
    file = paths.benchmark(rule, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t10\n")
    os.utime(file, (at, at))


def states(config, paths, alive=True):
    return {(job.rule, job.name): job.state for job in job_states(config, paths, alive)}


def test_every_job_has_a_state(run):
    config, paths = run
    assert set(states(config, paths).values()) == {"missing"}
    assert len(states(config, paths)) == sum(map(len, job_names(config).values()))
    begin(paths, "corpus", "all", "made\n")
    end(paths, "corpus", "all", 4.0, at=1004.0)
    begin(paths, "tokenizers", "all", "a\rb\r50%")
    begin(paths, "pair", "pythia-m--opt-m", "rosetta: corpus.parquet: damaged. Delete it.\n")
    begin(
        paths,
        "train_and_profile",
        "opt-s",
        'Traceback (most recent call last):\n  File "x"\nValueError: no\n',
    )
    begin(paths, "train_and_profile", "opt-m", "step 3\n", at=2000.0)  # run again since it ended
    end(paths, "train_and_profile", "opt-m", 9.0, at=1500.0)
    expected = {
        ("corpus", "all"): "done",
        ("tokenizers", "all"): "running",
        ("pair", "pythia-m--opt-m"): "failed",
        ("train_and_profile", "opt-s"): "failed",
        ("train_and_profile", "opt-m"): "running",
        ("report", "all"): "missing",
    }
    found = states(config, paths)
    assert {job: found[job] for job in expected} == expected
    assert states(config, paths, alive=False)[("tokenizers", "all")] == "interrupted"
    assert last_line(paths.log("tokenizers", "all")) == "50%"


def job(rule, seconds, ended, state="done"):
    return Job(rule, "x", state, seconds, ended, Path("log"))


def test_the_time_left_follows_from_finished_jobs():
    """Two jobs at once; jobs of a rule without a finished one last as long as all on average."""
    done = [job("train", 10.0, 110.0), job("train", 20.0, 120.0), job("match", 10.0, 120.0)]
    assert jobs_at_once(done) == pytest.approx(40 / 20)
    missing = [job("train", None, None, "missing"), job("fit", None, None, "running")]
    assert seconds_left([*done, *missing]) == pytest.approx((15 + 40 / 3) / 2)
    assert seconds_left(missing) is None
    assert seconds_left(done) == 0


def test_the_status_names_failed_jobs_logs_disk_and_time(run, tmp_path):
    config, paths = run
    begin(paths, "corpus", "all")
    end(paths, "corpus", "all", 60.0, at=1060.0)
    begin(paths, "train_and_profile", "opt-s", "rosetta: disk is full\n")
    (paths.root / "activations" / "deep").mkdir(parents=True)
    (paths.root / "activations" / "deep" / "chunk").write_bytes(b"x" * 5_000_000)
    assert disk_use(paths.root)["activations"] == 5_000_000
    text = status_text(config, paths, tmp_path)
    log = paths.log("train_and_profile", "opt-s")
    assert f"failed: train_and_profile opt-s: {log}\n    rosetta: disk is full" in text
    assert "disk: 5 MB; activations 5 MB" in text
    n_left = sum(map(len, job_names(config).values())) - 1
    assert f"time left: about {n_left} min for {n_left} jobs, at 1.0 jobs at once" in text
    assert "run: none is at work in this folder" in text


def test_a_folder_of_small_files_has_no_list_of_large_ones(run, tmp_path):
    config, paths = run
    begin(paths, "corpus", "all")
    assert "disk: 0 MB\n" in status_text(config, paths, tmp_path)


def test_a_run_in_the_folder_is_seen(tmp_path):
    script = tmp_path / "snakemake"
    script.write_text("import time; print('up', flush=True); time.sleep(60)")
    command = [sys.executable, script, "--config", tmp_path / "far" / "run_config.yaml"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"up\n"
        assert running_here(tmp_path) == [process.pid]
        assert running_here(tmp_path / "other") == []
        assert running_here(tmp_path / "other", tmp_path / "far") == [process.pid], (
            "a job names the absolute results folder"
        )
        assert running_here(tmp_path / "other", tmp_path / "fa") == []
    finally:
        process.kill()
        process.wait()


def test_the_command(run, tmp_path):
    config, paths = run
    command = [
        sys.executable,
        "-c",
        "from rosetta.cli import main; main()",
        "status",
        str(paths.root),
    ]
    missing = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert missing.returncode == 2
    assert "Name the results folder" in missing.stderr
    paths.root.mkdir()
    paths.run_config.write_text(dump_config(config))
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "simulations" in shown
    assert "time left: not known" in shown


def test_a_run_is_looked_for_where_it_was_started_from_wherever_its_status_is_asked(
    run, tmp_path, monkeypatch
):
    config, _ = run
    config, root = (
        config.model_copy(update={"results": "made/results"}),
        tmp_path / "project" / "made" / "results",
    )
    root.mkdir(parents=True)
    assert started_in(config, root) == tmp_path / "project"
    monkeypatch.chdir(root.parent)
    assert started_in(config, Path("results")) == tmp_path / "project"
    for elsewhere in (
        config.model_copy(update={"results": name}) for name in (".", "other", str(root))
    ):
        assert started_in(elsewhere, root) == root.parent, (
            "nothing tells it but that it is asked from here"
        )


def test_from_elsewhere_what_runs_is_not_taken_for_interrupted(run, tmp_path, monkeypatch):
    config, paths = run
    config = config.model_copy(update={"results": "results"})
    write_text(paths.run_config, dump_config(config))
    begin(paths, "corpus", "all", "reading\n")
    (tmp_path / "snakemake").write_text("import time; time.sleep(60)")
    process = subprocess.Popen([sys.executable, "snakemake"], cwd=tmp_path)
    try:
        (tmp_path / "elsewhere").mkdir()
        done = run_here("status", paths.root, folder=tmp_path / "elsewhere")
    finally:
        process.kill()
        process.wait()
    assert f"run: process {process.pid} is at work" in done.out
    assert "running: corpus all" in done.out
