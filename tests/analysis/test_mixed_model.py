"""Regression of counts with random effects: Poisson's regression as its limit, least squares of
logarithms as the other, classical degrees of freedom, and its own equations.
"""

import numpy as np
import pytest
from scipy import stats

from rosetta.analysis.mixed_model import fit_mixed


def members(labels):
    return (np.asarray(labels)[:, None] == np.unique(labels)).astype(float)


def poisson_regression(design, counts, offset):
    """Iterated weighted least squares; coefficients and their covariance."""
    beta = np.linalg.lstsq(design, np.log(counts + 0.5) - offset, rcond=None)[0]
    for _ in range(100):
        means = np.exp(offset + design @ beta)
        information = design.T @ (means[:, None] * design)
        beta = beta + np.linalg.solve(information, design.T @ (counts - means))
    return beta, np.linalg.inv(information)


@pytest.mark.parametrize("typical", [0.4, 5.0, 300.0], ids=["mostly 0", "some", "many"])
def test_without_variances_it_is_poisson_regression(typical):
    rng = np.random.default_rng(1)
    x, offset = np.linspace(-1, 1, 30), rng.normal(0, 0.3, 30)
    design = np.column_stack([np.ones(30), x])
    counts = rng.poisson(typical * np.exp(offset + 0.7 * x)).astype(float)
    assert (counts == 0).sum() > 10 or typical > 1
    found = fit_mixed(design, counts, [np.eye(30)], offset, np.zeros(1))
    beta, covariance = poisson_regression(design, counts, offset)
    assert found.coefficients == pytest.approx(beta, abs=1e-7)
    assert found.model.weighting.covariance == pytest.approx(covariance, rel=1e-6)


def crossed(seed, typical):
    """Counts of pairs of 5 and 4 trainings."""
    rng = np.random.default_rng(seed)
    first, second = np.repeat(np.arange(5), 4), np.tile(np.arange(4), 5)
    x = rng.normal(size=20)
    logs = np.log(typical) + 0.5 * x + rng.normal(0, 0.4, 5)[first] + rng.normal(0, 0.4, 4)[second]
    design = np.column_stack([np.ones(20), x])
    factors = [np.eye(20), np.hstack([members(first), members(second)])]
    return design, rng.poisson(np.exp(logs)).astype(float), factors


@pytest.mark.parametrize("typical", [0.7, 8.0, 500.0])
def test_the_quasi_score_is_0(typical):
    """Xᵀ diag(μ) Cov⁻¹ (y − μ) with the covariance of the counts as it is defined."""
    design, counts, factors = crossed(2, typical)
    found = fit_mixed(design, counts, factors)
    means = np.exp(design @ found.coefficients)
    relative = sum(
        theta * factor @ factor.T
        for theta, factor in zip(found.model.variances, factors, strict=True)
    )
    covariance = np.diag(means) + np.outer(means, means) * relative
    score = design.T @ np.diag(means) @ np.linalg.solve(covariance, counts - means)
    assert score == pytest.approx(np.zeros(2), abs=1e-6 * counts.sum())


def test_counts_without_scatter_of_their_own_have_no_variances():
    counts = np.full(12, 40.0)
    found = fit_mixed(np.ones((12, 1)), counts, [np.eye(12), members(np.arange(12) // 3)])
    assert found.model.variances.tolist() == [0.0, 0.0]
    assert found.coefficients == pytest.approx([np.log(40)])
    half, _ = found.half_width(np.ones(1), 3)
    poisson = stats.norm.ppf(0.975) / np.sqrt(counts.sum())
    assert half >= poisson * (1 - 1e-9), "never narrower than Poisson's"


@pytest.mark.parametrize("zero", ["one", "a training's", "all but one"])
def test_counts_of_0_have_finite_effects(zero):
    design, counts, factors = crossed(0, 20.0)
    counts[
        {"one": slice(0, 1), "a training's": slice(0, 4), "all but one": slice(1, None)}[zero]
    ] = 0
    found = fit_mixed(design[:, :1], counts, factors)
    assert np.isfinite(found.coefficients).all()
    assert np.isfinite(found.model.variances).all()
    half, df = found.half_width(np.ones(1), 7)
    assert 0 < half < np.inf
    assert df >= 7


def large(logs):
    """Counts so large that their logarithms are all that matters."""
    return 1e12 * np.exp(logs)


def test_large_counts_are_those_of_a_model_of_logarithms():
    """Balanced: the mean has the variance and the degrees of freedom of the groups' means."""
    rng, n_groups, n_each = np.random.default_rng(5), 6, 4
    logs = rng.normal(0, 0.02, (n_groups, 1)) + rng.normal(0, 0.01, (n_groups, n_each))
    factors = [np.eye(logs.size), members(np.repeat(np.arange(n_groups), n_each))]
    found = fit_mixed(np.ones((logs.size, 1)), large(logs).ravel(), factors)
    within = logs.var(axis=1, ddof=1).mean()
    between = n_each * logs.mean(axis=1).var(ddof=1)
    assert found.model.variances == pytest.approx([within, (between - within) / n_each], rel=0.02)
    half, df = found.half_width(np.ones(1), 1)
    assert df == pytest.approx(n_groups - 1, rel=1e-3)
    error = logs.mean(axis=1).std(ddof=1) / np.sqrt(n_groups)
    assert half == pytest.approx(stats.t.ppf(0.975, n_groups - 1) * error, rel=0.02)


def test_slopes_between_groups_and_within_have_the_freedom_of_their_strata():
    rng, n_groups, n_each = np.random.default_rng(6), 7, 4
    between, within = np.repeat(np.arange(n_groups), n_each), np.tile(np.arange(n_each), n_groups)
    logs = rng.normal(0, 0.01, n_groups)[between] + rng.normal(0, 0.003, n_groups * n_each)
    design = np.column_stack([np.ones(len(logs)), between - 3, within - 1.5]).astype(float)
    found = fit_mixed(design, large(logs), [np.eye(len(logs)), members(between)])
    line = stats.linregress(np.arange(n_groups), logs.reshape(n_groups, n_each).mean(axis=1))
    half, df = found.half_width(np.array([0.0, 1.0, 0.0]), 1)
    assert df == pytest.approx(n_groups - 2, rel=1e-3)
    assert half == pytest.approx(stats.t.ppf(0.975, n_groups - 2) * line.stderr, rel=0.02)
    centred = logs - logs.reshape(n_groups, n_each).mean(axis=1)[between]
    left = centred - design[:, 2] * (centred @ design[:, 2]) / np.square(design[:, 2]).sum()
    freedom = n_groups * (n_each - 1) - 1
    error = np.sqrt(np.square(left).sum() / freedom / np.square(design[:, 2]).sum())
    half, df = found.half_width(np.array([0.0, 0.0, 1.0]), 1)
    assert df == pytest.approx(freedom, rel=1e-3)
    assert half == pytest.approx(stats.t.ppf(0.975, freedom) * error, rel=0.02)


def test_a_new_value_has_the_variance_of_its_own_effects_too():
    """The prediction interval of one more value of a normal sample: s² (1 + 1/n), n − 1."""
    logs = np.random.default_rng(8).normal(0, 0.02, 9)
    found = fit_mixed(np.ones((9, 1)), large(logs), [np.eye(9)])
    half, df = found.half_width(np.ones(1), 1, own=np.ones(1))
    assert df == pytest.approx(8, rel=1e-3)
    expected = stats.t.ppf(0.975, 8) * logs.std(ddof=1) * np.sqrt(1 + 1 / 9)
    assert half == pytest.approx(expected, rel=0.02)


def test_degrees_of_freedom_are_not_below_the_fewest_and_none_is_no_interval():
    design, counts, factors = crossed(4, 100.0)
    found = fit_mixed(design, counts, factors)
    contrast = np.array([1.0, 0.0])
    assert found.half_width(contrast, 12)[1] >= 12
    assert found.half_width(contrast, 1)[0] >= found.half_width(contrast, 12)[0]
    assert np.isnan(found.half_width(contrast, 0)).all()


def test_the_order_of_counts_and_of_effects_does_not_matter():
    design, counts, factors = crossed(9, 30.0)
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(counts))
    mixed = [factor[rows][:, rng.permutation(factor.shape[1])] for factor in factors]
    one, other = fit_mixed(design, counts, factors), fit_mixed(design[rows], counts[rows], mixed)
    assert other.coefficients == pytest.approx(one.coefficients, abs=1e-5)
    assert other.model.variances == pytest.approx(one.model.variances, abs=1e-5)
    contrast = np.array([0.0, 1.0])
    assert other.half_width(contrast, 3) == pytest.approx(one.half_width(contrast, 3), rel=1e-3)
