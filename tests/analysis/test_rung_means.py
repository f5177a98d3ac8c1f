"""Mean counts of rungs against balanced analyses of variance, and their tables."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rosetta.analysis.replicates import REPLICATE_COLUMNS
from rosetta.analysis.rung_means import RUNG_COLUMNS, rung_means, rung_table

N = 3  # trainings of each model


def groups(counts, n=N):
    """One row per pair of trainings; `counts` of shape (n_rungs, n, n)."""
    rows = [
        (rung, f"a-{rung}~{i}--b-{rung}~{j}", 100.0 * 2**rung, counts[rung][i, j])
        for rung in range(len(counts))
        for i, j in itertools.product(range(n), range(n))
    ]
    return pd.DataFrame(rows, columns=["rung", "models", "n_neurons", "count"])


def planted(seed=0, n_rungs=4, trained=0.02, own=0.01):
    """Logarithms of counts of all pairs of N and N trainings on every rung."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0, trained, (2, n_rungs, N))
    heights = np.arange(n_rungs)[:, None, None]
    return heights + a[:, :, None] + b[:, None, :] + rng.normal(0, own, (n_rungs, N, N))


def mean_squares(logs):
    """Of trainings, both models' together, and of what is left, over all rungs."""
    n_rungs = len(logs)
    centred = logs - logs.mean(axis=(1, 2), keepdims=True)
    rows, columns = centred.mean(axis=2), centred.mean(axis=1)
    left = centred - rows[:, :, None] - columns[:, None, :]
    of_trainings = N * (np.square(rows).sum() + np.square(columns).sum()) / (2 * n_rungs * (N - 1))
    return of_trainings, np.square(left).sum() / (n_rungs * (N - 1) ** 2)


def test_large_counts_have_the_mean_and_the_interval_of_a_balanced_layout():
    """The variance of a mean is 2 σ²_t / N + σ²_e / N², by mean squares (2 MS_t − MS_e) / N²."""
    logs = planted()
    trained, own = mean_squares(logs)
    found = rung_means(groups(1e10 * np.exp(logs)))
    assert found.rungs == [0, 1, 2, 3]
    assert found.means == pytest.approx(1e10 * np.exp(logs.mean(axis=(1, 2))), rel=1e-3)
    variance = (2 * trained - own) / N**2
    freedom = variance**2 / (
        (2 * trained / N**2) ** 2 / (4 * 2 * (N - 1)) + (own / N**2) ** 2 / (4 * (N - 1) ** 2)
    )
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance)
    assert np.log(found.high / found.means) == pytest.approx(np.full(4, half), rel=0.02)
    assert np.log(found.means / found.low) == pytest.approx(np.full(4, half), rel=0.02)


def test_intervals_hold_poissons_error_too():
    found = rung_means(groups(np.full((3, N, N), 4.0)))
    assert found.means == pytest.approx(np.full(3, 4.0), rel=1e-6)
    poisson = stats.norm.ppf(0.975) / np.sqrt(4 * N * N)
    assert (np.log(found.high / found.means) >= poisson * (1 - 1e-9)).all()


def test_means_cover_the_mean_count_as_often_as_they_say():
    """Of 400 intervals at 95%, fewer than 365 hold the mean once in 1000 studies like this. Those
    that take the groups of a rung for independent would fail this.
    """
    n_rungs, trained, own = 4, 0.15, 0.05
    mean = 30.0 * np.exp((2 * trained**2 + own**2) / 2)
    told, blind = [], []
    for seed in range(100):
        logs = planted(seed, n_rungs, trained, own) - np.arange(n_rungs)[:, None, None]
        drawn = np.random.default_rng((seed, 1)).poisson(30.0 * np.exp(logs)).astype(float)
        found = rung_means(groups(drawn))
        told += list((found.low < mean) & (mean < found.high))
        values = drawn.reshape(n_rungs, -1)
        half = stats.t.ppf(0.975, N * N - 1) * values.std(axis=1, ddof=1) / N
        blind += list(np.abs(values.mean(axis=1) - mean) < half)
    least = stats.binom.ppf(1e-3, 400, 0.95) / 400
    assert np.mean(told) >= least
    assert np.mean(blind) < least - 0.05


def test_the_mean_is_that_of_the_counts_of_all_pairs():
    counts = np.random.default_rng(2).poisson(20 * np.exp(planted(trained=0.5, n_rungs=2)))
    found = rung_means(groups(counts.astype(float)))
    assert found.means == pytest.approx(counts.mean(axis=(1, 2)), rel=1e-5)


def test_the_order_of_rows_and_the_names_of_models_do_not_matter():
    table = groups(np.random.default_rng(1).poisson(20, (3, N, N)).astype(float))
    mixed = table.sample(frac=1, random_state=0)
    mixed["models"] = [
        "--".join(m[::-1] for m in name.split("--")[::-1]) for name in mixed["models"]
    ]
    one, other = rung_means(table), rung_means(mixed)
    place = [other.rungs.index(rung) for rung in one.rungs]
    for name in ("means", "low", "high"):
        assert getattr(other, name)[place] == pytest.approx(getattr(one, name), rel=1e-4)


def test_a_rung_without_a_match_has_a_mean_of_0_and_no_interval():
    counts = np.random.default_rng(1).poisson(20, (3, N, N)).astype(float)
    without = counts.copy()
    without[1] = 0
    found, others = rung_means(groups(without)), rung_means(groups(counts[[0, 2]]))
    assert found.means[1] == 0
    assert np.isnan([found.low[1], found.high[1]]).all()
    assert found.means[[0, 2]] == pytest.approx(others.means)
    assert found.high[[0, 2]] == pytest.approx(others.high)
    nothing = rung_means(groups(np.zeros((2, N, N))))
    assert nothing.means.tolist() == [0.0, 0.0]


def test_single_groups_and_counts_that_are_not_known_have_no_interval():
    single = rung_means(groups(np.array([[[7.0]], [[0.0]], [[9.0]]]), n=1))
    assert single.means == pytest.approx([7.0, 0.0, 9.0])
    assert np.isnan([single.low, single.high]).all()
    unknown = np.full((2, N, N), 5.0)
    unknown[0, 0, 0] = np.nan
    assert np.isnan(rung_means(groups(unknown)).means).all()


def test_the_table_tells_groups_trainings_and_the_choice_of_documents():
    counts = 1e4 * np.exp(planted(n_rungs=2))
    table = groups(counts).rename(columns={"count": "matches"}).assign(ladder="l")
    table["above_untrained"] = np.nan
    halves = pd.DataFrame(
        [
            ("l", rung, "plain", half, counts[rung][0, 0] * (1.1 if half % 2 else 0.9), 0.5)
            for rung in range(2)
            for half in range(20)
        ],
        columns=REPLICATE_COLUMNS,
    )
    found, bare = rung_table(table, halves), rung_table(table)
    assert list(found.columns) == RUNG_COLUMNS
    assert found["statistic"].tolist() == ["plain"] * 2, "what is not counted has no row"
    assert found["n_groups"].tolist() == [N * N] * 2
    assert found["n_trainings"].tolist() == [2 * N] * 2
    assert found["n_neurons"].tolist() == [100.0, 200.0]
    expected = rung_means(groups(counts))
    assert found["mean"].to_numpy() == pytest.approx(expected.means)
    assert found["mean_ci_high"].to_numpy() == pytest.approx(expected.high)
    # Halves and complements that differ by 10% have an error of 10%, with 10 degrees of freedom.
    half = stats.t.ppf(0.975, 10) * 0.1
    for end, expected_ratio in (("low", 1 - half), ("high", 1 + half)):
        ratio = (found[f"mean_resampled_{end}"] / found["mean"]).to_numpy()
        assert ratio == pytest.approx([expected_ratio] * 2, rel=1e-3)
    assert bare["mean_resampled_low"].isna().all()
    assert bare["mean_ci_low"].to_numpy() == pytest.approx(expected.low)
