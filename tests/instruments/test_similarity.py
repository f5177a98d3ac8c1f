"""The calibrated similarity: against its definition, and of models that share nothing."""

import numpy as np
import pytest
import torch

from rosetta.instruments.similarity import one_per_sample, similarity


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
    assert found.n_samples == 40
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


def test_one_position_of_every_sample_is_chosen():
    lengths = np.array([3, 0, 1, 5])
    chosen = one_per_sample(lengths, 0)
    owner = np.repeat(np.arange(4), lengths)
    assert np.bincount(owner[chosen], minlength=4).tolist() == [1, 0, 1, 1]
    several = [one_per_sample(lengths, seed) for seed in range(20)]
    assert len({tuple(one) for one in several}) > 1
