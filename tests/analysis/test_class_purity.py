"""Purity of top samples, and by chance against all draws."""

from itertools import combinations

import numpy as np
import pytest

from rosetta.analysis.class_purity import chance_purity, class_purity


def test_purity_is_the_share_of_the_commonest_class():
    domain = np.array([[0, 1, 2], [0, 2, 0], [0, 1, 1], [2, 1, 0]])
    assert class_purity(domain, 4).tolist() == [0.75, 0.75, 0.5]


@pytest.mark.parametrize("totals", [[3, 4], [1, 1, 1, 5], [2, 0, 6], [6]])
@pytest.mark.parametrize("n", [1, 3, 5])
def test_chance_is_the_mean_over_all_draws(totals, n):
    domain = np.repeat(np.arange(len(totals)), totals)
    draws = [
        np.bincount(domain[list(draw)]).max() / n for draw in combinations(range(len(domain)), n)
    ]
    assert chance_purity(totals, n) == pytest.approx(np.mean(draws))


def test_all_samples_are_as_pure_as_they_are():
    assert chance_purity([3, 4, 1], 8) == 0.5


def test_chance_of_many_classes_is_that_of_drawing():
    rng = np.random.default_rng(0)
    totals = rng.integers(20, 80, size=24)
    domain = np.repeat(np.arange(24), totals)
    drawn = [np.bincount(rng.choice(domain, 20, replace=False)).max() / 20 for _ in range(4000)]
    error = np.std(drawn) / np.sqrt(len(drawn))
    assert chance_purity(totals.tolist(), 20) == pytest.approx(np.mean(drawn), abs=5 * error)
