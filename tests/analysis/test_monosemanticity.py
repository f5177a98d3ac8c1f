"""Monosemanticity scores, against the double loop over pairs of images."""

import numpy as np
import pytest

from rosetta.analysis.monosemanticity import SimilaritySums, monosemanticity


def by_loop(scores, embeddings):
    """The definition, pair by pair."""
    low, high = scores.min(axis=0), scores.max(axis=0)
    weights = (scores - low) / (high - low)
    weighted, total = np.zeros((2, scores.shape[1]))
    for n in range(len(scores)):
        for m in range(len(scores)):
            if n != m:
                a, b = embeddings[n], embeddings[m]
                lengths = np.linalg.norm(a) * np.linalg.norm(b)
                w = weights[n] * weights[m]
                weighted += w * (a @ b / lengths if lengths else 0.0)
                total += w
    return weighted / total


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    scores = rng.gamma(1.0, size=(40, 6))
    scores[:, 1] = 1e4 + 1e-3 * scores[:, 1]  # hardly changes
    scores[:, 2] -= 5
    scores[1:, 3] *= 1e-6  # almost one image alone
    embeddings = rng.normal(size=(40, 7)) * rng.gamma(1.0, size=(40, 1))
    embeddings[5] = 0  # without a direction
    return scores, embeddings + 0.3


def test_scores_are_those_of_the_double_loop(images):
    scores, embeddings = images
    embeddings[5] = 0
    expected = by_loop(scores, embeddings)
    np.testing.assert_allclose(monosemanticity(scores, embeddings), expected, rtol=1e-7)
    scaled = monosemanticity(3 * scores - 2, 10 * embeddings)
    np.testing.assert_allclose(scaled, expected, rtol=1e-7)


@pytest.mark.parametrize("size", [1, 3, 39])
def test_batches_do_not_matter(images, size):
    scores, embeddings = images
    sums = SimilaritySums(6, 7)
    for low in range(0, 40, size):
        sums.add(scores[low : low + size], embeddings[low : low + size])
    sums.add(scores[:0], embeddings[:0])
    np.testing.assert_allclose(sums.scores(), by_loop(scores, embeddings), rtol=1e-7)


def test_a_neuron_that_fires_on_equal_images_has_the_score_1_and_others_that_of_all_pairs():
    embeddings = np.repeat(np.eye(4), 5, axis=0)  # four kinds of images
    kind = np.repeat(np.arange(4), 5)
    one, two = (np.isin(kind, of).astype(float) for of in ([2], [0, 3]))
    scores = np.stack([one, two, np.full(20, 0.5), np.arange(20) == 3], axis=1)
    found = monosemanticity(scores, embeddings)
    pairs = 2 * 5 * 4 / (10 * 9)  # of the ten images of two kinds
    np.testing.assert_allclose(found[:2], [1.0, pairs])
    assert np.isnan(found[2:]).all(), "no pair of images has a weight"
    sums = SimilaritySums(4, 4)
    sums.add(scores, embeddings)
    assert sums.mean_similarity() == pytest.approx(4 * 5 * 4 / (20 * 19))
