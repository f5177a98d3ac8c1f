"""Predictions of counts, zeros included: against SciPy's likelihood, least squares, and counts that
are drawn again.
"""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import minimize

from rosetta.analysis.count_law import fit_count_law
from rosetta.theory import comparison, identifiability, prediction
from rosetta.theory.exponents import FINITE_SIZE_COLUMNS
from rosetta.theory.prediction import FIT, Interval, predict_by_fit, predict_by_slope, predict_count
from rosetta.theory.routes import BETA_COLUMNS

SIZES = np.array([256.0, 512, 1024, 2304])
FEW = [[0, 1, 1, 6], [3, 0, 9, 40], [29, 45, 79, 139], [200, 90, 900, 800], [0, 0, 2, 7]]
SLOPE = Interval(0.7, 0.7, 0.7)
BETAS = pd.DataFrame([("l", "ngrams", 2.0, 1.9, 2.1, 8)], columns=BETA_COLUMNS)


def table(matches, **columns):
    return pd.DataFrame(
        {"ladder": "l", "rung": range(4), "n_neurons": SIZES, "matches": matches, **columns}
    )


def likeliest(counts, design, offset, dispersion):
    """Coefficients by SciPy's distributions and a general method."""

    def loss(beta):
        mean = np.exp(offset + design @ beta)
        if dispersion == 0:
            return -stats.poisson.logpmf(counts, mean).sum()
        return -stats.nbinom.logpmf(counts, 1 / dispersion, 1 / (1 + dispersion * mean)).sum()

    start = np.append(np.log(np.mean(counts) + 1) - np.mean(offset), np.zeros(design.shape[1] - 1))
    return minimize(
        loss, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 5000}
    ).x


@pytest.mark.parametrize("to_size", [100.0, 1500.0, 40_000.0])
@pytest.mark.parametrize("counts", FEW)
def test_a_predicted_count_is_that_of_the_likeliest_law(counts, to_size):
    """Rungs without matches take part: c · x^α of SciPy's fit, with its own α or a known one."""
    law, counts, x = fit_count_law(SIZES, counts), np.array(counts, float), np.log(SIZES / 1000)
    c, alpha = likeliest(counts, np.column_stack([np.ones(4), x]), 0.0, law.dispersion)
    fitted = predict_count(SIZES, counts, to_size)
    assert fitted.value == pytest.approx(math.exp(c) * (to_size / 1000) ** alpha, rel=0.01)
    known = predict_count(SIZES, counts, to_size, SLOPE)
    for found in (fitted, known):
        assert found.low <= found.value <= found.high


def test_counts_on_a_law_are_continued_at_a_known_slope():
    found = predict_count(SIZES, 3.0 * SIZES**0.7, 40_000.0, SLOPE)
    assert found.value == pytest.approx(3.0 * 40_000.0**0.7, rel=1e-3)


@pytest.mark.parametrize("to_size", [600.0, 40_000.0])
def test_large_counts_are_predicted_as_by_least_squares(to_size):
    rng = np.random.default_rng(0)
    for _ in range(10):
        counts, slope = 1e6 * SIZES**0.7 * np.exp(rng.normal(0, 0.03, 4)), Interval(0.7, 0.68, 0.75)
        pairs = [
            (predict_count(SIZES, counts, to_size), predict_by_fit(SIZES, counts, to_size)),
            (
                predict_count(SIZES, counts, to_size, slope),
                predict_by_slope(SIZES, counts, to_size, slope),
            ),
        ]
        for found, line in pairs:
            assert found.value == pytest.approx(line.value, rel=0.01)
            for end in ("low", "high"):
                sides = [math.log(getattr(one, end) / one.value) for one in (found, line)]
                assert sides[0] == pytest.approx(sides[1], rel=0.06)


@pytest.mark.parametrize("spread", [(0.0, 0.0), (0.4, 0.4), (1.5, 0.5)])
@pytest.mark.parametrize("mean", [0.01, 1.0, 6.0, 500.0])
def test_the_interval_of_a_new_count_is_that_of_drawn_ones(mean, spread):
    """Poisson counts whose log mean is normal to either side; without any spread, Poisson's own
    interval.
    """
    rng = np.random.default_rng(0)
    z = rng.normal(size=400_000) / 1.96
    drawn = rng.poisson(mean * np.exp(z * np.where(z < 0, *spread)))
    found = prediction._new_count(math.log(mean), *spread)
    ends = np.quantile(drawn, [0.025, 0.975], method="inverted_cdf")
    assert (found.low, found.high) == pytest.approx((ends[0], max(ends[1], mean)), rel=0.01)
    if spread == (0.0, 0.0):
        low, high = stats.poisson.ppf([0.025, 0.975], mean)
        assert (found.low, found.high) == pytest.approx((low, max(high, mean)))


@pytest.mark.parametrize("slope", [None, SLOPE], ids=["fitted", "known slope"])
@pytest.mark.parametrize(
    ("c", "dispersion", "to_size"),
    [(0.02, 0.0, 9000.0), (0.01, 0.1, 600.0), (0.2, 0.04, 600.0)],
    ids=str,
)
def test_new_counts_lie_in_the_interval_as_often_as_it_says(c, dispersion, to_size, slope):
    """Small counts, with zeros on the rungs and among the new ones."""
    rng, mean = np.random.default_rng(1), c * np.append(SIZES, to_size) ** 0.7
    scatter = rng.gamma(1 / dispersion, dispersion, (150, 5)) if dispersion else 1.0
    drawn = rng.poisson(mean * scatter, (150, 5)).astype(float)
    found = [predict_count(SIZES, row[:4], to_size, slope) for row in drawn]
    covered = [
        f.low <= new <= f.high
        for f, new in zip(found, drawn[:, 4], strict=True)
        if np.isfinite(f.low)
    ]
    assert len(covered) > 110
    assert np.mean(covered) > 0.92
    if c == 0.01:
        assert (drawn[:, 4] == 0).mean() > 0.2
        assert min(f.low for f in found) == 0


def test_rungs_without_matches_count_in_predictions():
    """Counts of 0, 0, 2 and 7: those with matches alone would be a law of two points, which has no
    interval.
    """
    matches = [0, 0, 2, 7]
    rows = prediction.predict_to(9000.0, BETAS, table(matches)).set_index(["method", "quantity"])
    law = fit_count_law(SIZES, matches)
    count, gain = (rows.loc[(FIT, name)] for name in ("count", "isolation_gain"))
    assert count["predicted"] == pytest.approx(law.heights[""] * 9000**law.alpha, rel=1e-6)
    assert gain["predicted"] == pytest.approx((9000 / 2304) ** (1 - law.alpha))
    assert gain["ci_high"] == pytest.approx((9000 / 2304) ** (1 - law.alpha + law.half_width))
    assert (
        abs(math.log(count["predicted"] / predict_count(SIZES[2:], matches[2:], 9000.0).value))
        > 0.2
    )
    known = predict_count(SIZES, matches, 9000.0, Interval(0.5, 1 / 2.1, 1 / 1.9))
    expected = [known.value, known.low, known.high]
    assert rows.loc[
        ("ngrams", "count"), ["predicted", "ci_low", "ci_high"]
    ].tolist() == pytest.approx(expected)
    assert (
        known.value
        < 0.7 * predict_count(SIZES[2:], matches[2:], 9000.0, Interval(0.5, 0.5, 0.5)).value
    )


def test_an_uncertain_slope_opens_the_interval_of_a_count_with_distance():
    counts = 2e6 * SIZES**0.6
    near, far = (
        predict_count(SIZES, counts, x, Interval(0.6, 0.5, 0.8)) for x in (3_000.0, 300_000.0)
    )
    reach = math.log(300_000) - np.log(SIZES).mean()
    assert far.value == pytest.approx(2e6 * 300_000**0.6, rel=1e-3)
    # Counts without scatter weigh as Poisson's, by their means.
    reach = math.log(300_000) - np.average(np.log(SIZES), weights=counts)
    assert math.log(far.high / far.value) == pytest.approx(0.2 * reach, rel=0.02)
    assert math.log(far.value / far.low) == pytest.approx(0.1 * reach, rel=0.02)
    assert near.high / near.low < far.high / far.low


def test_too_few_counts_give_no_interval_or_nothing():
    two = predict_count([10.0, 20.0], [3.0, 6.0], 40)
    assert (two.value, math.isnan(two.low)) == (pytest.approx(12), True)
    one = predict_count([10.0], [3.0], 20, Interval(1.0, 0.9, 1.1))
    assert (one.value, math.isnan(one.high)) == (pytest.approx(6), True)
    for counts, slope in (
        ([], SLOPE),
        ([], None),
        ([0.0] * 4, SLOPE),
        ([0.0, 0, 0, 5], None),
        ([np.nan, 2, 3, 4], SLOPE),
    ):
        assert math.isnan(predict_count(SIZES[: len(counts)], counts, 5000.0, slope).value)


def test_every_rung_is_left_out_once_also_those_without_matches():
    rows = prediction.leave_one_out(BETAS, table([0.0, 2.0, 5.0, 9.0]))
    assert rows.groupby("method")["rung"].apply(list).to_dict() == {
        FIT: [0, 1, 2, 3],
        "ngrams": [0, 1, 2, 3],
    }
    empty = rows[rows["rung"] == 0]
    assert empty["measured"].tolist() == [0.0, 0.0]
    assert empty["log_error"].isna().all()
    assert empty["covered"].tolist() == [True, True]
    assert (empty["ci_low"] == 0).all()
    assert rows[rows["rung"] > 0]["log_error"].notna().all()
    fitted = rows[(rows["method"] == FIT) & (rows["rung"] == 3)].iloc[0]
    law = fit_count_law(SIZES[:3], [0, 2, 5])
    assert fitted["predicted"] == pytest.approx(law.heights[""] * 2304**law.alpha, rel=1e-6), (
        "with the rung of 0"
    )
    many = prediction.leave_one_out(BETAS, table([0.0, 200.0, 300.0, 450.0]))
    assert many[many["rung"] == 0]["covered"].tolist() == [False, False], (
        "a count of 0 may lie outside"
    )


def test_a_rung_whose_threshold_cannot_be_read_is_not_judged():
    rows = prediction.leave_one_out(
        BETAS, table([9, 9, 9, 9], above_untrained=[np.nan, 2.0, 5.0, 9.0])
    )
    above = rows[rows["statistic"] == "above_untrained"]
    first = above["rung"] == 0
    assert len(above) == 8
    assert above[first]["predicted"].notna().all()
    assert above[first]["covered"].isna().all()
    assert above[~first]["predicted"].isna().all(), (
        "the other rungs would lack one that was not counted"
    )


def test_sentences_count_rungs_without_matches():
    compared = pd.DataFrame(columns=comparison.COMPARISON_COLUMNS)
    matched_r = pd.DataFrame(columns=comparison.MATCHED_R_COLUMNS)
    simulated = pd.DataFrame(columns=FINITE_SIZE_COLUMNS)

    def said(matches):
        left_out = prediction.leave_one_out(BETAS, table(matches))
        return " ".join(comparison.verdict(compared, matched_r, left_out, simulated))

    assert "ngrams: half of the counts (plain) are predicted within a factor of" in said(
        [0.0, 2.0, 5.0, 9.0]
    )
    assert "of 4 lie inside" in said([0.0, 2.0, 5.0, 9.0])
    assert "are predicted within no factor, for want of matches, and" in said([0.0, 0.0, 5.0, 9.0])


def test_rungs_with_matches_alone_tell_no_parameters():
    counts = np.array([0.0, 40, 60, 90, 130])
    sizes = np.append(128.0, SIZES)
    assert not len(identifiability.count_profiles("l", "plain", sizes, counts))
    assert len(identifiability.count_profiles("l", "plain", sizes[1:], counts[1:]))
