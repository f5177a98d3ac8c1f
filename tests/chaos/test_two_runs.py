"""Two runs at once in one folder: the second is rejected, whatever it tries, and the first one is
not disturbed.
"""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from killed_run import make_project, make_run
from workflow_runs import ROOT, TINY, copy_project, run_snakemake

from rosetta.config import parse_config
from rosetta.errors import BusyError
from rosetta.run.paths import Paths
from rosetta.run.provenance import STALE, stamp
from rosetta.storage.digests import stamping, write_text
from rosetta.storage.locks import RUN_LOCK, hold, is_held, running_here
from rosetta.storage.manifests import check_files, read_manifest

HOLDER = (
    "import time; from pathlib import Path; from rosetta.storage.locks import hold; "
    "hold(Path.cwd()); time.sleep(600)"
)


def wait_until(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def start_holder(folder):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], cwd=folder)
    lock = folder / RUN_LOCK
    wait_until(lambda: lock.exists() and lock.read_text())
    return holder


def test_a_folder_is_held_until_its_holder_dies(tmp_path):
    assert not is_held(tmp_path)
    holder, lock = start_holder(tmp_path), tmp_path / RUN_LOCK
    assert is_held(tmp_path)
    with pytest.raises(BusyError, match=f"process {holder.pid} on {socket.gethostname()}"):
        hold(tmp_path)
    holder.kill()
    holder.wait()
    assert not is_held(tmp_path), "its name is still there"
    done = subprocess.run(
        [sys.executable, "-c", HOLDER.replace("600", "0")], cwd=tmp_path, check=False
    )
    assert done.returncode == 0
    assert lock.read_text() == "", "a run that came to its end leaves no name"


@pytest.mark.parametrize(
    ("record", "rejected"), [("", False), (f"1 {socket.gethostname()}", False), ("1 moon", True)]
)
def test_without_locks_a_run_that_another_machine_began_is_not_taken_for_dead(
    tmp_path, monkeypatch, record, rejected
):
    """Lustre can be mounted so; on this machine, processes can be seen."""

    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    (tmp_path / RUN_LOCK).parent.mkdir()
    (tmp_path / RUN_LOCK).write_text(record)
    assert is_held(tmp_path) == rejected
    if not rejected:
        hold(tmp_path)
        assert (tmp_path / RUN_LOCK).read_text() == f"{os.getpid()} {socket.gethostname()}"
        return
    with pytest.raises(BusyError, match=rf"process 1 on moon, did not end well.*delete {RUN_LOCK}"):
        hold(tmp_path)
    assert (tmp_path / RUN_LOCK).read_text() == record


def test_a_lock_is_not_removed_while_a_job_of_a_killed_run_lives(tmp_path):
    lock = tmp_path / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("results/report.html\n")
    (tmp_path / "rosetta").write_text("import time; time.sleep(600)")
    job = subprocess.Popen([sys.executable, "rosetta"], cwd=tmp_path)
    unlock = [sys.executable, ROOT / "workflow" / "scripts" / "unlock.py"]
    wait_until(lambda: running_here(tmp_path) == [job.pid])
    done = subprocess.run(unlock, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode
    assert f"(process {job.pid})" in done.stderr
    assert lock.exists()
    job.kill()
    job.wait()
    subprocess.run(unlock, cwd=tmp_path, capture_output=True, check=True)
    assert not lock.exists()


def test_another_configuration_dates_no_file_of_a_live_run_back(tmp_path):
    """By a dry run, which takes no lock; once the run has ended, the dry run tells what is to be
    made.
    """
    run = {**TINY, "results": "results"}
    folder, counts = copy_project(tmp_path / "p"), "results/tables/counts.csv"
    with stamping(stamp(parse_config(run), "counts")):
        write_text(Paths(folder / "results").table("counts"), "x\n")
    written = (folder / counts).stat().st_mtime
    holder = start_holder(folder)
    look, edited = (
        ("-n", "results/corpus/manifest.json"),
        {**run, "controls": {"null_quantile": 0.8}},
    )
    try:
        done = run_snakemake(folder, *look, config=edited)
        assert (folder / counts).stat().st_mtime == written
        assert "warning: another run is at work here" in done.stderr
        assert (folder / RUN_LOCK).read_text().startswith(f"{holder.pid} ")
    finally:
        holder.kill()
        holder.wait()
    assert "another run" not in run_snakemake(folder, *look, config=edited).stderr
    assert (folder / counts).stat().st_mtime == STALE


def test_a_second_run_in_the_folder_of_a_live_one_is_rejected(tmp_path):
    """By make, by Snakemake, and, once somebody has removed Snakemake's lock, by the operating
    system's.
    """
    folder = make_project(tmp_path / "p", {**TINY, "results": "results"})
    target = "results/tokenizers/pythia.json"
    snakemake = [sys.executable, "-m", "snakemake", "--configfile", "run.yaml", "--cores", "1"]
    first = subprocess.Popen(
        make_run(target),
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    wait_until(lambda: (folder / "results" / "logs" / "corpus" / "all.log").exists())
    os.killpg(first.pid, signal.SIGSTOP)  # so that it is alive as long as the others need
    try:
        for command, words in (
            (make_run(target), "Another run is at work in this folder: process "),
            ([*snakemake, target], "Directory cannot be locked"),
            ([*snakemake, "--unlock"], ""),
            ([*snakemake, target], "rosetta: Another run is at work in this folder: process "),
        ):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert words in done.stdout + done.stderr
            assert bool(done.returncode) == bool(words)
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    said = first.communicate(timeout=300)[0].decode()
    assert first.returncode == 0, said
    manifest = folder / target
    check_files(manifest.with_suffix(""), read_manifest(manifest, "tokenizer")["files"], manifest)
