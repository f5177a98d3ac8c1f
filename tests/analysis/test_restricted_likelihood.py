"""Restricted likelihoods against those of error contrasts, and variances against those of balanced
analyses of variance.
"""

import numpy as np
import pytest
from scipy.linalg import null_space
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from rosetta.analysis.restricted_likelihood import Restricted, Weighting, maximise, spread_of

EXACT = 1e10  # means whose own variance, 1/mean, is nothing


def members(labels):
    return (np.asarray(labels)[:, None] == np.unique(labels)).astype(float)


def problem(seed, n=14):
    """A response with an intercept and a slope, own variances, and effects that are crossed."""
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(n), rng.normal(size=n)])
    first, second = np.arange(n) % 4, np.arange(n) // 4
    factors = [np.eye(n), members(first), members(second)]
    effects = [factor @ rng.normal(0, 0.5, factor.shape[1]) for factor in factors]
    return design, design @ [1.0, 2.0] + sum(effects), rng.uniform(2, 40, n), factors


def contrast_likelihood(design, response, means, factors, theta):
    """The log likelihood of what is left of a response beside the design: by definition, REML."""
    contrasts = null_space(design.T)
    covariance = np.diag(1 / means) + sum(t * f @ f.T for t, f in zip(theta, factors, strict=True))
    found = contrasts.T @ covariance @ contrasts
    return multivariate_normal.logpdf(contrasts.T @ response, cov=found)


@pytest.mark.parametrize("seed", range(3))
def test_the_restricted_likelihood_is_that_of_contrasts(seed):
    design, response, means, factors = problem(seed)
    thetas = np.random.default_rng(seed).uniform(0, 1, (4, 3))
    found = [Restricted.of(design, response, means, factors, t).log_likelihood for t in [*thetas]]
    expected = [contrast_likelihood(design, response, means, factors, t) for t in thetas]
    assert np.diff(found) == pytest.approx(np.diff(expected), abs=1e-9), "but for a constant"


def test_the_score_is_the_slope_of_the_likelihood_and_the_information_that_of_contrasts():
    design, response, means, factors = problem(7)
    theta, step = np.array([0.2, 0.5, 0.1]), 1e-5
    found = Restricted.of(design, response, means, factors, theta)
    slopes = [
        (
            contrast_likelihood(design, response, means, factors, theta + step * one)
            - contrast_likelihood(design, response, means, factors, theta - step * one)
        )
        / (2 * step)
        for one in np.eye(3)
    ]
    assert found.score == pytest.approx(slopes, rel=1e-5)
    contrasts = null_space(design.T)
    own = np.diag(1 / means) + spread_of(factors, theta, len(means))
    inverse = np.linalg.inv(contrasts.T @ own @ contrasts)
    parts = [inverse @ contrasts.T @ factor @ factor.T @ contrasts for factor in factors]
    expected = [[np.trace(one @ other) / 2 for other in parts] for one in parts]
    assert found.information == pytest.approx(np.array(expected), rel=1e-8)


def test_weights_are_those_of_generalised_least_squares():
    design, response, means, factors = problem(1)
    spread = spread_of(factors, np.array([0.1, 0.2, 0.3]), len(means))
    found = Weighting.of(design, means, spread)
    covariance = np.diag(1 / means) + spread
    inverse = np.linalg.inv(covariance)
    information = design.T @ inverse @ design
    assert found.inverse == pytest.approx(inverse)
    assert found.covariance == pytest.approx(np.linalg.inv(information))
    expected = np.linalg.solve(information, design.T @ inverse @ response)
    assert found.gain.T @ response == pytest.approx(expected)
    logs = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(information)[1]
    assert found.log_determinants == pytest.approx(logs)


@pytest.mark.parametrize("seed", range(6))
def test_the_maximum_is_that_of_a_general_method(seed):
    """From any start, on the border of θ ≥ 0 too."""
    design, response, means, factors = problem(seed)
    means = means / 20  # own variances that explain most: some θ is 0

    def loss(theta):
        return -contrast_likelihood(design, response, means, factors, theta)

    best = min(
        (
            minimize(loss, start, method="L-BFGS-B", bounds=[(0, None)] * 3)
            for start in (np.full(3, 0.01), np.full(3, 1.0))
        ),
        key=lambda done: done.fun,
    )
    for start in (np.full(3, 0.02), np.array([2.0, 0.0, 0.5])):
        found = maximise(design, response, means, factors, start)
        assert (found.variances >= 0).all()
        assert loss(found.variances) == pytest.approx(best.fun, abs=1e-5)
        assert found.variances == pytest.approx(best.x, abs=5e-3)


def one_way(between, seed=0, n_groups=6, n_each=4):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, between, (n_groups, 1)) + rng.normal(0, 0.3, (n_groups, n_each))
    group = np.repeat(np.arange(n_groups), n_each)
    return values, [np.eye(values.size), members(group)]


def test_variances_of_a_balanced_one_way_layout():
    values, factors = one_way(0.8)
    n_groups, n_each = values.shape
    between = n_each * values.mean(axis=1).var(ddof=1)
    within = values.var(axis=1, ddof=1).mean()
    assert between > within
    ones, means = np.ones((values.size, 1)), np.full(values.size, EXACT)
    found = maximise(ones, values.ravel(), means, factors, np.full(2, 0.02))
    assert found.variances == pytest.approx([within, (between - within) / n_each], rel=1e-5)
    known = np.full(values.size, 50.0)
    found = maximise(ones, values.ravel(), known, factors, np.full(2, 0.02))
    assert found.variances[0] == pytest.approx(within - 1 / 50, rel=1e-5), "beside what is known"
    assert n_groups == 6


def test_groups_that_differ_less_than_by_chance_have_no_variance():
    values, factors = one_way(0.0)
    values -= 0.9 * (values.mean(axis=1, keepdims=True) - values.mean())
    ones, means = np.ones((values.size, 1)), np.full(values.size, EXACT)
    found = maximise(ones, values.ravel(), means, factors, np.full(2, 0.02))
    assert found.variances == pytest.approx([values.var(ddof=1), 0.0], abs=1e-7)
    assert found.score[1] < 0


def test_variances_of_a_balanced_crossed_layout():
    rng = np.random.default_rng(3)
    n, m = 7, 5
    values = rng.normal(0, 0.6, (n, 1)) + rng.normal(0, 0.9, (1, m)) + rng.normal(0, 0.2, (n, m))
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    left = values - rows[:, None] - columns + values.mean()
    own = np.square(left).sum() / ((n - 1) * (m - 1))
    expected = [own, rows.var(ddof=1) - own / m, columns.var(ddof=1) - own / n]
    factors = [
        np.eye(n * m),
        members(np.repeat(np.arange(n), m)),
        members(np.tile(np.arange(m), n)),
    ]
    ones, means = np.ones((n * m, 1)), np.full(n * m, EXACT)
    found = maximise(ones, values.ravel(), means, factors, np.full(3, 0.02))
    assert found.variances == pytest.approx(expected, rel=1e-5)
