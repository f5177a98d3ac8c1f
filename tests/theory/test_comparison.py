"""Predicted and measured exponents side by side, and the verdict on them."""

import math

import numpy as np
import pandas as pd
import pytest
from planted_laws import SIZES, planted, polarization

from rosetta.analysis.scaling import scaling_table
from rosetta.config.theory import Theory
from rosetta.matching.mutual import ROSETTA_COLUMNS
from rosetta.theory import comparison, prediction
from rosetta.theory.allocation import continuum_r0
from rosetta.theory.exponents import FINITE_SIZE_COLUMNS
from rosetta.theory.routes import BetaEstimate

PLACE = {"ladder": "l", "rung": 0, "model": "other"}


def test_predicted_and_measured_stand_side_by_side():
    counts, betas = planted()
    table = comparison.compare(Theory(), betas, scaling_table(counts), counts, polarization(0.5))
    assert table.columns.tolist() == comparison.COMPARISON_COLUMNS
    assert set(table["route"]) == {"ngrams"}, "a route without an estimate predicts nothing"
    missing = table[table["statistic"] == "domain_information"]
    assert len(missing) == 3
    assert missing[["measured", "overlap", "overlap_resampled"]].isna().all(axis=None), (
        "a mean of -1 has no power law"
    )
    table = table.drop(missing.index)
    groups = ["rosetta", "rosetta", "rosetta_above_untrained", "non_rosetta"]
    assert table["group"].tolist() == groups, "no difference of groups"
    assert table["quantity"].tolist() == [
        "matches",
        "isolation_rosetta",
        "isolation_rosetta",
        "isolation_rest",
    ]
    assert table["statistic"].tolist() == ["plain", *["excess_kurtosis"] * 3], (
        "no selectivity, no slope"
    )
    np.testing.assert_allclose(table["predicted"], [0.5, 0.5, 0.5, -0.5])
    np.testing.assert_allclose(table["measured"], [0.5, 0.5, 0.75, -0.5])
    assert (table["predicted_ci_low"] <= table["predicted"]).all()
    assert (table["predicted"] <= table["predicted_ci_high"]).all()
    assert table["overlap"].tolist() == [True, True, False, True]
    assert table["overlap_resampled"].tolist() == [None, True, False, True], (
        "no half-samples of these counts"
    )
    said = " ".join(comparison.verdict(table, *no_other_tables()))
    assert (
        "rosetta_above_untrained rises with size, as predicted: excess_kurtosis 1 of 1 (1 beyond"
        in said
    )
    assert "non_rosetta falls with size, as predicted: excess_kurtosis 1 of 1 (1 beyond" in said
    ends = [continuum_r0(n, 2.0) for n in SIZES]
    slope = np.polyfit(np.log(SIZES), np.log(ends), 1)[0]
    assert table["predicted_at_sizes"][0] == pytest.approx(slope)
    assert slope < 0.5


def test_every_statistic_is_compared_with_its_own_law_and_intervals():
    """Counts above a null keep another exponent than all matches, and half-samples give each its
    own interval.
    """
    counts, betas = planted(0.5)
    counts["above_untrained"] = 0.1 * SIZES**0.9
    replicates = pd.DataFrame(
        [
            ("l", rung, statistic, half, factor * size**alpha)
            for rung, size in enumerate(SIZES)
            for statistic, alpha, factor in (("plain", 0.5, 3.0), ("above_untrained", 0.9, 0.1))
            for half in range(6)
        ],
        columns=["ladder", "rung", "statistic", "half_sample", "matches"],
    )
    table = comparison.compare(
        Theory(), betas, scaling_table(counts, replicates), counts
    ).set_index("statistic")
    assert table.index.tolist() == ["plain", "above_untrained"]
    assert table["group"].tolist() == ["rosetta", "rosetta_above_untrained"]
    np.testing.assert_allclose(table["measured"], [0.5, 0.9])
    np.testing.assert_allclose(table["measured_resampled_low"], [0.5, 0.9])
    assert table["overlap_resampled"].tolist() == [True, False]
    said = " ".join(comparison.verdict(table.reset_index(), *no_other_tables()))
    assert "plain, 95% interval: 1 of 1" in said
    assert "above_untrained, of documents and thresholds: 0 of 1 (not l)" in said


def no_other_tables():
    columns = comparison.MATCHED_R_COLUMNS, prediction.LEAVE_ONE_OUT_COLUMNS, FINITE_SIZE_COLUMNS
    return [pd.DataFrame(columns=names) for names in columns]


def test_what_all_matches_tell_is_read_off_the_simulated_networks():
    counts, betas = planted(0.5)
    table = comparison.compare(Theory(), betas, scaling_table(counts), counts)
    *others, nothing = no_other_tables()
    rows = [
        (beta, neurons, quantity, 1 / beta, 0.0, fitted + (neurons == "served"))
        for beta, all_of_them, right in ((1.25, 0.61, 0.79), (2.0, 0.33, 0.52))
        for neurons in ("served", "all")
        for quantity, fitted in (
            ("matches", all_of_them),
            ("true_matches", right),
            ("matches_above_null", 0.1),
        )
    ]
    simulated = pd.DataFrame(rows, columns=FINITE_SIZE_COLUMNS)
    said = " ".join(comparison.verdict(table, *others, simulated))
    assert (
        "among them are 0.61 and 0.79 where 0.80 is predicted; 0.33 and 0.52 where 0.50 is "
        "predicted." in said
    )
    served_alone = simulated[simulated["neurons"] == "served"]
    for none in (nothing, served_alone):
        assert "whole networks" not in " ".join(comparison.verdict(table, *others, none))
    only_above = table.assign(statistic="above_untrained")
    assert "whole networks" not in " ".join(comparison.verdict(only_above, *others, simulated))


def test_two_rungs_are_judged_by_the_resampled_interval():
    counts, betas = planted(0.5)
    two, laws = counts.iloc[:2], scaling_table(counts.iloc[:2])
    laws["alpha_resampled_low"], laws["alpha_resampled_high"] = 0.45, 0.55
    row = comparison.compare(Theory(), betas, laws, two).iloc[0]
    assert row["overlap"] is None
    assert row["overlap_resampled"]


def test_the_interval_of_a_slope_of_selectivity_is_that_of_resampled_means():
    counts, betas = planted()
    rng, table = np.random.default_rng(0), polarization(0.5)
    table = table[(table["statistic"] == "excess_kurtosis") & (table["group"] == "rosetta")]
    row = comparison.compare(Theory(), betas, scaling_table(counts), counts, table).iloc[1]
    drawn = table["mean"].to_numpy() * (1 + 0.1 / 1.96 * rng.normal(size=(20_000, 4)))
    slopes = np.polyfit(np.log(SIZES), np.log(drawn.T), 1)[0]
    ends = np.quantile(slopes, [0.025, 0.975])
    np.testing.assert_allclose(
        row[["measured_resampled_low", "measured_resampled_high"]].astype(float), ends, atol=0.003
    )


def test_a_route_that_leaves_all_open_is_not_judged():
    counts, betas = planted()
    row = comparison.compare(
        Theory(), betas.assign(ci_low=1.0, ci_high=math.inf), scaling_table(counts), counts
    ).iloc[0]
    assert (row["predicted_ci_low"], row["predicted_ci_high"], row["overlap"]) == (0.0, 1.0, None)


def test_a_flat_spectrum_has_no_slope_at_the_ladders_sizes():
    counts, betas = planted()
    flat = betas.assign(beta=-0.01, ci_low=0.0, ci_high=0.4).head(1)
    row = comparison.compare(Theory(), flat, scaling_table(counts), counts).iloc[0]
    assert (row["predicted"], row["predicted_ci_low"]) == (1.0, 1.0)
    assert math.isnan(row["predicted_at_sizes"])


def test_disagreement_is_said_and_missing_intervals_are_not_judged():
    counts, betas = planted(0.5)
    far = betas.assign(beta=1.25, ci_low=1.2, ci_high=1.3)
    assert comparison.compare(Theory(), far, scaling_table(counts), counts)["overlap"].tolist() == [
        False,
        False,
    ]
    two = counts.iloc[:2]
    judged = comparison.compare(Theory(), betas, scaling_table(two), two)["overlap"]
    assert judged.tolist() == [None]


def test_the_verdict_names_what_disagrees():
    counts, betas = planted(0.5)
    estimates = [BetaEstimate("ngrams", 1.25, 1.2, 1.3, 8)]
    r = 1 - 0.4 * np.random.default_rng(0).random(500) ** 2.0
    sentences = comparison.verdict(
        comparison.compare(
            Theory(),
            betas.assign(beta=1.25, ci_low=1.2, ci_high=1.3),
            scaling_table(counts),
            counts,
        )
        .dropna(subset=["predicted"])
        .head(1),
        pd.DataFrame(comparison.compare_matched_r(PLACE, r, estimates, 0.6)),
        prediction.leave_one_out(betas, counts),
        no_other_tables()[2],
    )
    text = " ".join(sentences)
    assert "plain, 95% interval: 0 of 1 (not l)" in text
    assert "rejected at 5% in 1" in text
    assert "fitted law: half of the counts (plain) are predicted within a factor of 1.00" in text


def test_matched_r_of_the_law_are_recognised():
    """Correlations drawn from the predicted law, by its quantile function."""
    rng = np.random.default_rng(0)
    estimates = [BetaEstimate("ngrams", 2.0, 1.9, 2.1, 3), BetaEstimate("loss", 1.0, 0.9, 1.1, 3)]
    covered, p_values, wrong = [], [], []
    for _ in range(200):
        r = 1 - 0.4 * rng.random(80) ** 2.0  # survival ((1 − r)/0.4)^(1/2)
        right, other = comparison.compare_matched_r(PLACE, np.append(r, [0.1, 0.5]), estimates, 0.6)
        assert right["n"] == 80
        covered.append(right["ci_low"] <= 0.5 <= right["ci_high"])
        p_values.append(right["ks_p"])
        wrong.append(other["ks_p"])
    assert np.mean(covered) == pytest.approx(0.95, abs=0.04)
    assert np.mean(np.array(p_values) < 0.05) < 0.11
    assert np.median(wrong) < 1e-4
    assert right["median_predicted"] == pytest.approx(1 - 0.4 * 0.25)


def test_the_verdict_says_by_what_factor_the_r_miss_the_theory():
    """Matched r that fall off four times as fast as the route says: near the floor, as of neurons
    hardly shared.
    """
    r = 1 - 0.4 * np.random.default_rng(1).random(400) ** 0.5  # α = 2
    estimates = [BetaEstimate("ngrams", 2.0, 1.6, 2.5, 3)]
    rows = [
        row
        for rung in (0, 1)
        for row in comparison.compare_matched_r({**PLACE, "rung": rung}, r, estimates, 0.6)
    ]
    row = rows[1]
    assert row["factor"] == pytest.approx(4.0, rel=0.15)
    assert row["factor_low"] == pytest.approx(row["ci_low"] / (1 / 1.6))
    assert row["factor_high"] == pytest.approx(row["ci_high"] / (1 / 2.5))
    counts, betas = planted()
    compared = comparison.compare(Theory(), betas, scaling_table(counts), counts)
    tables = (
        compared,
        pd.DataFrame(rows),
        prediction.leave_one_out(betas, counts),
        no_other_tables()[2],
    )
    text = " ".join(comparison.verdict(*tables))
    numbers = (
        f"{row['factor']:.1f} ({row['factor_low']:.1f} to {row['factor_high']:.1f}; "
        f"{row['alpha_from_r']:.2f}"
    )
    assert f"on the largest rungs: l with other {numbers} where 0.50 is predicted)" in text
    assert "outside the 95% interval in 2 of all 2 comparisons of two models" in text


def test_a_perfect_and_an_absent_match_are_no_accident():
    estimate = [BetaEstimate("ngrams", 2.0, 1.9, 2.1, 3)]
    assert math.isfinite(
        comparison.compare_matched_r(PLACE, np.array([1.0, 0.9]), estimate, 0.5)[0]["alpha_from_r"]
    )
    row = comparison.compare_matched_r(PLACE, np.array([0.1]), estimate, 0.5)[0]
    assert row["n"] == 0
    assert math.isnan(row["ks"])


def test_comparisons_of_a_larger_group_stand_by_themselves():
    rows = [
        ("a", 0, 1, "b", 0, 3, 0.9),
        ("a", 0, 1, "c", 1, 4, 0.7),
        ("a", 1, 1, "b", 0, 5, 0.5),
        ("a", 1, 1, "b", 0, 6, 0.4),
    ]
    found = comparison.matched_r(pd.DataFrame(rows, columns=ROSETTA_COLUMNS))
    assert {model: r.tolist() for model, r in found.items()} == {"b": [0.9, 0.5], "c": [0.7]}
