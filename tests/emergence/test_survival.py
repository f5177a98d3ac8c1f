"""Survival of matches: examples worked by hand, and a simulation of known lifetimes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rosetta.emergence.survival import (
    changes,
    cohorts,
    half_life,
    kaplan_meier,
    lifetimes,
    survival_at,
)

PRESENT = np.array(
    [
        [1, 1, 1, 1],  # lasts
        [1, 1, 0, 0],  # lost at the third step
        [1, 0, 1, 1],  # lost, and there again
        [0, 1, 1, 0],
        [0, 0, 0, 1],  # born at the end
        [0, 0, 0, 0],  # never there
    ],
    bool,
)
TOKENS = np.array([100.0, 200.0, 400.0, 1600.0])


def test_changes_from_step_to_step():
    gained, kept, lost = changes(PRESENT)
    assert np.isnan([gained[0], kept[0], lost[0]]).all()
    assert gained[1:].tolist() == [1, 1, 1]
    assert kept[1:].tolist() == [2, 2, 2]
    assert lost[1:].tolist() == [1, 1, 1]


def test_cohorts_are_by_the_step_of_birth():
    found = cohorts(PRESENT)
    assert found.n_born.tolist() == [3, 1, 0, 1]
    assert found.n_left.tolist() == [[3, 2, 2, 2], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert np.isnan(found.shares[2]).all()
    np.testing.assert_allclose(found.shares[0], [1, 2 / 3, 2 / 3, 2 / 3])


LATER = np.array(
    [
        [1, 1, 1, 0, 0, 0],  # there at the first step, so left out
        [0, 1, 1, 1, 1, 1],  # lasts
        [0, 1, 0, 1, 0, 1],  # misses two looks, and is there again
        [0, 1, 1, 0, 0, 0],  # lost at the fourth step
        [0, 0, 1, 0, 0, 0],  # lost at the fourth step
        [0, 0, 1, 0, 1, 0],  # missing at the last step alone, which is no loss
        [0, 0, 0, 1, 0, 0],  # lost at the step before the last
        [0, 0, 0, 0, 1, 0],  # born when nothing is followed any more
        [0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0],
    ],
    bool,
)


def test_lifetimes_are_doublings_of_the_tokens():
    age, lost = lifetimes(LATER, np.array([100.0, 200.0, 400.0, 1600.0, 3200.0, 6400.0]))
    assert age.tolist() == [4, 4, 3, 2, 3, 1]
    assert lost.tolist() == [False, False, True, True, False, True]


def test_what_misses_the_threshold_now_and_then_is_not_lost():
    """Of matches that last for ever and miss one look in five, those that miss the last two are
    told to be lost.
    """
    present = np.random.default_rng(0).random((20_000, 10)) > 0.2
    age, lost = lifetimes(present, 2.0 ** np.arange(10))
    assert lost.mean() == pytest.approx(0.2**2, abs=4 * np.sqrt(0.04 * 0.96 / len(lost)))
    curve = kaplan_meier(age, lost)
    assert np.isnan(half_life(curve)).all()
    assert curve["survival"].iloc[-1] > 0.94


def test_matches_that_were_there_before_do_not_make_lifetimes_longer():
    """Of those that are lost at a rate of 1/2 per doubling, half are left after 2 ln 2 ones; beside
    them lie matches that last for ever, of which nobody saw when they were born.
    """
    rng, steps = np.random.default_rng(1), np.arange(0, 12, 0.25)
    birth = rng.uniform(0.25, 9, size=4000)[:, None]
    death = birth + rng.exponential(2.0, size=(4000, 1))
    new = (steps >= birth) & (steps < death)
    old = np.ones((4000, len(steps)), bool)
    curve = kaplan_meier(*lifetimes(np.concatenate([new, old]), 2.0**steps))
    value, low, high = half_life(curve)
    assert low <= value <= high
    # A loss is told at the next step. Lives between two steps are not seen, and as the rate is the
    # same at every age, the others are no longer for it.
    assert value == pytest.approx(2 * np.log(2), abs=0.26)


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(2, 6))))
def test_every_match_is_born_once_and_lost_at_most_once(present):
    tokens = 2.0 ** np.arange(present.shape[1])
    age, lost = lifetimes(present, tokens)
    found = cohorts(present)
    assert len(age) == found.n_born[1:-2].sum()
    assert found.n_born.sum() == present.any(axis=1).sum()
    assert found.n_left.sum(axis=0).tolist() == present.sum(axis=0).tolist()
    assert (age >= 1).all()
    gained, kept, gone = changes(present)
    here = present.sum(axis=0)
    assert (gained + kept)[1:].tolist() == here[1:].tolist()
    assert (kept + gone)[1:].tolist() == here[:-1].tolist()
    assert lost.sum() <= np.nansum(gone)


# Weeks in remission of 21 patients on 6-mercaptopurine (Freireich et al. 1963), the textbook
# example of the estimator; + is censored. Survival and standard errors are those in print.
WEEKS = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
RELAPSED = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
PRINTED = {
    6: (0.857, 0.0764),
    7: (0.807, 0.0869),
    10: (0.753, 0.0963),
    13: (0.690, 0.1068),
    16: (0.627, 0.1141),
    22: (0.538, 0.1282),
    23: (0.448, 0.1346),
}


def test_the_textbook_example():
    curve = kaplan_meier(np.array(WEEKS, float), np.array(RELAPSED, bool))
    assert curve["doublings"].tolist() == [0, *PRINTED]
    assert curve["at_risk"].tolist() == [21, 21, 17, 15, 12, 11, 7, 6]
    assert curve["lost"].tolist() == [0, 3, 1, 1, 1, 1, 1, 1]
    for row in curve.iloc[1:].itertuples():
        survival, error = PRINTED[int(row.doublings)]
        assert row.survival == pytest.approx(survival, abs=5e-4)
        # log(−log S) has the standard error of S over S |log S|.
        half = 1.959964 * error / (survival * abs(math.log(survival)))
        assert row.survival_greenwood_low == pytest.approx(survival ** math.exp(half), abs=2e-3)
        assert row.survival_greenwood_high == pytest.approx(survival ** math.exp(-half), abs=2e-3)
    # In print: median 23 weeks, from 13 on; the upper end is not reached.
    value, low, high = half_life(curve)
    assert (value, low) == (23, 13)
    assert math.isnan(high)


def test_where_all_are_lost_the_curve_ends_at_0():
    curve = kaplan_meier(np.array([1.0, 2.0]), np.array([True, True]))
    assert curve["survival"].tolist() == [1, 0.5, 0]
    assert curve["survival_greenwood_low"].isna().tolist() == [True, False, True]
    value, _, high = half_life(curve)
    assert (value, high) == (1, 2)


def test_nothing_is_known_without_matches():
    curve = kaplan_meier(np.empty(0), np.empty(0, bool))
    assert curve[["doublings", "at_risk", "survival"]].to_numpy().tolist() == [[0, 0, 1]]
    assert np.isnan(half_life(curve)).all()


def test_the_share_between_two_losses_is_that_after_the_first():
    curve = kaplan_meier(np.array([1.0, 3.0, 3.0, 4.0]), np.array([True, True, False, False]))
    np.testing.assert_allclose(
        survival_at(curve, np.array([0.0, 0.5, 1.0, 2.9, 3.0, 9.0])), [1, 1, 0.75, 0.75, 0.5, 0.5]
    )


def test_intervals_cover_a_known_lifetime():
    """Of matches that are lost at a rate of 1 per doubling, and censored at random, the interval at
    0.5 doublings holds e^(−0.5) about 19 times in 20.
    """
    rng, inside = np.random.default_rng(0), 0
    for _ in range(400):
        life, seen = rng.exponential(size=60), rng.uniform(0.2, 3.0, size=60)
        curve = kaplan_meier(np.minimum(life, seen), life <= seen)
        row = curve[curve["doublings"] <= 0.5].iloc[-1]
        low, high = row["survival_greenwood_low"], row["survival_greenwood_high"]
        inside += low <= math.exp(-0.5) <= high
    assert 0.92 <= inside / 400 <= 0.98
