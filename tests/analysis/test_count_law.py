"""The law of counts against least squares, SciPy's likelihood and planted laws; zeros; pooled fits;
nulls' laws.
"""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize, minimize_scalar

from rosetta.analysis.count_law import fit_count_law
from rosetta.analysis.findings import count_finding
from rosetta.analysis.replicates import REPLICATE_COLUMNS
from rosetta.analysis.scaling import (
    POOLED_COLUMNS,
    SCALING_COLUMNS,
    fit_log_log,
    null_scaling_table,
    pooled_table,
    scaling_table,
)
from rosetta.analysis.steps import fit_step
from rosetta.config.ladders import families_of
from rosetta.errors import StoreError
from rosetta.storage.tables import read_csv

SIZES = np.array([256.0, 512, 1024, 2304])


@given(alpha=st.floats(-1, 2), c=st.floats(0.01, 100), n=st.integers(3, 8))
@settings(max_examples=50)
def test_a_planted_law_is_recovered(alpha, c, n):
    x = np.geomspace(200, 2_000_000, n)
    law = fit_count_law(x, c * x**alpha)
    assert law.alpha == pytest.approx(alpha, abs=1e-4)
    assert law.heights[""] == pytest.approx(c, rel=1e-2)
    assert law.half_width > 0, "a law that counts follow exactly still has Poisson's error"


@given(seed=st.integers(0, 10**6), factor=st.integers(1, 50))
@settings(max_examples=50)
def test_what_sizes_are_counted_in_does_not_matter(seed, factor):
    counts = np.random.default_rng(seed).poisson(SIZES / 50)
    law, other = fit_count_law(SIZES, counts), fit_count_law(SIZES * factor, counts)
    assert other.alpha == pytest.approx(law.alpha, abs=1e-6, nan_ok=True)
    assert other.half_width == pytest.approx(law.half_width, rel=1e-5, nan_ok=True)


@given(
    counts=st.lists(
        st.one_of(st.just(0), st.integers(0, 9), st.integers(0, 10**7)), min_size=2, max_size=12
    ),
    seed=st.integers(0, 10**6),
    n_ladders=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_any_counts_have_an_exponent_of_some_width_or_a_reason(counts, seed, n_ladders):
    rng = np.random.default_rng(seed)
    ladders = [str(i % n_ladders) for i in range(len(counts))]
    with np.errstate(all="raise", under="ignore"):
        law = fit_count_law(10 ** rng.uniform(1, 7, len(counts)), np.array(counts), ladders)
    assert bool(law.reason) == bool(np.isnan(law.alpha))
    assert law.half_width > 0 or law.reason or law.freedom < 1


def test_large_counts_are_fitted_as_by_least_squares():
    rng = np.random.default_rng(0)
    for _ in range(20):
        counts = 1e6 * SIZES**0.7 * np.exp(rng.normal(0, 0.03, 4))
        law, line = fit_count_law(SIZES, counts), fit_log_log(SIZES, counts)
        assert law.alpha == pytest.approx(line.alpha, abs=0.003)
        assert law.half_width == pytest.approx(
            (line.alpha_ci_high - line.alpha_ci_low) / 2, rel=0.05
        )


@pytest.mark.parametrize(
    "counts", [[0, 1, 1, 6], [3, 0, 9, 40], [29, 45, 79, 139], [200, 90, 900, 800]]
)
def test_the_fit_has_the_largest_likelihood_and_restricted_scatter(counts):
    """Against SciPy's negative binomial, maximised by a general method at the dispersion that was
    found, and the dispersion against the restricted likelihood of the working response.
    """
    law, y = fit_count_law(SIZES, counts), np.array(counts)
    x = np.log(SIZES) - np.log(SIZES).mean()

    def loss(beta):
        mean = np.exp(beta[0] + beta[1] * x)
        if law.dispersion == 0:
            return -stats.poisson.logpmf(y, mean).sum()
        return -stats.nbinom.logpmf(y, 1 / law.dispersion, 1 / (1 + law.dispersion * mean)).sum()

    best = minimize(
        loss, [np.log(y.mean()), 0.5], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}
    )
    assert law.alpha == pytest.approx(best.x[1], abs=1e-3)
    mean = law.heights[""] * SIZES**law.alpha
    design = np.column_stack([np.ones(4), x])
    response = np.log(mean) + y / mean - 1

    def restricted(dispersion):
        weights = 1 / (1 / mean + dispersion)
        information = design.T @ (weights[:, None] * design)
        left = response - design @ np.linalg.solve(information, design.T @ (weights * response))
        logs = np.linalg.slogdet(information)[1] - np.log(weights).sum()
        return logs + (weights * left**2).sum()

    most = minimize_scalar(restricted, bounds=(0, 5), method="bounded", options={"xatol": 1e-9})
    expected = most.x if most.fun < restricted(0.0) else 0.0
    assert law.dispersion == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("c", "alpha", "dispersion"),
    [
        (0.02, 0.7, 0.0),
        (0.02, 0.7, 0.1),
        (0.005, 0.9, 0.3),
        (0.2, 0.7, 0.04),
        (0.5, 0.7, 0.0),
        (0.5, 0.7, 0.04),
    ],
    ids=["few", "few, scattered", "few, widely scattered", "tens", "many", "many, scattered"],
)
def test_the_interval_covers_the_exponent_as_often_as_it_says(c, alpha, dispersion):
    """Counts from 0 on. Least squares, which drops zeros, and has no error where counts are equal,
    does not.
    """
    rng, mean = np.random.default_rng(0), c * SIZES**alpha
    scatter = rng.gamma(1 / dispersion, dispersion, (250, 4)) if dispersion else 1.0
    drawn = rng.poisson(mean * scatter, (250, 4))
    laws = [fit_count_law(SIZES, counts) for counts in drawn]
    told = [abs(law.alpha - alpha) < law.half_width for law in laws if np.isfinite(law.alpha)]
    assert len(told) > 220
    assert np.mean(told) > 0.93
    if (drawn == 0).any(axis=1).mean() > 0.3:
        lines = [fit_log_log(SIZES, counts) for counts in drawn]
        kept = [
            line.alpha_ci_low < alpha < line.alpha_ci_high
            for line in lines
            if np.isfinite(line.alpha)
        ]
        assert np.mean(kept) < 0.9


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ([0, 0, 0, 0], "no rung has a match"),
        ([0, 0, 5, 0], "matches at one size only"),
        ([np.nan] * 4, "not counted: the threshold cannot be read"),
        ([], "there is no rung"),
    ],
)
def test_why_there_is_no_exponent(counts, reason):
    law = fit_count_law(SIZES[: len(counts)], np.array(counts, float))
    assert (np.isnan(law.alpha), np.isnan(law.half_width), law.reason) == (True, True, reason)


def test_rungs_without_a_match_count_and_are_named():
    counts = pd.DataFrame({"ladder": "l", "n_neurons": SIZES, "matches": [0, 1, 1, 6]})
    row = scaling_table(counts).iloc[0]
    assert row["n_rungs"] == 4
    assert row["few_matches"] == "256 neurons: 0; 512 neurons: 1; 1,024 neurons: 1"
    assert row["alpha_ci_low"] < row["alpha"] < row["alpha_ci_high"]
    assert row["alpha"] == pytest.approx(fit_count_law(SIZES, [0, 1, 1, 6]).alpha)
    assert row["alpha_ols"] == pytest.approx(fit_log_log(SIZES, [0, 1, 1, 6]).alpha), (
        "three points, for comparison"
    )
    equal = scaling_table(counts.assign(matches=[0, 1, 1, 1])).iloc[0]
    assert equal["alpha_ci_high"] - equal["alpha_ci_low"] > 1, "equal counts are no exact law"


def test_two_rungs_have_an_exponent_and_no_interval():
    law = fit_count_law([100, 200], [10, 20])
    assert law.alpha == pytest.approx(1)
    assert np.isnan(law.half_width)


LADDERS = {
    "a-b": [[f"a-{size}", f"b-{size}"] for size in "xsml"],
    "a-c": [[f"a-{size}", f"c-{size}"] for size in "xsml"],
    "b-c": [[f"b-{size}", f"c-{size}"] for size in "xsml"],
    "a-b-c": [[f"a-{size}", f"b-{size}", f"c-{size}"] for size in "xsml"],
}


def count_rows(heights, alpha=0.7, factor=None):
    """Counts of all ladders, by a law with a height per ladder; `factor` per ladder bends it at the
    largest rung.
    """
    families = families_of(LADDERS)
    rows = []
    for ladder, rungs in LADDERS.items():
        for rung, group in enumerate(rungs):
            bend = (factor or {}).get(ladder, 1.0) if rung == 3 else 1.0
            matches = np.round(heights[ladder] * SIZES[rung] ** alpha * bend)
            named = "--".join(families[model] for model in group)
            rows.append((ladder, rung, "--".join(group), SIZES[rung], matches, named))
    return pd.DataFrame(
        rows, columns=["ladder", "rung", "models", "n_neurons", "matches", "families"]
    )


HEIGHTS = {"a-b": 0.5, "a-c": 1.0, "b-c": 0.8, "a-b-c": 0.2}


def test_one_exponent_for_all_pairs_with_a_height_per_ladder():
    table = pooled_table(count_rows(HEIGHTS)).set_index(["statistic", "left_out"])
    assert table.index.tolist() == [
        ("plain", "none"),
        ("plain", "a"),
        ("plain", "b"),
        ("plain", "c"),
    ]
    whole = table.loc[("plain", "none")]
    assert whole["alpha"] == pytest.approx(0.7, abs=0.02)
    assert (whole["n_ladders"], whole["n_points"], whole["freedom"]) == (3, 12, 8), (
        "triples are made of the pairs"
    )
    without = table.loc[("plain", "a")]
    assert (without["n_ladders"], without["n_points"], without["freedom"]) == (1, 4, 2)
    one = scaling_table(count_rows(HEIGHTS)).set_index("ladder").loc["b-c"]
    assert without["alpha"] == pytest.approx(one["alpha"])
    assert whole["alpha_ci_high"] - whole["alpha_ci_low"] < 0.7 * (
        one["alpha_ci_high"] - one["alpha_ci_low"]
    )


def test_the_jackknife_tells_of_a_family_that_bends_the_law():
    straight = pooled_table(count_rows(HEIGHTS)).iloc[0]
    bent = pooled_table(count_rows(HEIGHTS, factor={"a-b": 0.4, "b-c": 0.4})).set_index("left_out")
    without = bent.loc[["a", "b", "c"], "alpha"].to_numpy()
    error = np.sqrt(2 / 3 * np.square(without - without.mean()).sum())
    half = stats.t.ppf(0.975, 2) * error
    assert bent.loc["none", "alpha_family_high"] == pytest.approx(bent.loc["none", "alpha"] + half)
    assert half > 5 * (straight["alpha_family_high"] - straight["alpha"])
    assert without[1] == pytest.approx(0.7, abs=0.03), (
        "without b, whose largest models have few matches"
    )


def test_what_cannot_be_pooled_is_told():
    rows = count_rows(HEIGHTS)
    single = pooled_table(rows[rows["ladder"] == "a-b"]).set_index("left_out")
    assert np.isfinite(single.loc["none", "alpha"])
    assert single.loc["a", "reason"] == single.loc["b", "reason"] == "there is no ladder of pairs"
    assert np.isnan(single.loc["none", "alpha_family_low"]), "two families are no jackknife"
    rows["above_untrained"] = rows["matches"].where(rows["ladder"] != "a-c")
    table = pooled_table(rows).set_index(["statistic", "left_out"])
    assert table.loc[("above_untrained", "none"), "n_ladders"] == 2, (
        "a ladder without a threshold is excluded"
    )
    triples = pooled_table(rows[rows["ladder"] == "a-b-c"])
    assert triples["reason"].tolist() == ["there is no ladder of pairs"] * 2


def test_families_are_places_of_ladders_that_share_models():
    families = families_of(LADDERS)
    assert {model: name for model, name in families.items() if model.endswith("-x")} == {
        "a-x": "a",
        "b-x": "b",
        "c-x": "c",
    }
    hub = {
        "one": [["pythia-70m", "gpt2"], ["pythia-410m", "gpt2-medium"]],
        "two": [["opt-1b", "pythia-410m"]],
    }
    assert families_of(hub) == {
        "pythia-70m": "pythia",
        "pythia-410m": "pythia",
        "gpt2": "gpt2",
        "gpt2-medium": "gpt2",
        "opt-1b": "opt-1b",
    }
    assert set(families_of({"l": [["m-1", "m-2"]]}).values()) == {"m-1", "m-2"}
    uneven = families_of({"l": [["a-s", "b-s"], ["a-m", "b-m", "c-m"]]})
    assert uneven["c-m"] == "c-m"


def test_nulls_have_laws_of_their_own_beside_the_pooled_ones():
    counts = count_rows(HEIGHTS)
    rows = [
        (ladder, rung, "untrained", seed, round(3 * size**0.5) + seed, 0.2)
        for ladder in LADDERS
        for rung, size in enumerate(SIZES)
        for seed in range(3)
    ]
    controls = pd.DataFrame(
        rows, columns=["ladder", "rung", "control", "seed", "matches", "mean_r"]
    )
    table = null_scaling_table(counts, controls).set_index(["ladder", "control"])
    means = np.array([round(3 * size**0.5) + 1 for size in SIZES])
    law = table.loc[("a-b", "untrained")]
    assert law["alpha"] == pytest.approx(0.5, abs=0.02)
    assert law["c"] * SIZES ** law["alpha"] == pytest.approx(means, rel=0.02), (
        "of the mean over seeds"
    )
    assert law["alpha_ols"] == pytest.approx(fit_log_log(SIZES, means).alpha)
    assert law["n_seeds"] == 3
    pooled = pooled_table(counts, None, controls).set_index(["statistic", "left_out"])
    assert pooled.loc[("untrained", "none"), "alpha"] == pytest.approx(law["alpha"], abs=0.01)
    assert pooled.loc[("untrained", "none"), "n_points"] == 12


def on_halves(counts, alpha, spread=0.0):
    """Replicates whose exponent is `alpha` on average, with a `spread` between halves and
    complements.
    """
    rows = []
    for half in range(38):
        slope = alpha + spread * (1 if half % 2 else -1) * np.cos(half // 2)
        for row in counts.itertuples():
            rows.append((row.ladder, row.rung, "plain", half, 1e4 * row.n_neurons**slope, 0.5))
    return pd.DataFrame(rows, columns=REPLICATE_COLUMNS)


def test_the_bias_of_half_of_the_positions_is_told_and_no_part_of_the_error():
    counts = count_rows(HEIGHTS)
    row = scaling_table(counts, on_halves(counts, 0.9)).iloc[0]
    assert row["half_sample_bias"] == pytest.approx(0.9 - row["alpha"], abs=1e-3)
    assert row["alpha_extrapolated"] == pytest.approx(2 * row["alpha"] - 0.9, abs=1e-3)
    assert (
        row["alpha_extrapolated_low"] < row["alpha_extrapolated"] < row["alpha_extrapolated_high"]
    )
    assert row["alpha_resampled_high"] - row["alpha_resampled_low"] < 1e-3, (
        "halves that agree have no spread"
    )


def test_the_interval_joins_the_scatter_of_rungs_and_the_choice_of_documents():
    counts = count_rows(HEIGHTS)
    alone = scaling_table(counts).iloc[0]
    row = scaling_table(counts, on_halves(counts, 0.7, 0.1)).iloc[0]
    halves = [
        (r[f"alpha_{name}_high"] - r[f"alpha_{name}_low"]) / 2
        for r, name in ((alone, "ci"), (row, "resampled"))
    ]
    assert halves[1] > 0.05
    assert (row["alpha_ci_high"] - row["alpha_ci_low"]) / 2 == pytest.approx(np.hypot(*halves))
    pooled = pooled_table(counts, on_halves(counts, 0.7, 0.1)).iloc[0]
    assert pooled["alpha_ci_high"] - pooled["alpha_ci_low"] > 2 * halves[1]


def test_counts_whose_error_is_not_known_give_an_exponent_without_interval():
    """A null of a single seed: its threshold has no error that can be told."""
    counts = count_rows(HEIGHTS)
    unknown = on_halves(counts, 0.7).assign(matches=np.nan)
    row = scaling_table(counts, unknown).iloc[0]
    assert np.isfinite(row["alpha"])
    assert np.isnan(
        row[["alpha_ci_low", "alpha_ci_high", "alpha_resampled_low"]].astype(float)
    ).all()


def test_the_command_fits_what_it_is_given_and_rejects_halves_without_complements(tmp_path):
    counts = count_rows(HEIGHTS)
    paths = {name: tmp_path / f"{name}.csv" for name in ("counts", "replicates", "pooled", "out")}
    counts.to_csv(paths["counts"], index=False)
    halves = on_halves(counts, 0.7, 0.1)
    halves.to_csv(paths["replicates"], index=False)
    outputs = {"out": paths["out"], "pooled": paths["pooled"]}
    fit_step(paths["counts"], paths["replicates"], None, **outputs)
    table = read_csv(paths["pooled"], POOLED_COLUMNS)
    assert table["left_out"].tolist() == ["none", "a", "b", "c"]
    assert read_csv(paths["out"], SCALING_COLUMNS)["ladder"].tolist() == list(LADDERS)
    halves[halves["half_sample"] > 0].to_csv(paths["replicates"], index=False)
    with pytest.raises(StoreError, match=r"replicates\.csv: has an odd number of half-samples"):
        fit_step(paths["counts"], paths["replicates"], None)


def test_a_ladder_without_a_threshold_is_named_where_it_is_left_out():
    counts = count_rows(HEIGHTS)
    missing = counts["ladder"] == "a-b"
    counts["above_documents"] = counts["matches"].where(~missing)
    table = pooled_table(counts).set_index(["statistic", "left_out"])
    assert table.loc[("plain", "none"), "reason"] == ""
    row = table.loc[("above_documents", "none")]
    assert np.isfinite(row["alpha"])
    assert row["reason"] == "without a-b, whose threshold cannot be read"
    assert table.loc[("above_documents", "a"), "reason"] == "", "it is left out of this row anyway"


def test_half_samples_without_an_exponent_are_told():
    counts = count_rows(HEIGHTS)
    halves = on_halves(counts, 0.9, spread=0.01)
    one = (halves["half_sample"] == 3) & (halves["ladder"] == "a-b")
    poor = halves.assign(matches=halves["matches"].mask(one & (halves["rung"] > 0), 0.0))
    row = scaling_table(counts, poor).set_index("ladder").loc["a-b"]
    assert np.isnan([row["alpha_ci_low"], row["alpha_ci_high"]]).all()
    assert row["reason"] == "no exponent on 1 of 38 half-samples: matches at one size only"
    said = count_finding("a-b", "plain", row).numbers
    assert said == f"The exponent α has no interval: {row['reason']}."
    everywhere = halves.assign(matches=np.nan)
    for table in (scaling_table(counts, everywhere), pooled_table(counts, everywhere)):
        assert set(table["reason"]) == {"not counted on half-samples of the documents"}
    assert (scaling_table(counts, halves)["reason"] == "").all()
