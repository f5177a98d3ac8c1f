"""Scaling fits against SciPy-free references and planted laws; the plan."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rosetta.analysis.count_law import fit_count_law
from rosetta.analysis.counts import count_table
from rosetta.analysis.intervals import half_sample_interval
from rosetta.analysis.null_counts import control_table, null_summary
from rosetta.analysis.replicates import (
    REPLICATE_COLUMNS,
    group_thresholds,
    known_thresholds,
    ladder_thresholds,
    read_all_nulls,
    replicate_table,
)
from rosetta.analysis.scaling import SCALING_COLUMNS, fit_log_log, scaling_table
from rosetta.config import load_config, parse_config
from rosetta.correlation.neighbor_tables import LEFT_OUT
from rosetta.moments import Moments
from rosetta.plan.costs.base import Operations
from rosetta.plan.speed import Speed
from rosetta.plan.sweep import Phase, RunPlan, plan_run
from rosetta.run.paths import Paths
from rosetta.run.stages import job_names, made_by
from rosetta.storage.manifests import write_manifest
from rosetta.storage.tables import write_parquet

ROOT = Path(__file__).parents[2]


@given(alpha=st.floats(-1, 2), c=st.floats(0.01, 100), n=st.integers(3, 8))
def test_a_planted_law_is_recovered(alpha, c, n):
    x = np.geomspace(200, 2_000_000, n)
    law = fit_log_log(x, c * x**alpha)
    assert law.alpha == pytest.approx(alpha, abs=1e-9)
    assert law.c == pytest.approx(c, rel=1e-6)
    assert not law.alpha_ci_high - law.alpha_ci_low > 1e-6


def test_the_interval_is_that_of_least_squares():
    """Against the textbook formulas, with the t quantile of 2 degrees of freedom from a table."""
    x, y = np.array([256.0, 512, 1024, 2304]), np.array([29.0, 50, 78, 149])
    law = fit_log_log(x, y)
    lx, ly = np.log(x), np.log(y)
    slope, intercept = np.polyfit(lx, ly, 1)
    residual = ly - slope * lx - intercept
    error = np.sqrt((residual**2).sum() / 2 / ((lx - lx.mean()) ** 2).sum())
    assert law.alpha == pytest.approx(slope)
    assert law.c == pytest.approx(np.exp(intercept))
    assert law.alpha_ci_low == pytest.approx(slope - 4.302653 * error, rel=1e-6)
    assert law.alpha_ci_high == pytest.approx(slope + 4.302653 * error, rel=1e-6)
    assert law.r2 == pytest.approx(1 - (residual**2).sum() / ((ly - ly.mean()) ** 2).sum())


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    x = np.array([256.0, 512, 1024, 2304])
    laws = [fit_log_log(x, 0.5 * x**0.7 * np.exp(rng.normal(0, 0.1, 4))) for _ in range(2000)]
    covered = np.mean([law.alpha_ci_low < 0.7 < law.alpha_ci_high for law in laws])
    assert abs(covered - 0.95) < 0.02


def test_few_or_empty_rungs_have_no_interval():
    assert np.isnan(fit_log_log([100, 200], [10, 20]).alpha_ci_low)
    assert fit_log_log([100, 200], [10, 20]).alpha == pytest.approx(1)
    flat = fit_log_log([100, 200, 400], [7, 7, 7])
    assert flat.alpha == 0
    assert np.isnan([flat.alpha_ci_low, flat.alpha_ci_high]).all(), "no scatter, so no error"
    assert np.isnan(fit_log_log([100], [10]).alpha)
    assert np.isnan(fit_log_log([100, 100], [10, 20]).alpha)
    law = fit_log_log([100, 200, 400], [0, 20, 40])
    assert (law.n_rungs, law.alpha) == (2, pytest.approx(1))
    counts = pd.DataFrame(
        {"ladder": ["b", "b", "a"], "n_neurons": [10, 20, 10], "matches": [1, 2, 1]}
    )
    table = scaling_table(counts)
    assert list(table.columns) == SCALING_COLUMNS
    assert table["ladder"].tolist() == ["b", "a"]


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 40), max_size=4))
def test_merged_moments_are_those_of_the_whole(seed, cuts):
    values = np.random.default_rng(seed).normal(1e3, 1, size=(40, 3))
    merged = Moments.zeros((3,))
    for part in np.split(values, sorted(cuts)):
        merged = merged.merge(Moments.of(part))
    assert merged.count == 40
    np.testing.assert_allclose(merged.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(merged.std, values.std(axis=0), rtol=1e-9)


def test_what_a_group_counts_over_its_comparisons(tmp_path):
    """Dead neurons differ between the comparisons of an anchor: each has aligned positions of its
    own.
    """
    models = {name: {"path": name} for name in "abc"}
    ladders = {"two": [["a", "b"]], "three": [["a", "b", "c"]]}
    seeds = {"permutation_seeds": [0], "document_seeds": [0], "untrained_seeds": [0, 1]}
    config = parse_config({"models": models, "ladders": ladders, "controls": seeds})
    paths = Paths(tmp_path)
    for name, d_mlp in zip("abc", (10, 20, 60), strict=True):
        write_manifest(paths.model_manifest(name), {"kind": "model", "n_layers": 2, "d_mlp": d_mlp})
    facts = {"a--b": (1000, 3, 5), "a--c": (900, 4, 2)}
    units = {"a--b": ([0, 1, 2], [0.2, 0.4, 0.6]), "a--c": ([0, 1, 3], [0.4, 0.4, 0.9])}
    on_halves = {"a--b": [3, 2, 1, 2], "a--c": [3, 2, 3, 2]}
    for pair, (n_positions, dead_a, dead_b) in facts.items():
        left_out = dict.fromkeys(LEFT_OUT, 1)
        metadata = {"n_positions": n_positions, "n_dead_a": dead_a, "n_dead_b": dead_b, **left_out}
        names = dict(zip(("model_a", "model_b"), pair.split("--"), strict=True))
        unit, r = units[pair]
        table = pd.DataFrame(
            {
                **names,
                "layer_a": 0,
                "unit_a": unit,
                "layer_b": 0,
                "unit_b": unit,
                "r": r,
                "rank_a": 1,
                "rank_b": 1,
            }
        ).assign(margin_a=0.0, margin_b=0.0)
        write_parquet(paths.matches(pair), table, metadata)
        halves = pd.concat(
            [table.head(n).assign(half_sample=i) for i, n in enumerate(on_halves[pair])]
        )
        write_parquet(
            paths.replicates(pair), halves, {"interval": "rematched", "n_half_samples": 4}
        )
        many = pd.concat(
            [table.head(1).assign(r=0.3, unit_a=i, unit_b=i, seed=i % 2) for i in range(140)]
        )
        few = table.assign(r=0.1, seed=0)
        for control, null in (("permutation", few), ("documents", few), ("untrained", many)):
            write_parquet(paths.null_matches(control, pair), null)
    nulls = read_all_nulls(config, paths)
    limits = ladder_thresholds(nulls, config.controls.null_quantile)
    assert np.isnan(limits["two"]["above_documents"]), "three null matches tell no threshold"
    assert (
        limits["two"]["above_untrained"] == limits["three"]["above_untrained"] == pytest.approx(0.3)
    )
    assert list(group_thresholds(config, known_thresholds(config, paths))["a--b"]) == [
        "plain",
        "above_untrained",
    ]
    replicates = replicate_table(config, paths, nulls)
    two, three = count_table(config, paths, limits, replicates).to_dict("records")
    common = {
        "n_special": 1,
        "n_first_position": 1,
        "n_high_norm": 1,
        "n_quiet_a": 1,
        "interval": "rematched",
    }
    expected_two = {
        "ladder": "two",
        "rung": 0,
        "models": "a--b",
        "n_neurons": 30,
        "n_positions": 1000,
        "matches": 3,
        "n_dead_a": 3,
        "n_dead_b": 5,
        "mean_r": pytest.approx(0.4),
        "above_untrained": 2,
        "n_quiet_b": 1,
        "families": "a--b",
        **common,
    }
    assert {name: two[name] for name in expected_two} == expected_two
    half = stats.t.ppf(0.975, 2) * np.std([3, 2, 1, 2])
    assert (two["matches_ci_low"], two["matches_ci_high"]) == pytest.approx(
        (max(0, 3 - half), 3 + half)
    )
    expected_three = {
        "ladder": "three",
        "rung": 0,
        "models": "a--b--c",
        "n_neurons": 60,
        "n_positions": 900,
        "matches": 2,
        "n_dead_a": 4,
        "n_dead_b": 7,
        "mean_r": pytest.approx(0.35),
        "above_untrained": 1,
        "n_quiet_b": 2,
        "families": "a--b--c",
        **common,
        "n_special": 2,
        "n_first_position": 2,
        "n_high_norm": 2,
    }
    assert {name: three[name] for name in expected_three} == expected_three
    assert np.isnan([two["above_documents"], two["above_documents_ci_low"]]).all(), (
        "not counted, and not 0"
    )
    assert two["above_untrained_ci_low"] <= 2 <= two["above_untrained_ci_high"]
    of_three = replicates[(replicates["ladder"] == "three") & (replicates["statistic"] == "plain")]
    assert of_three["matches"].tolist() == [2, 2, 1, 2]
    controls = control_table(config, paths)
    counted = (
        controls.groupby(["control", "ladder"], sort=False)["matches"].unique().map(list).to_dict()
    )
    assert counted == {
        ("permutation", "two"): [3],
        ("documents", "two"): [3],
        ("untrained", "two"): [70],
        ("permutation", "three"): [2],
        ("documents", "three"): [2],
        ("untrained", "three"): [70],
    }
    other = controls["seed"] == 1
    summary = null_summary(config, paths, controls.assign(matches=controls["matches"] + 2 * other))
    summary = summary.set_index(["ladder", "control"])
    assert summary["matches"].groupby("control").unique().map(list).to_dict()["untrained"] == [71]
    half = stats.t.ppf(0.975, 1) * np.std([70, 72], ddof=1) / np.sqrt(2)
    assert summary.loc[("two", "untrained"), "matches_ci_high"] == pytest.approx(71 + half)
    few = null_summary(config, paths, controls.assign(matches=1 + 2 * other)).set_index(
        ["ladder", "control"]
    )
    assert few.loc[("two", "untrained"), "matches_ci_low"] == 0, "no mean count is below"
    alike = null_summary(config, paths, controls.assign(matches=8)).set_index(["ladder", "control"])
    assert alike.loc[("two", "untrained"), "matches_ci_high"] == pytest.approx(
        8 + stats.norm.ppf(0.975) * 2
    )
    assert summary.loc[("two", "untrained"), "r_threshold"] == pytest.approx(0.3)
    assert summary.loc[("two", "documents"), ["r_threshold"]].isna().all()
    single = null_summary(config, paths, controls).set_index("control").loc["permutation"]
    assert single[["matches_ci_low", "matches_ci_high"]].isna().all(axis=None), (
        "one seed has no interval"
    )


def test_the_resampled_interval_of_the_exponent_is_that_of_the_laws_on_half_samples():
    """These are fitted with the variances of the law itself, the same trainings being read."""
    rng = np.random.default_rng(0)
    sizes, halves = np.array([100.0, 200, 400]), rng.integers(20, 90, (3, 38))
    counts = pd.DataFrame(
        {"ladder": "l", "rung": [0, 1, 2], "n_neurons": sizes, "matches": [30, 45, 70]}
    )
    rows = [
        ("l", rung, "plain", i, n, 0.5)
        for rung, row in enumerate(halves)
        for i, n in enumerate(row)
    ]
    table = scaling_table(counts, pd.DataFrame(rows, columns=REPLICATE_COLUMNS)).iloc[0]
    law = fit_count_law(sizes, counts["matches"])
    slopes = np.array([fit_count_law(sizes, column, like=law).alpha for column in halves.T])
    assert table["statistic"] == "plain"
    assert (table["alpha_resampled_low"], table["alpha_resampled_high"]) == pytest.approx(
        half_sample_interval(table["alpha"], slopes)
    )
    assert table["half_sample_bias"] == pytest.approx(slopes.mean() - table["alpha"])


def phases_of(plan):
    return {phase.name: phase for phase in plan.phases}


def test_the_plan_counts_jobs_and_bytes(tmp_path):
    whole = load_config(ROOT / "config.yaml")
    # Steps of a training are captured and matched beside the ladders.
    config = whole.model_copy(update={"training_ladders": {}})
    plan = plan_run(config, Paths(tmp_path))
    phases = phases_of(plan)
    over_training = phases_of(plan_run(whole, Paths(tmp_path)))
    assert over_training["correlation"].flops > phases["correlation"].flops
    n_jobs = {name: phase.jobs for name, phase in phases.items()}
    assert sum(n_jobs.values()) == sum(map(len, job_names(config).values()))
    # A job that does the work of several phases counts in its first.
    assert n_jobs["training"] == n_jobs["correlation"] == 3 * 8
    assert n_jobs["activations"] == n_jobs["twins"] == n_jobs["nulls"] == 0
    assert n_jobs["results"] == 5, "groups, tables, drawings, viewer, report"
    sizes = [(size.n_neurons, size.replicates) for size in config.zoo.sizes.values()]
    positions = phases["activations"].disk_bytes / (2 * 3 * sum(n * times for n, times in sizes))
    assert config.activations.max_documents
    read = config.activations.max_documents * config.activations.sequence_length  # at most
    assert 0.8 * read < positions < 1.8 * read
    expected = sum(2 * positions * (n * times) ** 2 for n, times in sizes) * 3
    assert phases["correlation"].flops == pytest.approx(expected, rel=1e-4)
    of_first = sum(2 * positions * n * n for n, _ in sizes) * 3  # trainings
    assert phases["nulls"].flops == pytest.approx((1 + 4 + 2) * of_first, rel=1e-4)
    assert phases["sweeps"].flops == pytest.approx((1 + 1 + 1 + 1) * of_first, rel=1e-4)
    assert of_first < phases["intervals"].flops < 1.1 * of_first
    text = plan.render()
    for word in ("training", "FLOPs", "disk GB", "memory GB", "minutes", "1,280 × 1,280"):
        assert word in text


def small_plan(tmp_path, corpus, **activations):
    """Plan two zoo models of 32 neurons, and one that no ladder needs."""
    families = {"f": {"architecture": "gpt2", "seed": 1}, "g": {"architecture": "opt", "seed": 2}}
    sizes = {"s": {"n_layers": 1, "d_model": 16, "d_mlp": 32, "n_heads": 2}}
    models = {name: {"zoo": {"family": name[0], "size": "s"}} for name in ("f", "g", "f-unused")}
    content = {
        "zoo": {"families": families, "sizes": sizes},
        "models": models,
        "ladders": {"l": [["f", "g"]]},
        "corpus": corpus,
        "activations": {"sequence_length": 64, **activations},
    }
    config = parse_config(content)
    return config, plan_run(config, Paths(tmp_path))


def positions_of(plan):
    return phases_of(plan)["activations"].disk_bytes / (2 * 2 * 32)


HUB = {"kind": "hub", "id": "somebody/dataset"}


def test_a_plan_for_a_hub_dataset_says_that_its_size_is_not_known(tmp_path):
    _, plan = small_plan(tmp_path, {"source": HUB})
    text = plan.render()
    assert re.search(
        r"NOT KNOWN.*1,000,000 positions per model.*Set\s+activations\.max_documents",
        text,
        re.DOTALL,
    )
    assert positions_of(plan) == 1_000_000
    assert phases_of(plan)["correlation"].flops == 2 * 1_000_000 * 32 * 32
    assert re.search(r"^corpus .* \? ", text, re.MULTILINE)
    assert re.search(r"^total .* ≥0\.51 ", text, re.MULTILINE)
    assert phases_of(plan)["training"].jobs == 2, "models that no ladder needs are not trained"


def test_limits_make_the_plan_of_a_hub_dataset(tmp_path):
    _, plan = small_plan(tmp_path, {"source": HUB}, max_documents=50)
    assert positions_of(plan) == 50 * 64
    assert "as if every document had activations.sequence_length tokens" in plan.render()
    _, plan = small_plan(tmp_path, {"source": HUB, "max_documents": 1000})
    assert positions_of(plan) == 0.06 * 1000 * 64
    assert phases_of(plan)["corpus"].disk_bytes is None, "nothing tells how long a document is"
    _, plan = small_plan(tmp_path, {"source": HUB, "max_documents": 1000, "max_document_bytes": 96})
    assert positions_of(plan) == 0.06 * 1000 * 32
    assert phases_of(plan)["corpus"].disk_bytes == 96_000


def test_the_plan_counts_the_documents_of_the_corpus_once_it_is_built(tmp_path):
    config, _ = small_plan(tmp_path, {"source": HUB})
    split = {"documents": 10, "bytes": 900, "domains": {}}
    splits = {name: split for name in ("train", "match", "pool", "heldout")}
    paths = Paths(tmp_path)
    write_manifest(
        paths.corpus_manifest,
        {"kind": "corpus", "made_by": made_by(config, "corpus"), "splits": splits},
    )
    built = plan_run(config, paths)
    assert positions_of(built) == 10 * 30
    assert phases_of(built)["corpus"].disk_bytes == 3600
    _, plan = small_plan(tmp_path, {"source": HUB, "seed": 1})
    assert "NOT KNOWN" in plan.render(), "the corpus there is of another configuration"


def test_the_numbers_of_a_large_plan_stand_apart():
    phase = Phase("correlation", 24, Operations.at(0.8, 1.12e20), 187_071.5e9, 1061.9e9)
    plan = RunPlan("positions: 1", [phase, Phase("nulls", 1, disk_bytes=None)], speed=Speed(1e9))
    rows = [line.split() for line in plan.render().splitlines()[2:6]]
    assert rows[1][:5] == ["correlation", "24", "1.12e+20", "187071.50", "1061.9"]
    assert rows[3][3] == "≥187071.50"
    assert [len(row) for row in rows[1:]] == [6, 6, 6]
