"""Histograms of sampled activations, against NumPy's."""

import numpy as np
import pytest

from rosetta.analysis.histograms import (
    HIGH,
    LOW,
    MOST_POINTS,
    MOST_SAMPLED,
    N_BINS,
    sampled_positions,
    standard_histograms,
)


def test_values_are_counted_in_their_own_standard_deviations():
    rng = np.random.default_rng(0)
    values = rng.standard_gamma(0.3, (4, 5000)) * [[1], [1000], [1e-6], [0]] + [[5], [0], [0], [3]]
    found = standard_histograms(values.astype(np.float32))
    for counts, row in zip(found[:3], values.astype(np.float32).astype(float), strict=False):
        standard = (row - row.mean()) / row.std()
        inside = np.clip(standard, LOW, np.nextafter(HIGH, LOW))  # the outermost bins are open
        expected, _ = np.histogram(inside, bins=N_BINS, range=(LOW, HIGH))
        np.testing.assert_array_equal(counts, expected)
        assert sum(counts) == 5000
        assert counts[-1] > 0
    assert found[3] == [], "it never changes"
    assert standard_histograms(np.empty((2, 0), np.float32)) == [[], []]


@pytest.mark.parametrize(
    ("n_positions", "n_neurons", "n_sampled"),
    [
        (100, 5, 100),
        (0, 5, 0),
        (MOST_SAMPLED, 500, MOST_SAMPLED),
        (10**7, 500, MOST_SAMPLED),
        (MOST_SAMPLED + 100, 500, MOST_SAMPLED + 100),
        (10**7, 20_000, MOST_POINTS // 20_000),
        (10**7, 10**8, 1),
    ],
)
def test_the_sample_is_spread_evenly_and_bounded(n_positions, n_neurons, n_sampled):
    positions = sampled_positions(n_positions, n_neurons)
    assert len(positions) <= n_sampled
    assert len(positions) * n_neurons <= max(MOST_POINTS, n_neurons)
    assert (np.diff(positions) > 0).all()
    if n_positions <= MOST_SAMPLED:
        assert positions.tolist() == list(range(n_positions))
    elif len(positions) > 16:
        assert positions[0] == 0
        assert positions[-1] == n_positions - 1
        quarters = np.bincount(positions * 4 // n_positions)
        assert quarters.min() > 0.7 * len(positions) / 4
