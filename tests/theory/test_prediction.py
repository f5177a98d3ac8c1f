"""Predictions of counts, with their intervals, against planted laws."""

import math

import numpy as np
import pytest
from planted_laws import SIZES, planted, polarization

from rosetta.analysis.scaling import scaling_table
from rosetta.config.theory import Theory
from rosetta.theory import comparison, identifiability, prediction
from rosetta.theory.prediction import FIT, Interval


@pytest.mark.parametrize("method", ["fit", "slope"])
@pytest.mark.parametrize("to_size", [600.0, 40_000.0])
def test_prediction_intervals_cover_new_values_as_often_as_they_say(method, to_size):
    rng, covered = np.random.default_rng(1), []
    for _ in range(1000):
        counts = 2 * SIZES**0.6 * np.exp(rng.normal(0, 0.1, 4))
        truth = 2 * to_size**0.6 * math.exp(rng.normal(0, 0.1))
        if method == "fit":
            found = prediction.predict_by_fit(SIZES, counts, to_size)
        else:
            found = prediction.predict_by_slope(SIZES, counts, to_size, Interval(0.6, 0.6, 0.6))
        covered.append(found.low <= truth <= found.high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_an_uncertain_slope_opens_the_interval_with_distance():
    counts = 2 * SIZES**0.6
    near, far = (
        prediction.predict_by_slope(SIZES, counts, x, Interval(0.6, 0.5, 0.8))
        for x in (3_000.0, 300_000.0)
    )
    assert far.value == pytest.approx(2 * 300_000**0.6)
    reach = math.log(300_000) - np.log(SIZES).mean()
    assert math.log(far.high / far.value) == pytest.approx(0.2 * reach)
    assert math.log(far.value / far.low) == pytest.approx(0.1 * reach)
    assert near.high / near.low < far.high / far.low


def test_few_sizes_give_no_interval():
    assert math.isnan(prediction.predict_by_fit([10.0], [3.0], 20).value)
    two = prediction.predict_by_fit([10.0, 20.0], [3.0, 6.0], 40)
    assert two.value == pytest.approx(12)
    assert math.isnan(two.low)
    one = prediction.predict_by_slope([10.0], [3.0], 20, Interval(1.0, 0.9, 1.1))
    assert (one.value, math.isnan(one.high)) == (pytest.approx(6), True)
    assert math.isnan(prediction.predict_by_slope([], [], 20, Interval(1.0, 0.9, 1.1)).value)


def test_leaving_a_size_out_of_an_exact_law_costs_nothing():
    counts, betas = planted()
    table = prediction.leave_one_out(betas, counts)
    assert table.columns.tolist() == prediction.LEAVE_ONE_OUT_COLUMNS
    assert table["method"].value_counts().to_dict() == {FIT: 4, "ngrams": 4}
    np.testing.assert_allclose(table["log_error"], 0, atol=1e-9)
    wrong = prediction.leave_one_out(betas.assign(beta=1.0, ci_low=0.99, ci_high=1.01), counts)
    first = wrong[(wrong["rung"] == 0) & (wrong["method"] == "ngrams")].iloc[0]
    reach = math.log(256) - np.log(SIZES[1:]).mean()
    assert first["log_error"] == pytest.approx(0.5 * reach, rel=0.06), (
        "as by least squares, but for weights"
    )


def test_predictions_beyond_the_ladder():
    counts, betas = planted()
    counts["above_untrained"] = 0.5 * SIZES**0.5
    table = prediction.predict_to(230_400.0, betas, counts, polarization(0.5))
    assert table.columns.tolist() == prediction.PREDICTION_COLUMNS
    by = table.set_index(["method", "quantity", "statistic"])["predicted"]
    for method in (FIT, "ngrams"):
        assert by[method, "count", "plain"] == pytest.approx(3 * 230_400**0.5)
        assert by[method, "count", "above_untrained"] == pytest.approx(0.5 * 230_400**0.5)
        assert by[method, "fraction", "plain"] == pytest.approx(3 * 230_400**-0.5)
        assert by[method, "isolation_gain", "plain"] == pytest.approx(10)
        assert by[method, "selectivity of rosetta", "excess_kurtosis"] == pytest.approx(
            2 * 230_400**0.5
        )
        assert by[method, "selectivity of non_rosetta", "excess_kurtosis"] == pytest.approx(
            2 * 230_400**-0.5
        )
        assert math.isnan(by[method, "selectivity of rosetta", "domain_information"]), (
            "its means are not positive"
        )
    assert not table["quantity"].str.contains("difference").any()
    known = table[table["predicted"].notna()]
    assert (known["ci_low"] <= known["predicted"] * (1 + 1e-9)).all()
    assert (known["predicted"] <= known["ci_high"] * (1 + 1e-9)).all()


def test_no_more_neurons_can_be_shared_than_there_are():
    counts, betas = planted(1.0)
    counts["matches"] = [200.0, 300, 900, 1200]
    table = prediction.predict_to(1e6, betas.assign(ci_low=1.0, ci_high=9.0), counts).set_index(
        ["method", "quantity"]
    )
    assert table.loc[(FIT, "count"), "ci_high"] == 1e6
    assert table.loc[(FIT, "fraction"), "ci_high"] == 1.0


def test_ladders_without_matches_or_of_one_rung_predict_nothing():
    counts, betas = planted()
    for few in (counts.assign(matches=0.0), counts.head(1)):
        table = prediction.predict_to(5000.0, betas, few)
        assert table[table["method"] == FIT]["predicted"].isna().all()
        assert len(prediction.leave_one_out(betas, few)["log_error"].dropna()) == 0
        assert not len(
            identifiability.count_profiles("l", "plain", few["n_neurons"], few["matches"])
        )
    compared = comparison.compare(
        Theory(), betas, scaling_table(counts.head(1)), counts.head(1), polarization(0.5).head(12)
    )
    assert compared[["measured", "overlap", "overlap_resampled"]].isna().all(axis=None)
