"""A run after an edit is killed half way: what the edit concerns and was not made yet is still
known to be stale.
"""

import os
import shutil
import signal
import subprocess
import sys
import time

from workflow_runs import TINY, jobs_of, run_snakemake

STORES = "results/activations/opt-s/2-shards"


def test_a_kill_after_an_edit_leaves_no_stale_result_for_a_good_one(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "p", symlinks=True)
    edited = {
        **TINY,
        "results": "results",
        "activations": {**TINY["activations"], "sequence_length": 24},
    }
    wanted = jobs_of(run_snakemake(folder, "-n", config=edited))
    assert wanted["activations"] == 10
    run_snakemake(folder, f"{STORES}/0.json")

    log = folder / "results" / "logs" / "activations" / "opt-s.1-of-2.log"
    before = log.stat().st_mtime_ns
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--configfile",
        "run.yaml",
        "--cores",
        "1",
        f"{STORES}/1.json",
    ]
    process = subprocess.Popen(
        command, cwd=folder, start_new_session=True, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while (
        not log.exists() or log.stat().st_mtime_ns == before
    ):  # Snakemake removes it before the job begins it again
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(
        [sys.executable, "workflow/scripts/unlock.py"], cwd=folder, check=True, capture_output=True
    )
    assert not (folder / STORES / "1.json").exists()
    assert jobs_of(run_snakemake(folder, "-n")) == {**wanted, "activations": 9}
