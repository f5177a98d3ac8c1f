"""Scaling fits against SciPy-free references and planted laws; the plan."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rosetta.analysis.scaling import SCALING_COLUMNS, fit_power_law, scaling_table
from rosetta.config import load_config
from rosetta.moments import Moments
from rosetta.paths import Paths
from rosetta.planning import plan_run

ROOT = Path(__file__).parent.parent


@given(alpha=st.floats(-1, 2), c=st.floats(0.01, 100), n=st.integers(3, 8))
def test_a_planted_law_is_recovered(alpha, c, n):
    x = np.geomspace(200, 2_000_000, n)
    law = fit_power_law(x, c * x**alpha)
    assert law.alpha == pytest.approx(alpha, abs=1e-9)
    assert law.c == pytest.approx(c, rel=1e-6)
    assert law.alpha_ci_high - law.alpha_ci_low == pytest.approx(0, abs=1e-6)


def test_the_interval_is_that_of_least_squares():
    """Against the textbook formulas, with the t quantile of 2 degrees of freedom from a table."""
    x, y = np.array([256.0, 512, 1024, 2304]), np.array([29.0, 50, 78, 149])
    law = fit_power_law(x, y)
    lx, ly = np.log(x), np.log(y)
    slope, intercept = np.polyfit(lx, ly, 1)
    residual = ly - slope * lx - intercept
    error = np.sqrt((residual**2).sum() / 2 / ((lx - lx.mean()) ** 2).sum())
    assert law.alpha == pytest.approx(slope)
    assert law.c == pytest.approx(np.exp(intercept))
    assert law.alpha_ci_low == pytest.approx(slope - 4.302653 * error, rel=1e-6)
    assert law.alpha_ci_high == pytest.approx(slope + 4.302653 * error, rel=1e-6)
    assert law.r2 == pytest.approx(1 - (residual**2).sum() / ((ly - ly.mean()) ** 2).sum())


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    x = np.array([256.0, 512, 1024, 2304])
    laws = [fit_power_law(x, 0.5 * x**0.7 * np.exp(rng.normal(0, 0.1, 4))) for _ in range(2000)]
    covered = np.mean([law.alpha_ci_low < 0.7 < law.alpha_ci_high for law in laws])
    assert abs(covered - 0.95) < 0.02


def test_few_or_empty_rungs_have_no_interval():
    assert np.isnan(fit_power_law([100, 200], [10, 20]).alpha_ci_low)
    assert fit_power_law([100, 200], [10, 20]).alpha == pytest.approx(1)
    flat = fit_power_law([100, 200, 400], [7, 7, 7])
    assert (flat.alpha, flat.alpha_ci_low, flat.alpha_ci_high) == (0, 0, 0)
    assert np.isnan(fit_power_law([100], [10]).alpha)
    assert np.isnan(fit_power_law([100, 100], [10, 20]).alpha)
    law = fit_power_law([100, 200, 400], [0, 20, 40])
    assert (law.n_rungs, law.alpha) == (2, pytest.approx(1))
    counts = pd.DataFrame({"ladder": ["b", "b", "a"], "n_neurons": [10, 20, 10], "matches": [1, 2, 1]})
    table = scaling_table(counts)
    assert list(table.columns) == SCALING_COLUMNS
    assert table["ladder"].tolist() == ["b", "a"]


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 40), max_size=4))
def test_merged_moments_are_those_of_the_whole(seed, cuts):
    values = np.random.default_rng(seed).normal(1e3, 1, size=(40, 3))
    merged = Moments.zeros((3,))
    for part in np.split(values, sorted(cuts)):
        merged = merged.merge(Moments.of(part))
    assert merged.count == 40
    np.testing.assert_allclose(merged.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(merged.std, values.std(axis=0), rtol=1e-9)


def test_the_plan_counts_jobs_and_bytes(tmp_path):
    config = load_config(ROOT / "config.yaml")
    plan = plan_run(config, Paths(tmp_path))
    phases = {phase.name: phase for phase in plan.phases}
    assert phases["training"].jobs == 12
    assert phases["activations"].jobs == 24
    assert phases["correlation"].jobs == 8
    positions = phases["activations"].disk_bytes / (2 * 3 * (256 + 512 + 1024 + 2304))
    assert 40_000 < positions < 90_000
    expected = sum(2 * positions * n * n for n in (256, 512, 1024, 2304)) * 2
    assert phases["correlation"].flops == pytest.approx(expected, rel=1e-4)
    text = plan.render()
    for word in ("training", "FLOPs", "disk GB", "memory GB", "minutes", "2,304 × 2,304"):
        assert word in text
