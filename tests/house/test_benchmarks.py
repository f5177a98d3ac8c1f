"""Benchmarks run with the interpreter that they are started with, and one of them shows what it was
made to show.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import random_ranges, save_stores

from rosetta.activations.tokens import TokenizedDocument
from rosetta.alignment.spans import TokenRanges, aligned_spans
from rosetta.config.theory import TheorySimulation

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize(
    ("script", "options", "told"),
    [
        ("match.py", ["--run", "float32"], "matches, Jaccard"),
        ("memory.py", ["--budgets", "1"], "peak GB"),
    ],
)
def test_no_environment_needs_to_be_activated(tmp_path, script, options, told):
    rng = np.random.default_rng(0)
    for name in "ab":
        ranges = random_ranges(rng, [600] * 20, truncate=False, max_token=2)
        values = rng.normal(size=(1, len(ranges[0]), 8)).astype(np.float32)
        save_stores(tmp_path / name, values, ranges, 20)
    environment = {**os.environ, "PATH": os.pathsep.join(["/usr/bin", "/bin"])}
    command = [sys.executable, str(BENCHMARKS / script), str(tmp_path), *options]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert told in done.stdout


def test_the_benchmark_of_pooling_runs():
    command = [
        sys.executable,
        str(BENCHMARKS / "pooling.py"),
        "--d-mlp",
        "8",
        "--bytes",
        "9000",
        "--repeat",
        "1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "pooling and centring" in done.stdout


def test_all_sides_work_on_the_same_positions_and_float32_finds_the_float64_matches(tmp_path):
    """The comparison itself stops if the sides disagree on aligned positions."""
    size = ["--layers", "3", "--d-model", "16", "--d-mlp", "24", "--threads", "1"]
    work = ["--tokens", "600", "--length", "64", "--batch", "2", "--memory-gb", "1"]
    sides = ["--sides", "published", "live float32"]
    command = [sys.executable, str(BENCHMARKS / "published.py"), str(tmp_path)]
    done = subprocess.run(
        [*command, *size, *work, *sides], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    told = {line.split("  ")[0]: line for line in map(str.strip, done.stdout.splitlines())}
    assert told["live float32"].endswith("100.00%")
    assert told["published"].endswith("%")
    assert not list(tmp_path.iterdir()), "models and stores are removed"


def test_spans_found_in_a_loop_are_those_of_the_package():
    method, rng = load("published_method"), np.random.default_rng(0)
    for _ in range(50):
        n_bytes = int(rng.integers(1, 60))
        ids, starts, ends, owners = zip(
            *(random_ranges(rng, [n_bytes], special=special) for special in (True, False)),
            strict=True,
        )
        documents = [TokenizedDocument(*arrays) for arrays in zip(ids, starts, ends, strict=True)]
        bytes_of = [end > start for start, end in zip(starts, ends, strict=True)]
        ranges = [
            TokenRanges(owner[has], start[has], end[has])
            for owner, start, end, has in zip(owners, starts, ends, bytes_of, strict=True)
        ]
        aligned = aligned_spans(ranges, 1)
        special = 1  # the first model's special token is before its content
        expected = np.stack(
            [
                aligned.first[0] + special,
                aligned.last[0] + special,
                *aligned.first[1:],
                *aligned.last[1:],
            ],
            axis=1,
        )
        np.testing.assert_array_equal(np.array(method.spans(*documents)), expected)


def load(name):
    """Return a script of the benchmarks as a module."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def spectrum_route():
    return load("spectrum_route")


def test_the_spectrum_is_that_of_the_covariance(spectrum_route):
    """Against NumPy's eigenvalues of the covariance itself, with more neurons than features and
    with fewer.
    """
    rng = np.random.default_rng(0)
    for shape in ((12, 5), (5, 12)):
        loadings = rng.normal(size=shape)
        covariance = loadings @ loadings.T + 0.7**2 * np.eye(len(loadings))
        np.testing.assert_allclose(
            spectrum_route.spectrum(loadings, 0.7), np.linalg.eigvalsh(covariance)[::-1]
        )


def test_why_no_route_reads_beta_off_the_spectrum(spectrum_route):
    """In networks in which the theory holds, at κ = 1, what the slope says of β depends on their
    size.
    """
    sizes, settings = (256, 1024), TheorySimulation()
    found = {
        beta: np.array([spectrum_route.slopes(beta, 1.0, n, settings)[1:] for n in sizes]).T
        for beta in (1.5, 2.0, 2.5)
    }
    for beta, (usual, to_r0) in found.items():
        assert abs(usual[1] - usual[0]) > 0.3, "it drifts with size"
        assert (to_r0 < 0.6 * beta).all(), "with the true r0, it is far below"
    assert np.diff(found[1.5][0]) < 0 < np.diff(found[2.5][0]), (
        "the drift has no one sign that could be corrected"
    )
    assert (found[1.5][0] > found[2.5][0]).all(), "the faster decay looks like the slower one"
