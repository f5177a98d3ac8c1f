"""Thresholds of calibrated counts: a smooth tail, one per ladder, their own error inside the
intervals of counts.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rosetta.analysis.intervals import half_sample_error, half_sample_interval
from rosetta.analysis.null_thresholds import CALIBRATING, STATISTICS, LadderNull
from rosetta.analysis.tails import MIN_TAIL, is_readable, tail_quantile
from rosetta.correlation.resample import half_samples

QUANTILE = 0.99
PER_SEED = (50, 90, 130, 240)  # null matches of a seed, by rung
TAILS = {
    "normal": stats.norm(0.1, 0.1),
    "exponential": stats.expon(0, 0.1),
    "heavy": stats.genpareto(0.2, 0, 0.1),
}


def equal(values):
    return np.sort(values), np.full(len(values), 1 / len(values))


@pytest.mark.parametrize("name", TAILS)
def test_a_smooth_tail_tells_the_quantile_better_than_an_order_statistic(name):
    rng, tail = np.random.default_rng(0), TAILS[name]
    smooth, ordered = [], []
    for _ in range(300):
        values, weights = equal(tail.rvs(400, random_state=rng))
        smooth.append(tail_quantile(values, weights, QUANTILE))
        ordered.append(values[int(np.ceil(QUANTILE * 401)) - 1])
    assert np.mean(tail.sf(smooth)) == pytest.approx(1 - QUANTILE, abs=0.002)
    errors = [
        np.sqrt(np.mean(np.square(np.array(found) - tail.ppf(QUANTILE))))
        for found in (smooth, ordered)
    ]
    assert errors[0] < 0.8 * errors[1]


def test_equal_values_and_other_quantiles():
    assert tail_quantile(*equal(np.full(200, 0.3)), QUANTILE) == pytest.approx(0.3)
    values, weights = equal(np.random.default_rng(0).normal(size=20_000))
    for quantile in (0.5, 0.9, 0.999):
        assert tail_quantile(values, weights, quantile) == pytest.approx(
            stats.norm.ppf(quantile), abs=0.1
        )


def test_weights_count_as_repeated_values():
    rng = np.random.default_rng(0)
    values, times = np.sort(rng.normal(size=300)), rng.integers(1, 4, 300)
    repeated = tail_quantile(*equal(np.repeat(values, times)), QUANTILE)
    assert tail_quantile(values, times / times.sum(), QUANTILE) == pytest.approx(repeated, abs=0.02)


def test_a_threshold_needs_ten_values_in_the_tail():
    assert not is_readable(np.empty(0), np.empty(0), QUANTILE)
    enough = 10 * MIN_TAIL + 10
    assert is_readable(*equal(np.arange(enough)), QUANTILE)
    assert not is_readable(*equal(np.arange(enough // 2)), QUANTILE)
    weights = np.ones(enough)
    weights[-5:] = 50.0  # a few values that weigh most of it say little more than their number
    assert not is_readable(np.arange(enough), weights / weights.sum(), QUANTILE)


def test_permuted_positions_calibrate_nothing():
    assert CALIBRATING == ("documents", "untrained")
    assert STATISTICS == ("plain", "above_documents", "above_untrained")


def draw_null(rng, n_seeds, hub=0.05, tail=TAILS["exponential"]):
    """A null whose seeds share hubs: the r of one seed and rung are higher or lower together."""
    rungs = []
    for n in PER_SEED:
        z = tail.rvs((n_seeds, n), random_state=rng) + hub * rng.normal(size=(n_seeds, 1))
        rungs.append(pd.DataFrame({"seed": np.arange(n_seeds).repeat(n), "r": np.tanh(z.ravel())}))
    return LadderNull.of(rungs, list(range(n_seeds)), one_draw=False)


def test_the_threshold_is_one_for_all_rungs_each_of_equal_weight():
    """A rung of high r moves the threshold by its place in the ladder, not by the number of its
    matches.
    """
    rng = np.random.default_rng(0)
    low, high = rng.normal(0.1, 0.02, 4000), rng.normal(0.5, 0.02, 400)
    frames = [pd.DataFrame({"seed": 0, "r": np.tanh(z)}) for z in (low, high)]
    null = LadderNull.of(frames, [0], one_draw=False)
    # Half of the weight is in the second rung, whatever its number, so that 2% of it exceed the
    # threshold.
    assert np.arctanh(null.threshold(QUANTILE)) == pytest.approx(
        stats.norm.ppf(0.98, 0.5, 0.02), abs=0.01
    )


def test_too_few_null_matches_give_no_threshold():
    frame = pd.DataFrame({"seed": [0, 1], "r": [0.2, 0.3]})
    null = LadderNull.of([frame, frame[:0]], [0, 1], one_draw=False)
    assert np.isnan(null.threshold(QUANTILE))
    assert np.isnan(null.redrawn(QUANTILE, 3, "x")).all()
    nothing = LadderNull.of([frame[:0]], [0, 1], one_draw=False)
    assert np.isnan(nothing.threshold(QUANTILE))


def test_one_seed_tells_no_error():
    null = draw_null(np.random.default_rng(0), 1)
    assert np.isfinite(null.threshold(QUANTILE))
    assert np.isnan(null.redrawn(QUANTILE, 3, "x")).all()


def test_a_seed_without_matches_tells_no_error():
    """With two seeds each draw is one of them; of one without a match no threshold is read."""
    whole = draw_null(np.random.default_rng(0), 1)
    null = replace(whole, n_seeds=2)
    assert null.threshold(QUANTILE) == pytest.approx(whole.threshold(QUANTILE))
    assert np.isnan(null.redrawn(QUANTILE, 9, "x")).all()


@pytest.mark.parametrize("n_seeds", [3, 5])
def test_the_error_of_a_threshold_tells_its_spread_over_independent_seeds(n_seeds):
    rng = np.random.default_rng(0)
    nulls = [draw_null(rng, n_seeds) for _ in range(60)]
    centers = np.arctanh([null.threshold(QUANTILE) for null in nulls])
    errors = [
        half_sample_error(np.arctanh(null.redrawn(QUANTILE, 19, str(i))))
        for i, null in enumerate(nulls)
    ]
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(centers.std(ddof=1), rel=0.25)


def test_draws_are_the_same_every_time_and_mirrored_about_the_threshold():
    null = draw_null(np.random.default_rng(0), 5)
    first, again, other = (null.redrawn(QUANTILE, 19, name) for name in ("x", "x", "y"))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    z = np.arctanh(first)
    np.testing.assert_allclose(z[::2] + z[1::2], 2 * np.arctanh(null.threshold(QUANTILE)))


def test_seeds_that_all_rungs_share_are_drawn_together():
    """The rungs' null r move together with the seed; drawn apart, the error would miss that."""
    rng, centers, errors = np.random.default_rng(0), [], {True: [], False: []}
    for i in range(40):
        hubs, frames = rng.normal(0, 0.05, (5, 1)), []
        for n in PER_SEED:
            r = np.tanh(rng.exponential(0.05, (5, n)) + hubs)
            frames.append(pd.DataFrame({"seed": np.arange(5).repeat(n), "r": r.ravel()}))
        for one_draw, found in errors.items():
            null = LadderNull.of(frames, list(range(5)), one_draw=one_draw)
            found.append(half_sample_error(np.arctanh(null.redrawn(QUANTILE, 19, str(i)))))
        centers.append(np.arctanh(null.threshold(QUANTILE)))
    together, apart = (np.sqrt(np.mean(np.square(errors[one_draw]))) for one_draw in (True, False))
    # The highest of five seeds that differ this much has most of the tail, which makes the error
    # rather too large.
    assert 0.8 < together / np.std(centers, ddof=1) < 1.8
    assert apart < 0.7 * together


def test_the_interval_of_a_calibrated_count_covers_the_truth_with_its_threshold_redrawn():
    """Trained matches of many r, seen through the noise of documents; nulls of five seeds with
    hubs.
    """
    rng, keep = np.random.default_rng(1), half_samples(20)
    z = np.linspace(0.1, 1.4, 400)
    noise = 0.01
    truth_null = draw_null(np.random.default_rng(9), 1000)
    limit = np.arctanh(truth_null.threshold(QUANTILE))
    truth = stats.norm.sf(limit, z, noise).sum()
    covered = {"redrawn": 0, "fixed": 0}
    n_runs = 150
    for run in range(n_runs):
        null = draw_null(rng, 5)
        blocks = z + noise * np.sqrt(20) * rng.normal(size=(20, 1))
        halves = np.array([blocks[half].mean(axis=0) for half in keep])
        center = np.arctanh(null.threshold(QUANTILE))
        count = (blocks.mean(axis=0) > center).sum()
        redrawn = np.arctanh(null.redrawn(QUANTILE, len(keep) // 2, str(run)))
        for name, limits in {"redrawn": redrawn, "fixed": np.full(len(keep), center)}.items():
            low, high = half_sample_interval(
                count, (halves > limits[:, None]).sum(axis=1).astype(float)
            )
            covered[name] += low <= truth <= high
    assert covered["redrawn"] / n_runs > 0.88, "93% in 500 runs: the seeds are five"
    assert covered["fixed"] / n_runs < 0.75, "what the interval was with its threshold held fixed"
