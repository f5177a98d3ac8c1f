"""Neurons that come and go at known steps of a training, from stores to tables."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from planted_training import (
    D_MLP,
    END,
    EVERY,
    MODELS,
    SEEDS,
    SHARED,
    STEPS,
    activations,
    config_of,
    pair_at,
    plant,
)
from scipy import stats

from rosetta.correlation.steps import neighbors_step
from rosetta.emergence.columns import FINAL_PAIR_COLUMNS, OWN_PAST_COLUMNS
from rosetta.emergence.counts import emergence_table
from rosetta.emergence.groups import group_table
from rosetta.emergence.lasting import curve_table, neuron_table, survival_table
from rosetta.emergence.rungs import read_steps
from rosetta.emergence.steps import emergence_step, past_step
from rosetta.matching.mutual import PAIR_KEYS
from rosetta.matching.steps import intervals_step, matches_step, nulls_step
from rosetta.storage.tables import read_csv, read_parquet

PATCHES = 2 * 25  # of a step: two images of 5 × 5 patches


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The planted run with all of its matches, and what follows from them."""
    config, paths = plant(tmp_path_factory.mktemp("training"))
    for step in EVERY:
        pair = pair_at(step)
        neighbors_step(config, paths, pair, 0)
        for control in config.controls_of(pair):
            nulls_step(config, paths, control, pair)
        intervals_step(config, paths, pair, 1)
        matches_step(config, paths, pair)
    for step in STEPS:
        past_step(config, paths, pair_at(step))
    emergence_step(config, paths)
    return config, paths


def table(run, name):
    return read_csv(run[1].table(name), [])


def present(step):
    return {unit for unit, steps in SHARED.items() if step in steps}


def units_of(rows):
    """The planted numbers of matched units, which are the same in both models."""
    a, b = (rows[f"layer_{side}"] * D_MLP + rows[f"unit_{side}"] for side in "ab")
    assert (a == b).all()
    return set(a)


def test_only_the_end_has_untrained_twins(run):
    config, _ = run
    assert config.controls_of(pair_at(END)) == ["documents", "untrained"]
    assert [config.controls_of(pair_at(step)) for step in STEPS] == [["documents"]] * 3


def test_the_matches_above_all_null_models_are_the_planted_ones(run):
    rows = table(run, "emergence").set_index("step")
    assert rows.index.tolist() == [0, *EVERY]
    assert rows["tokens"].tolist() == [PATCHES * step for step in rows.index]
    assert rows["above_all"].tolist()[1:] == [len(present(step)) for step in EVERY]
    assert (rows["nulls"][1:] == "documents, untrained").all()
    assert (rows["above_all"] <= rows["matches"])[1:].all()
    assert (rows["r_documents"][1:] < 0.3).all()
    low, high = rows["above_all_ci_low"][1:], rows["above_all_ci_high"][1:]
    assert ((low <= rows["above_all"][1:]) & (rows["above_all"][1:] <= high)).all()


def test_chance_is_counted_above_the_same_bar(run):
    _, paths = run
    rows = table(run, "emergence").set_index("step")
    bar = rows[["r_documents", "r_untrained"]].max(axis=1)
    for step in EVERY:
        null = read_parquet(paths.null_matches("documents", pair_at(step)))
        counts = [(null["r"][null["seed"] == seed] > bar[step]).sum() for seed in SEEDS]
        assert rows.loc[step, "chance_above_all"] == pytest.approx(np.mean(counts))
        assert rows.loc[step, "by_chance"] == len(null) / len(SEEDS)
        t, poisson = (
            stats.t.ppf(0.975, 9) * stats.sem(counts),
            1.959964 * np.sqrt(max(sum(counts), 1)),
        )
        half = max(t, poisson / len(SEEDS))
        ends = rows.loc[step, ["chance_above_all_ci_low", "chance_above_all_ci_high"]]
        low = max(np.mean(counts) - half, 0)
        np.testing.assert_allclose(ends.astype(float), [low, np.mean(counts) + half], rtol=1e-5)


def test_step_0_has_the_matches_of_untrained_twins(run):
    config, paths = run
    null = read_parquet(paths.null_matches("untrained", pair_at(END)))
    row = table(run, "emergence").set_index("step").loc[0]
    assert row["matches"] == len(null) / len(config.controls.untrained_seeds)
    assert row["matches_ci_low"] < row["matches"] < row["matches_ci_high"]
    assert np.isnan(row["above_all"])


def test_what_is_gained_kept_and_lost_is_told(run):
    rows = table(run, "emergence").set_index("step")
    for before, step in pairwise(EVERY):
        old, new = present(before), present(step)
        expected = [len(new - old), len(new & old), len(old - new)]
        assert rows.loc[step, ["gained", "kept", "lost"]].tolist() == expected
        for name in ("gained", "kept", "lost"):
            assert rows.loc[step, f"{name}_ci_low"] <= rows.loc[step, name]
            assert rows.loc[step, name] <= rows.loc[step, f"{name}_ci_high"]
    assert rows.loc[1, ["gained", "kept", "lost"]].isna().all()
    # In the planted run a neuron has one partner for all time.
    pd.testing.assert_series_equal(rows["kept"], rows["kept_neurons"], check_names=False)


def test_depth_and_what_was_learnt_are_told(run):
    rows = table(run, "emergence").set_index("step")
    for step in EVERY:
        layers = [unit // D_MLP for unit in present(step)]
        assert rows.loc[step, "mean_depth"] == pytest.approx(np.mean(layers))
        assert rows.loc[step, "train_loss_a"] == 10 / step
        assert rows.loc[step, "train_loss_b"] == 10 / step + 1
    assert rows["bits_per_byte_a"].isna().all()


def test_the_share_of_final_pairs_that_are_there_grows_as_planted(run):
    rows = table(run, "emergence").set_index("step")
    final = present(END)
    for step in EVERY:
        there = sum(step in SHARED[unit] for unit in final)
        assert rows.loc[step, "emerged"] == pytest.approx(there / len(final))
    assert rows.loc[2, "emerged_ci_low"] <= rows.loc[2, "emerged"] <= rows.loc[2, "emerged_ci_high"]


def test_every_final_neuron_has_the_step_at_which_it_emerges(run):
    rows = table(run, "emergence_neurons")
    assert units_of(rows) == present(END)
    first = {
        row.layer_a * D_MLP + row.unit_a: (row.first_above_step, row.nearest_step)
        for row in rows.itertuples()
    }
    for_good = {unit: min(SHARED[unit]) for unit in present(END)} | {17: END}
    assert first == {unit: (min(SHARED[unit]), for_good[unit]) for unit in present(END)}
    assert (rows["first_above_tokens"] == PATCHES * rows["first_above_step"]).all()


def test_nearest_are_first_ranks_on_both_sides_only(run):
    """With several neighbours, a match may be one of a second nearest."""
    config, paths = run
    steps = read_steps(config, paths, "early")
    pasts = [read_parquet(paths.final_pairs(pair_at(step)), FINAL_PAIR_COLUMNS) for step in STEPS]

    def at(step, unit):
        matches = steps[EVERY.index(step)].matches
        return matches["layer_a"] * D_MLP + matches["unit_a"] == unit

    steps[2].matches.loc[at(4, 0), "rank_b"] = 2
    steps[3].matches.loc[at(8, 1), "rank_a"] = 2
    rows = neuron_table("early", steps, pasts)
    unit = rows["layer_a"] * D_MLP + rows["unit_a"]
    found = rows.set_index(unit)[["nearest_step", "nearest_tokens"]]
    assert found.loc[0].tolist() == [END, PATCHES * END]
    assert found.loc[1].isna().all()
    assert found.loc[2].tolist() == [2, PATCHES * 2]


def test_matches_born_at_a_step_survive_as_planted(run):
    rows = table(run, "survival").set_index(["born_step", "step"])
    for born in EVERY:
        cohort = {unit for unit, steps in SHARED.items() if min(steps) == born}
        for step in (step for step in EVERY if step >= born):
            left = cohort & present(step)
            assert rows.loc[(born, step), "n_born"] == len(cohort)
            assert rows.loc[(born, step), "n_left"] == len(left)
            assert rows.loc[(born, step), "share"] == len(left) / len(cohort)


def test_the_curve_is_that_of_the_planted_lifetimes(run):
    """Five are born at step 2 and followed to step 4, a doubling later, when two are missing: one
    for good, one is back at the end. Those of the first step, of step 4 and of the end are left
    out.
    """
    curve = table(run, "survival_curve")
    assert curve["doublings"].tolist() == [0, 1]
    assert curve["at_risk"].tolist() == [5, 5]
    assert curve["lost"].tolist() == [0, 1]
    np.testing.assert_allclose(curve["survival"], [1, 0.8])
    assert curve[["half_life", "reason"]].isna().all(axis=None)


@pytest.fixture
def unread(run):
    """The steps of the planted run where the null has too few matches to read its quantile."""
    controls = {"permutation_seeds": [], "document_seeds": SEEDS, "untrained_seeds": SEEDS}
    config = config_of(run[1].root, controls={**controls, "null_quantile": 0.99999})
    steps = read_steps(config, run[1], "early")
    pasts = [read_parquet(run[1].final_pairs(pair_at(step)), FINAL_PAIR_COLUMNS) for step in STEPS]
    return config, steps, pasts


def test_nothing_is_above_a_null_model_that_cannot_be_read(run, unread):
    config, steps, pasts = unread
    rows = emergence_table(config, run[1], "early", steps, pasts).set_index("step").loc[EVERY, :]
    assert (rows["nulls"] == "").all()
    assert rows["reason"].str.contains("no null model has enough matches").all()
    unknown = ["above_documents", "above_all", "gained", "kept", "lost", "emerged", "mean_depth"]
    assert rows[unknown].isna().all(axis=None)
    assert rows[[f"{name}_ci_low" for name in unknown]].isna().all(axis=None)
    assert rows["matches"].tolist() == [len(step.matches) for step in steps]
    survival, curve = survival_table("early", steps), curve_table("early", steps)
    assert survival[["n_born", "n_left", "share"]].isna().all(axis=None)
    assert curve.drop(columns=["ladder", "reason"]).isna().all(axis=None)
    assert set(survival["reason"]) == set(curve["reason"]) == set(rows["reason"])
    assert neuron_table("early", steps, pasts).empty
    assert group_table(config, run[1], "early", steps).empty


def test_nor_where_there_is_none(run):
    controls = {"permutation_seeds": [], "document_seeds": [], "untrained_seeds": []}
    steps = read_steps(config_of(run[1].root, controls=controls), run[1], "early")
    assert all(np.isnan(step.bar) and step.shared.empty for step in steps)
    assert "neither exchanged samples nor untrained twins" in steps[0].reason


def test_units_are_compared_with_their_own_final_selves(run):
    """r of every unit by NumPy; the tables' means follow from it."""
    _, paths = run
    groups = table(run, "emergence_groups")
    for step in STEPS:
        found = read_parquet(paths.own_past(pair_at(step)), OWN_PAST_COLUMNS)
        for side, model in enumerate(MODELS):
            now, end = (flat(activations(side, at)) for at in (step, END))
            r = np.array([np.corrcoef(*pair)[0, 1] for pair in zip(now.T, end.T, strict=True)])
            mine = found[found["model"] == f"{model}~step-{step}"]
            np.testing.assert_allclose(mine["own_r"], r, atol=1e-5)
            centred = now - now.mean(axis=0)
            kurtosis = (centred**4).mean(axis=0) / (centred**2).mean(axis=0) ** 2 - 3
            np.testing.assert_allclose(mine["activation_kurtosis"], kurtosis, atol=1e-4)
            rosetta = np.isin(np.arange(len(r)), list(present(END)))
            rows = groups[(groups["step"] == step) & (groups["model"] == model)]
            means = rows[rows["measure"] == "own_r"].set_index("group")
            assert means.loc["rosetta", "mean"] == pytest.approx(r[rosetta].mean(), abs=1e-5)
            assert means.loc["others", "mean"] == pytest.approx(r[~rosetta].mean(), abs=1e-5)
            assert means.loc["others", "n"] == (~rosetta).sum()
            lasting = rows[rows["measure"] == "log_activation_kurtosis"].set_index("group")
            last = list(present(step) & present(END))
            expected = np.log(kurtosis[last] + 3).mean()
            assert lasting.loc["lasting", "mean"] == pytest.approx(expected, abs=1e-4)
            assert lasting.loc["lasting", "n"] == len(present(step) & present(END))
            assert lasting.loc["passing", "n"] == len(present(step) - present(END))


def flat(values):
    return (
        np.moveaxis(values, -1, 1)
        .reshape(-1, *values.shape[1:3])
        .reshape(values.shape[0] * values.shape[-1], -1)
        .T.astype(np.float64)
    )


def test_final_pairs_are_correlated_at_every_step(run):
    _, paths = run
    final = read_parquet(paths.matches(pair_at(END)), PAIR_KEYS)
    for step in STEPS:
        found = read_parquet(paths.final_pairs(pair_at(step)), FINAL_PAIR_COLUMNS)
        pd.testing.assert_frame_equal(found[PAIR_KEYS], final)
        a, b = (flat(activations(side, step)) for side in (0, 1))
        u, v = (found[f"layer_{side}"] * D_MLP + found[f"unit_{side}"] for side in "ab")
        r = [np.corrcoef(a[:, i], b[:, j])[0, 1] for i, j in zip(u, v, strict=True)]
        np.testing.assert_allclose(found["r"], r, atol=1e-5)
        halves = np.array(found["r_halves"].tolist())
        assert halves.shape == (len(final), 6)
        # Halves and complements: of independent noise their mean is near r of all.
        np.testing.assert_allclose(halves.mean(axis=1), found["r"], atol=0.02)
