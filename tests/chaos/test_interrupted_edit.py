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


def written(path):
    return path.stat().st_mtime_ns if path.exists() else None


def test_a_kill_after_an_edit_leaves_no_stale_result_for_a_good_one(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "p", symlinks=True)
    edited = {
        **TINY,
        "results": "results",
        "activations": {**TINY["activations"], "sequence_length": 24},
    }
    wanted = jobs_of(run_snakemake(folder, "-n", config=edited))
    assert wanted["train_and_profile"] == 5
    first, second = (folder / STORES / f"{shard}.json" for shard in (0, 1))
    # The manifests, not their digests: these are written first. A job begins by removing both.
    made = {path: written(path) for path in (first, second)}

    log = folder / "results" / "logs" / "train_and_profile" / "opt-s.log"
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
    # The job is killed between two of its pieces.
    while written(first) in (None, made[first]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(
        [sys.executable, "workflow/scripts/unlock.py"], cwd=folder, check=True, capture_output=True
    )
    assert written(second) in (None, made[second]), "killed too late"
    assert jobs_of(run_snakemake(folder, "-n")) == wanted
    run_snakemake(folder, f"{STORES}/1.json")
    done = log.read_text().splitlines()
    assert {"activations opt-s 0: there already", "activations opt-s 1"} <= set(done)
    assert written(second) > made[second]
