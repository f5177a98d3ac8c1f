"""Intervals of means over neurons: how often they cover the truth, and what they are made of,
against SciPy.
"""

import numpy as np
import pytest
from scipy import stats

from rosetta.analysis import bootstrap
from rosetta.analysis.bootstrap import mean_estimate
from rosetta.config import Bootstrap

SETTINGS = Bootstrap(n_resamples=2000)
N_SAMPLES = 2000  # samples of one simulation; they are the columns of one table


def coverage(estimate, truth):
    """The share of samples whose interval holds the truth; one without an interval does not."""
    low, high = estimate.interval()
    return np.mean((low < truth) & (truth < high))


def tolerance(share):
    """Three standard errors of a share of `N_SAMPLES`."""
    return 3 * np.sqrt(share * (1 - share) / N_SAMPLES)


def estimated(values, name="x", **kwargs):
    return mean_estimate(values, Bootstrap(n_resamples=400), name, **kwargs)


# docs/neurons.md states these. Percentile intervals cover 85, 87, 93 and 94% (exp of a normal: a
# skewness of 6).
@pytest.mark.parametrize(("n", "stated"), [(15, 0.90), (45, 0.92), (150, 0.94), (300, 0.94)])
def test_intervals_of_skewed_data_cover_as_often_as_is_stated(n, stated):
    values = np.random.default_rng(0).lognormal(size=(n, N_SAMPLES))
    found = coverage(estimated(values), np.exp(0.5))
    assert stated - tolerance(stated) < found < 0.95 + tolerance(0.95)


@pytest.mark.parametrize("n", [15, 60, 300])
def test_intervals_of_normal_data_cover_95_percent(n):
    found = coverage(estimated(np.random.default_rng(0).normal(size=(n, N_SAMPLES))), 0.0)
    assert found == pytest.approx(0.95, abs=0.01 + tolerance(0.95))


def clustered(rng, n_clusters, n_samples=N_SAMPLES):
    """Skewed values of clusters of one to three, alike within a cluster; their clusters and their
    mean.
    """
    clusters = np.repeat(np.arange(n_clusters), np.arange(n_clusters) % 3 + 1)
    shared = rng.normal(0, 0.8, size=(n_clusters, n_samples))
    return (
        np.exp(shared[clusters] + rng.normal(0, 0.6, size=(len(clusters), n_samples))),
        clusters,
        np.exp(0.5),
    )


@pytest.mark.parametrize(("n_clusters", "stated"), [(15, 0.88), (45, 0.92), (150, 0.94)])
def test_intervals_of_clusters_cover_and_those_that_ignore_them_do_not(n_clusters, stated):
    values, clusters, truth = clustered(np.random.default_rng(1), n_clusters)
    found = coverage(estimated(values, clusters=clusters), truth)
    assert stated - tolerance(stated) < found < 0.95 + tolerance(0.95)
    assert coverage(estimated(values), truth) < found - 0.03


def test_the_mean_kurtosis_is_told_by_no_interval_and_its_logarithm_is():
    """One neuron in fifty is nearly dead: its kurtosis is near the number of tokens."""
    rng = np.random.default_rng(0)
    dead = rng.random((30, N_SAMPLES)) < 0.02
    kurtosis = np.exp(
        np.where(dead, rng.normal(10, 0.5, dead.shape), rng.normal(1.5, 0.8, dead.shape))
    )
    truth = 0.98 * np.exp(1.5 + 0.8**2 / 2) + 0.02 * np.exp(10 + 0.5**2 / 2)
    assert coverage(estimated(kurtosis), truth) < 0.6
    assert coverage(estimated(np.log(kurtosis)), 0.98 * 1.5 + 0.02 * 10) > 0.86 - tolerance(0.86)


def test_intervals_of_weighted_means_and_of_differences_cover():
    rng = np.random.default_rng(2)
    values, clusters, truth = clustered(rng, 60)
    weights = rng.integers(1, 4, size=len(values))
    weighted = estimated(values, weights=weights, clusters=clusters)
    assert coverage(weighted, truth) > 0.92 - tolerance(0.92)
    np.testing.assert_allclose(weighted.value, np.average(values, axis=0, weights=weights))
    others = estimated(rng.lognormal(0, 0.5, size=(400, N_SAMPLES)), "y")
    assert coverage(weighted - others, truth - np.exp(0.125)) > 0.92 - tolerance(0.92)


def test_p_is_below_5_percent_where_the_interval_is_beyond():
    estimate = estimated(np.random.default_rng(3).gamma(1.0, size=(40, N_SAMPLES)))
    low, high = estimate.interval()
    np.testing.assert_array_equal(estimate.p_above(1.0) < 0.05, low > 1)
    np.testing.assert_array_equal(estimate.p_below(1.0) < 0.05, high < 1)
    assert np.mean(estimate.p_above(1.0) < 0.05) < 0.03
    assert np.mean(estimate.p_below(1.0) < 0.05) < 0.06
    normal = estimated(np.random.default_rng(3).normal(0.2, size=(60, 5)))
    t = normal.value / np.sqrt(normal.variance)
    np.testing.assert_allclose(normal.p_above(), np.minimum(2 * stats.t.sf(t, 59), 1), atol=0.08)


def test_the_interval_is_made_of_ratios_of_deviation_to_error():
    """Against resamples drawn and computed one by one."""
    values = np.random.default_rng(4).gamma(1.0, size=80)
    estimate = mean_estimate(values[:, None], SETTINGS, "x")
    error = values.std(ddof=1) / np.sqrt(80)
    assert np.sqrt(estimate.variance[0]) == pytest.approx(error)
    rng, ratios = np.random.default_rng(5), []
    for _ in range(4000):
        drawn = rng.choice(values, 80)
        ratios.append((drawn.mean() - values.mean()) / (drawn.std(ddof=1) / np.sqrt(80)))
    expected = values.mean() - np.quantile(ratios, [0.975, 0.025]) * error
    assert np.array(estimate.interval())[:, 0] == pytest.approx(expected, abs=0.03)
    again = mean_estimate(values[:, None], SETTINGS, "x")
    np.testing.assert_array_equal(estimate.replicates, again.replicates)
    assert not np.array_equal(
        estimate.replicates, mean_estimate(values[:, None], SETTINGS, "y").replicates
    )


def test_absent_values_are_excluded():
    values = np.random.default_rng(0).gamma(1.0, size=(80, 2))
    values[:30, 1] = np.nan
    estimate = mean_estimate(values, SETTINGS, "x")
    assert estimate.n.tolist() == [80, 50]
    np.testing.assert_allclose(estimate.value, [values[:, 0].mean(), values[30:, 1].mean()])
    apart = mean_estimate(values[30:, 1:], SETTINGS, "x")
    np.testing.assert_allclose(estimate.variance[1], apart.variance[0], rtol=0.03)
    np.testing.assert_allclose(
        np.array(estimate.interval())[:, 1], np.array(apart.interval())[:, 0], atol=0.05
    )


def test_clusters_are_resampled_whole():
    """Rows that are copies of each other say no more than one of them."""
    values = np.random.default_rng(0).gamma(1.0, size=(60, 1))
    single = mean_estimate(values, SETTINGS, "x")
    order = np.random.default_rng(2).permutation(180)
    clusters = np.repeat(np.arange(60), 3)[order]
    triple = mean_estimate(np.repeat(values, 3, axis=0)[order], SETTINGS, "x", clusters=clusters)
    np.testing.assert_allclose(triple.interval(), single.interval())


@pytest.mark.parametrize("n", [0, 1, 14, 15])
def test_fewer_clusters_than_stated_have_no_interval(n):
    values = np.random.default_rng(0).gamma(1.0, size=(3 * n, 2))
    values[:3, 1] = np.nan
    estimate = mean_estimate(values, Bootstrap(), clusters=np.repeat(np.arange(n), 3))
    assert np.isfinite(estimate.interval()).all(axis=0).tolist() == [n == 15, False]
    assert np.isfinite(estimate.p_above()).tolist() == [n == 15, False]
    assert np.isnan(estimate.value[0]) == (n == 0)
    lower = Bootstrap(min_clusters=14)
    lowered = mean_estimate(values, lower, clusters=np.repeat(np.arange(n), 3))
    assert np.isfinite(lowered.interval()[0]).tolist() == [n >= 14, n >= 15]


@pytest.mark.parametrize("n_differing", [0, 2])
def test_values_that_hardly_differ_have_no_interval_of_no_width(n_differing):
    """With two of forty apart, every eighth resample has neither, and nothing bounds the mean from
    above.
    """
    values = np.where(np.arange(40) < n_differing, 1.0, 0.1)[:, None]
    estimate = mean_estimate(values, SETTINGS)
    assert np.isnan(estimate.interval()).all()
    assert np.isnan([estimate.p_above(), estimate.p_below()]).all()


def test_many_clusters_are_dealt_into_groups_and_their_intervals_stay(monkeypatch):
    values = np.random.default_rng(0).lognormal(size=(4000, 1))
    grouped = mean_estimate(values, SETTINGS, "x")
    monkeypatch.setattr(bootstrap, "MOST_CLUSTERS", 4000)
    whole = mean_estimate(values, SETTINGS, "x")
    width = np.diff(np.array(whole.interval())[:, 0])
    np.testing.assert_allclose(grouped.interval(), whole.interval(), atol=0.12 * width[0])
    np.testing.assert_array_equal(grouped.value, whole.value)
