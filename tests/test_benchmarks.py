"""The benchmarks run with the interpreter that they are started with, whether its environment is activated or not."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import random_ranges, save_stores

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.mark.parametrize(
    ("script", "options", "told"),
    [("match.py", ["--run", "float32"], "matches, Jaccard"), ("memory.py", ["--budgets", "1"], "peak_gb")],
)
def test_no_environment_needs_to_be_activated(tmp_path, script, options, told):
    rng = np.random.default_rng(0)
    for name in "ab":
        ranges = random_ranges(rng, [600] * 20, truncate=False, max_token=2)
        values = rng.normal(size=(1, len(ranges[0]), 8)).astype(np.float32)
        save_stores(tmp_path / name, values, ranges, 20)
    environment = {**os.environ, "PATH": os.pathsep.join(["/usr/bin", "/bin"])}
    command = [sys.executable, str(BENCHMARKS / script), str(tmp_path), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert told in done.stdout
