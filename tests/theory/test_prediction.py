"""Predictions and their errors against planted laws; sensitivity against differences; the
commands.
"""

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rosetta.analysis.groups import POLARIZATION_COLUMNS
from rosetta.analysis.scaling import scaling_table
from rosetta.cli.app import main
from rosetta.config import load_config
from rosetta.config.theory import Theory
from rosetta.matching.mutual import ROSETTA_COLUMNS
from rosetta.theory import comparison, identifiability, prediction
from rosetta.theory.allocation import AllocationModel, continuum_frontier, continuum_r0
from rosetta.theory.exponents import FINITE_SIZE_COLUMNS
from rosetta.theory.prediction import FIT, Interval
from rosetta.theory.routes import BETA_COLUMNS, BetaEstimate

ROOT = Path(__file__).parents[2]
SIZES = np.array([256.0, 512, 1024, 2304])
PLACE = {"ladder": "l", "rung": 0, "model": "other"}


def planted(alpha=0.5, ladder="l"):
    counts = pd.DataFrame(
        {"ladder": ladder, "rung": range(4), "n_neurons": SIZES, "matches": 3 * SIZES**alpha}
    )
    rows = [
        (ladder, "ngrams", 1 / alpha, 1 / alpha - 0.1, 1 / alpha + 0.1, 8),
        (ladder, "loss", *[math.nan] * 3, 2),
    ]
    return counts, pd.DataFrame(rows, columns=BETA_COLUMNS)


def polarization(slope):
    rows = [
        ("l", rung, group, statistic, mean, 0.9 * mean, 1.1 * mean, 50)
        for rung, size in enumerate(SIZES)
        for group, sign in (
            ("rosetta", 1),
            ("rosetta_above_untrained", 1.5),
            ("non_rosetta", -1),
            ("difference", 0.3),
        )
        for statistic, mean in (
            ("excess_kurtosis", 2.0 * size ** (sign * slope)),
            ("domain_information", rung - 1.0),
            ("fraction_active", 0.3),
        )
    ]
    return pd.DataFrame(rows, columns=POLARIZATION_COLUMNS)


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


def test_comparisons_of_a_larger_group_stand_by_themselves():
    rows = [
        ("a", 0, 1, "b", 0, 3, 0.9),
        ("a", 0, 1, "c", 1, 4, 0.7),
        ("a", 1, 1, "b", 0, 5, 0.5),
        ("a", 1, 1, "b", 0, 6, 0.4),
    ]
    found = comparison.matched_r(pd.DataFrame(rows, columns=ROSETTA_COLUMNS))
    assert {model: r.tolist() for model, r in found.items()} == {"b": [0.9, 0.5], "c": [0.7]}


@pytest.mark.parametrize(
    ("kappa", "gamma"),
    [(1.0, 4.0), (3e3, 0.5), (1e6, 0.5)],
    ids=["r0 < A", "r0 > A", "all features detectable"],
)
def test_elasticities_are_the_slopes(kappa, gamma):
    values, n = {"kappa": kappa, "gamma": gamma, "tau": 2.0}, 200_000
    found = identifiability.elasticities(AllocationModel(1.8, **values), n)
    for name in values:
        low, high = (
            continuum_frontier(AllocationModel(1.8, **{**values, name: values[name] * f}), n).r_tau
            for f in (0.999, 1.001)
        )
        slope = (math.log(high) - math.log(low)) / math.log(1.001 / 0.999)
        assert found[name] == pytest.approx(slope, abs=2e-3), name


def test_the_sensitivity_table_is_the_model():
    theory = Theory.model_validate({"simulation": {"betas": [2.0], "sizes": [500]}})
    table = identifiability.sensitivity_table(theory)
    assert len(table) == 3 * len(identifiability.FACTORS)
    gamma = table[table["parameter"] == "gamma"]
    assert gamma["r_tau"].nunique() == 1, "the count does not depend on γ while r0 < A"
    doubled = table[(table["parameter"] == "kappa") & (table["value"] == 2.0)]["r_tau"].item()
    assert doubled == continuum_frontier(AllocationModel(2.0, kappa=2.0), 500).r_tau


def test_the_bound_of_a_deviance_excludes_the_truth_one_time_in_twenty():
    """A line through n points whose true slope is known: n log(RSS/RSS_min) exceeds the bound in 5%
    of draws.
    """
    rng, x = np.random.default_rng(0), np.arange(4.0) - 1.5
    deviances = []
    for y in rng.normal(size=(4000, 4)):
        y = y - y.mean()
        rest = y - x * (x @ y) / (x @ x)
        deviances.append(4 * math.log((y @ y) / (rest @ rest)))
    assert np.mean(np.array(deviances) > identifiability.deviance_bound(4)) == pytest.approx(
        0.05, abs=0.012
    )
    assert identifiability.deviance_bound(10**6) == pytest.approx(3.8415, abs=1e-3)


def test_counts_tell_beta_but_not_tau():
    model = AllocationModel(1.6, kappa=4.0, tau=3.0)
    sizes = np.geomspace(500, 500_000, 6)
    noise = np.exp(np.random.default_rng(0).normal(0, 0.03, 6))
    counts = np.array([continuum_frontier(model, int(n)).r_tau for n in sizes]) * noise
    profiles = identifiability.count_profiles("l", "plain", sizes, counts).groupby("parameter")
    within = {name: part[part["deviance"] < part["bound"]]["value"] for name, part in profiles}
    assert within["beta"].min() <= 1.6 <= within["beta"].max()
    assert within["beta"].max() - within["beta"].min() < 0.3
    tau = profiles.get_group("tau")
    assert (tau["deviance"] < 3.84).all(), "τ only shifts the height, which κ does too"
    # Only κ/(1 + τ) is told, here 1: κ runs along with τ from one of its bounds to the other.
    assert within["kappa"].min() == pytest.approx(1 + identifiability.TAUS[0], rel=0.35)
    assert within["kappa"].max() == pytest.approx(1 + identifiability.TAUS[-1], rel=0.35)
    assert not len(identifiability.count_profiles("l", "plain", sizes[:2], counts[:2]))


def test_no_match_is_upstream_of_the_prediction(tmp_path):
    """What `theory_beta` needs, by the workflow itself: no correlation, no match, no count."""
    table = tmp_path / "tables" / "theory_beta.csv"
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-n",
        "--cores",
        "1",
        "--configfile",
        "workflow/presets/tiny.yaml",
    ]
    command += ["--config", f"results={tmp_path}", "--", str(table)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    jobs = set(re.findall(r"^(\w+) +\d+$", done.stdout + done.stderr, re.MULTILINE))
    assert {"theory_beta", "theory_ngrams", "train"} <= jobs
    seen = {
        "activations",
        "correlate",
        "nulls",
        "intervals",
        "sweeps",
        "match",
        "anchors",
        "counts",
        "fit",
        "contexts",
        "describe",
    }
    assert not seen & jobs


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run `rosetta theory …` in a folder of its own; return the exit code and what it printed to
    stderr.
    """
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["rosetta", "theory", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code, capsys.readouterr().err

    return run


def test_the_commands_work_by_hand(tmp_path, command):
    counts, betas = planted()
    counts.to_csv(tmp_path / "counts.csv", index=False)
    betas.to_csv(tmp_path / "betas.csv", index=False)
    predict = (
        "predict",
        "--to-size",
        5000,
        "--to-size",
        50000,
        "--betas",
        "betas.csv",
        "--counts",
        "counts.csv",
    )
    code, said = command(*predict, "--out", "predicted.csv")
    assert (code, "polarization.csv: no such table" in said) == (0, True)
    table = pd.read_csv(tmp_path / "predicted.csv")
    assert sorted(table["n_neurons"].unique()) == [5000, 50_000]
    assert set(table["quantity"]) == {"count", "fraction", "isolation_gain"}
    polarization(0.5).to_csv(tmp_path / "polarization.csv", index=False)
    assert command(*predict, "--out", "predicted.csv") == (0, "")
    predicted = pd.read_csv(tmp_path / "predicted.csv")
    assert "selectivity of rosetta" in set(predicted["quantity"])
    (tmp_path / "mine" / "tables").mkdir(parents=True)
    for file, table in (
        ("betas", "theory_beta"),
        ("counts", "counts"),
        ("polarization", "polarization"),
    ):
        (tmp_path / f"{file}.csv").rename(tmp_path / "mine" / "tables" / f"{table}.csv")
    assert command(*predict[:5], "--results", "mine", "--out", "of_a_run.csv") == (0, "")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "of_a_run.csv"), predicted)
    config = ("--config", ROOT / "workflow" / "presets" / "tiny.yaml")
    assert command("simulate", *config, "--beta", 2.5, "--out", "s.csv")[0] == 0
    theory, simulated = (
        load_config(config[1]).theory,
        pd.read_csv(tmp_path / "s.csv").groupby("neurons")["n"],
    )
    assert simulated.apply(list).to_dict() == {
        "served": theory.simulation.sizes,
        "all": theory.whole.sizes,
    }
    assert (
        command("sweep", *config, "--parameter", "n_inputs", "--value", 100, "--out", "w.csv")[0]
        == 0
    )
    assert command("sweep-table", "w.csv", "--out", "sweep.csv", "--exponents", "fits.csv")[0] == 0
    assert pd.read_csv(tmp_path / "fits.csv")["parameter"].unique().tolist() == ["n_inputs"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predict", "--to-size", "100", "--betas", "none.csv"), "none.csv: no such file"),
        (("compare", "--config", "TINY", "--polarization", "none.csv"), "no such file"),
        (
            ("simulate", "--config", "TINY", "--beta", "0.9", "--out", "x.csv"),
            "--beta: must be a number above 1",
        ),
        (
            ("simulate", "--config", "TINY", "--beta", "nan", "--out", "x.csv"),
            "--beta: must be a number above 1",
        ),
        (
            ("sweep", "--config", "TINY", "--parameter", "mu", "--value", "1", "--out", "x.csv"),
            "--parameter: 'mu'",
        ),
        (
            ("sweep", "--config", "TINY", "--parameter", "kappa", "--value", "0", "--out", "x.csv"),
            "theory.kappa",
        ),
        (
            (
                "sweep",
                "--config",
                "TINY",
                "--parameter",
                "n_inputs",
                "--value",
                "12.5",
                "--out",
                "x.csv",
            ),
            "n_inputs",
        ),
        (("predict", "--to-size", "inf"), "--to-size: must be a finite number"),
    ],
)
def test_bad_arguments_get_one_message(command, arguments, message):
    tiny = str(ROOT / "workflow" / "presets" / "tiny.yaml")
    code, printed = command(*(tiny if part == "TINY" else part for part in arguments))
    assert code == 2
    assert message in printed
    assert "Traceback" not in printed
