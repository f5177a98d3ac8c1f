"""The calibrated similarity: against its definition, and of models that share nothing."""

import numpy as np
import pytest
import torch

from rosetta.instruments.similarity import one_per_cluster, similarity


def layers(rng, n, *widths):
    return torch.from_numpy(np.hstack([rng.normal(size=(n, width)) for width in widths]))


def test_the_score_is_the_largest_linear_cka():
    rng = np.random.default_rng(0)
    a, b = layers(rng, 40, 6, 6), layers(rng, 40, 4, 4)
    b[:, 4:] += a[:, :4]

    def cka(x, y):
        x, y = (side - side.mean(axis=0) for side in (x.numpy(), y.numpy()))
        return np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))

    expected = max(cka(x, y) for x in a.split(6, dim=1) for y in b.split(4, dim=1))
    found = similarity((a, b), (6, 4), 19, 0)
    assert found.score == pytest.approx(expected)
    assert found.n_clusters == 40
    assert found.p == 1 / 20
    assert found.calibrated == pytest.approx(
        (found.score - found.threshold) / (1 - found.threshold)
    )


@pytest.mark.parametrize("widths", [(5,), (200,), (60, 60, 60, 60)])
def test_chance_is_zero_at_every_width_and_depth(widths):
    """Uncalibrated, wide and deep models that share nothing look alike."""
    rng = np.random.default_rng(1)
    found = [
        similarity((layers(rng, 30, *widths), layers(rng, 30, *widths)), (widths[0],) * 2, 39, seed)
        for seed in range(30)
    ]
    assert np.mean([one.p <= 0.05 for one in found]) <= 0.2
    assert np.mean([one.calibrated for one in found]) < 0.02
    if sum(widths) > 100:
        assert np.mean([one.score for one in found]) > 0.5


def test_a_copy_is_wholly_alike():
    rows = layers(np.random.default_rng(2), 30, 8)
    found = similarity((rows, rows * 3 + 1), (8, 8), 19, 0)
    assert found.score == pytest.approx(1)
    assert found.calibrated == pytest.approx(1)


def test_a_dead_layer_is_like_nothing():
    rows = torch.ones((20, 4), dtype=torch.float64)
    found = similarity((rows, rows), (4, 4), 19, 0)
    assert (found.score, found.calibrated, found.p) == (0, 0, 1)


def test_one_position_of_every_cluster_is_chosen():
    lengths = np.array([3, 0, 1, 5, 2, 0])
    clusters = np.array(["x", "x", "y", "x", "z", "w"])
    owner = np.repeat(clusters, lengths)
    several = [one_per_cluster(lengths, clusters, seed) for seed in range(300)]
    assert all(sorted(owner[chosen]) == ["x", "y", "z"] for chosen in several)
    often = np.mean(several, axis=0)[owner == "x"]
    np.testing.assert_allclose(often, 1 / 8, atol=0.08)


def test_of_very_many_clusters_some_are_chosen(monkeypatch):
    """As often those of many positions as those of few."""
    monkeypatch.setattr("rosetta.instruments.similarity.MOST_CLUSTERS", 2)
    lengths, clusters = np.array([50, 1, 1, 1]), np.array(list("abcd"))
    owner = np.repeat(clusters, lengths)
    several = [one_per_cluster(lengths, clusters, seed) for seed in range(300)]
    assert {chosen.sum() for chosen in several} == {2}
    assert np.mean([("a" in owner[chosen]) for chosen in several]) == pytest.approx(0.5, abs=0.1)
