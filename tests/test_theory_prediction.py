"""Predictions and their errors against planted laws; sensitivity against differences; the commands."""

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rosetta.analysis.scaling import scaling_table
from rosetta.cli import main
from rosetta.config import load_config
from rosetta.config_theory import Theory
from rosetta.stages import VERSIONS
from rosetta.theory import comparison, identifiability, prediction
from rosetta.theory.allocation import AllocationModel, continuum_frontier, continuum_r0
from rosetta.theory.prediction import FIT, Interval
from rosetta.theory.routes import BETA_COLUMNS, BetaEstimate

ROOT = Path(__file__).parent.parent
SIZES = np.array([256.0, 512, 1024, 2304])


def planted(alpha=0.5, ladder="l"):
    counts = pd.DataFrame({"ladder": ladder, "rung": range(4), "n_neurons": SIZES, "matches": 3 * SIZES**alpha})
    rows = [(ladder, "spectrum", 1 / alpha, 1 / alpha - 0.1, 1 / alpha + 0.1, 8), (ladder, "loss", *[math.nan] * 3, 2)]
    return counts, pd.DataFrame(rows, columns=BETA_COLUMNS)


def polarization(slope):
    rows = [
        ("l", rung, group, "kurtosis", 2.0 * size ** (sign * slope), 0.0, 9.0, 50)
        for rung, size in enumerate(SIZES)
        for group, sign in (("rosetta", 1), ("other", -1))
    ]
    return pd.DataFrame(rows, columns=prediction.POLARIZATION_COLUMNS)


def test_predicted_and_measured_stand_side_by_side():
    counts, betas = planted()
    table = comparison.compare(Theory(), betas, scaling_table(counts), counts, polarization(0.5))
    assert table.columns.tolist() == comparison.COMPARISON_COLUMNS
    assert table["quantity"].tolist() == ["matches", "isolation_rest", "isolation_rosetta"]
    assert set(table["route"]) == {"spectrum"}, "a route without an estimate predicts nothing"
    np.testing.assert_allclose(table["predicted"], [0.5, -0.5, 0.5])
    np.testing.assert_allclose(table["measured"], [0.5, -0.5, 0.5])
    assert (table["predicted_ci_low"] <= table["predicted"]).all()
    assert (table["predicted"] <= table["predicted_ci_high"]).all()
    assert table["overlap"].tolist() == [True] * 3
    ends = [continuum_r0(n, 2.0) for n in SIZES]
    slope = np.polyfit(np.log(SIZES), np.log(ends), 1)[0]
    assert table["predicted_at_sizes"][0] == pytest.approx(slope)
    assert slope < 0.5


def test_disagreement_is_said_and_missing_intervals_are_not_judged():
    counts, betas = planted(0.5)
    far = betas.assign(beta=1.25, ci_low=1.2, ci_high=1.3)
    assert comparison.compare(Theory(), far, scaling_table(counts), counts)["overlap"].tolist() == [False, False]
    two = counts.iloc[:2]
    judged = comparison.compare(Theory(), betas, scaling_table(two), two)["overlap"]
    assert judged.tolist() == [None]


def test_the_verdict_names_what_disagrees():
    counts, betas = planted(0.5)
    estimates = [BetaEstimate("spectrum", 1.25, 1.2, 1.3, 8)]
    r = 1 - 0.4 * np.random.default_rng(0).random(500) ** 2.0
    sentences = comparison.verdict(
        comparison.compare(
            Theory(), betas.assign(beta=1.25, ci_low=1.2, ci_high=1.3), scaling_table(counts), counts
        ).dropna(subset=["predicted"]).head(1),
        pd.DataFrame(comparison.compare_matched_r("l", 0, r, estimates, 0.6)),
        prediction.leave_one_out(betas, counts),
    )  # fmt: skip
    text = " ".join(sentences)
    assert "overlap on 0 of 1 ladders. They disagree on l." in text
    assert "rejected at 5% on 1 of 1 rungs" in text
    assert "fitted law: half of the counts are predicted within a factor of 1.00" in text


def test_matched_r_of_the_law_are_recognised():
    """Correlations drawn from the predicted law, by its quantile function."""
    rng = np.random.default_rng(0)
    estimates = [BetaEstimate("spectrum", 2.0, 1.9, 2.1, 3), BetaEstimate("ngrams", 1.0, 0.9, 1.1, 3)]
    covered, p_values, wrong = [], [], []
    for _ in range(200):
        r = 1 - 0.4 * rng.random(80) ** 2.0  # survival ((1 − r)/0.4)^(1/2)
        right, other = comparison.compare_matched_r("l", 0, np.append(r, [0.1, 0.5]), estimates, 0.6)
        assert right["n"] == 80
        covered.append(right["ci_low"] <= 0.5 <= right["ci_high"])
        p_values.append(right["ks_p"])
        wrong.append(other["ks_p"])
    assert np.mean(covered) == pytest.approx(0.95, abs=0.04)
    assert np.mean(np.array(p_values) < 0.05) < 0.11
    assert np.median(wrong) < 1e-4
    assert right["median_predicted"] == pytest.approx(1 - 0.4 * 0.25)


def test_a_perfect_and_an_absent_match_are_no_accident():
    estimate = [BetaEstimate("spectrum", 2.0, 1.9, 2.1, 3)]
    assert math.isfinite(comparison.compare_matched_r("l", 0, np.array([1.0, 0.9]), estimate, 0.5)[0]["alpha_from_r"])
    row = comparison.compare_matched_r("l", 0, np.array([0.1]), estimate, 0.5)[0]
    assert row["n"] == 0
    assert math.isnan(row["ks"])


@pytest.mark.parametrize("method", ["fit", "slope"])
@pytest.mark.parametrize("to_size", [600.0, 40_000.0])
def test_prediction_intervals_cover_new_counts_as_often_as_they_say(method, to_size):
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
    near, far = (prediction.predict_by_slope(SIZES, counts, x, Interval(0.6, 0.5, 0.8)) for x in (3_000.0, 300_000.0))
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
    assert table["method"].value_counts().to_dict() == {FIT: 4, "spectrum": 4}
    np.testing.assert_allclose(table["log_error"], 0, atol=1e-9)
    wrong = prediction.leave_one_out(betas.assign(beta=1.0, ci_low=0.99, ci_high=1.01), counts)
    first = wrong[(wrong["rung"] == 0) & (wrong["method"] == "spectrum")].iloc[0]
    reach = math.log(256) - np.log(SIZES[1:]).mean()
    assert first["log_error"] == pytest.approx(0.5 * reach)


def test_predictions_beyond_the_ladder():
    counts, betas = planted()
    table = prediction.predict_to(230_400.0, betas, counts, polarization(0.5))
    assert table.columns.tolist() == prediction.PREDICTION_COLUMNS
    by = table.set_index(["method", "quantity"])["predicted"]
    for method in (FIT, "spectrum"):
        assert by[method, "count"] == pytest.approx(3 * 230_400**0.5)
        assert by[method, "fraction"] == pytest.approx(3 * 230_400**-0.5)
        assert by[method, "selectivity"] == pytest.approx(10)
        assert by[method, "kurtosis of rosetta"] == pytest.approx(2 * 230_400**0.5)
        assert by[method, "kurtosis of other"] == pytest.approx(2 * 230_400**-0.5)
    assert (table["ci_low"] <= table["predicted"] * (1 + 1e-9)).all()
    assert (table["predicted"] <= table["ci_high"] * (1 + 1e-9)).all()


@pytest.mark.parametrize(
    ("kappa", "gamma"), [(1.0, 4.0), (3e3, 0.5), (1e6, 0.5)], ids=["r0 < A", "r0 > A", "all features detectable"]
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


def test_counts_tell_beta_but_not_tau():
    model = AllocationModel(1.6, kappa=4.0, tau=3.0)
    sizes = np.geomspace(500, 500_000, 6)
    noise = np.exp(np.random.default_rng(0).normal(0, 0.03, 6))
    counts = np.array([continuum_frontier(model, int(n)).r_tau for n in sizes]) * noise
    profiles = identifiability.count_profiles("l", sizes, counts).groupby("parameter")
    within = {name: part[part["deviance"] < 3.84]["value"] for name, part in profiles}
    assert within["beta"].min() <= 1.6 <= within["beta"].max()
    assert within["beta"].max() - within["beta"].min() < 0.3
    tau = profiles.get_group("tau")
    assert (tau["deviance"] < 3.84).all(), "τ only shifts the height, which κ does too"
    # Only κ/(1 + τ) is told, here 1: κ runs along with τ from one of its bounds to the other.
    assert within["kappa"].min() == pytest.approx(1 + identifiability.TAUS[0], rel=0.35)
    assert within["kappa"].max() == pytest.approx(1 + identifiability.TAUS[-1], rel=0.35)
    assert not len(identifiability.count_profiles("l", sizes[:2], counts[:2]))


def test_the_stages_of_the_theory_have_versions():
    rules = re.findall(r'stage\("(theory_\w+)"', (ROOT / "workflow" / "rules" / "theory.smk").read_text())
    assert {name for name in VERSIONS if name.startswith("theory")} == set(rules)


def test_no_match_is_upstream_of_the_prediction(tmp_path):
    """What `theory_beta` needs, by the workflow itself: no correlation, no match, no count."""
    table = tmp_path / "tables" / "theory_beta.csv"
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--configfile", "workflow/presets/tiny.yaml"]
    command += ["--config", f"results={tmp_path}", "--", str(table)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    jobs = set(re.findall(r"^(\w+) +\d+$", done.stdout + done.stderr, re.MULTILINE))
    assert {"theory_beta", "theory_spectrum", "theory_ngrams", "activations"} <= jobs
    assert not {"correlate", "match", "anchors", "counts", "fit"} & jobs


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run `rosetta theory …` in a folder of its own; return the exit code and what it printed to stderr."""
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
    sizes = ("--to-size", 5000, "--to-size", 50000)
    assert command(
        "predict", *sizes, "--betas", "betas.csv", "--counts", "counts.csv", "--out", "predicted.csv"
    ) == (0, "")  # fmt: skip
    assert sorted(pd.read_csv(tmp_path / "predicted.csv")["n_neurons"].unique()) == [5000, 50_000]
    config = ("--config", ROOT / "workflow" / "presets" / "tiny.yaml")
    assert command("simulate", *config, "--beta", 2.5, "--out", "s.csv")[0] == 0
    assert pd.read_csv(tmp_path / "s.csv")["n"].tolist() == load_config(config[1]).theory.simulation.sizes
    assert command("sweep", *config, "--parameter", "n_inputs", "--value", 100, "--out", "w.csv")[0] == 0
    assert command("sweep-table", "w.csv", "--out", "sweep.csv", "--exponents", "fits.csv")[0] == 0
    assert pd.read_csv(tmp_path / "fits.csv")["parameter"].unique().tolist() == ["n_inputs"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predict", "--to-size", "100", "--betas", "none.csv"), "none.csv: no such table"),
        (("simulate", "--config", "TINY", "--beta", "0.9", "--out", "x.csv"), "--beta: must be above 1"),
        (("sweep", "--config", "TINY", "--parameter", "mu", "--value", "1", "--out", "x.csv"), "--parameter: 'mu'"),
    ],
)
def test_bad_arguments_get_one_message(command, arguments, message):
    tiny = str(ROOT / "workflow" / "presets" / "tiny.yaml")
    code, printed = command(*(tiny if part == "TINY" else part for part in arguments))
    assert code == 2
    assert message in printed
    assert "Traceback" not in printed
