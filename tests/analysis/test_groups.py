"""Rosetta Neurons against the others: tables and findings where the answer is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted_populations import population, rungs

from rosetta.analysis.bootstrap import mean_estimate
from rosetta.analysis.groups import (
    POLARIZATION_COLUMNS,
    SPECIALIZATION_COLUMNS,
    polarization,
    polarization_tables,
    selectivity_table,
    specialization,
    specialization_tables,
)
from rosetta.analysis.populations import Rung, cluster_numbers
from rosetta.analysis.specialization import categories_of, normalized_fire, random_draws
from rosetta.config import Bootstrap, Config, Specialization
from rosetta.errors import ConfigError
from rosetta.models.neurons import NeuronShape

SETTINGS = Bootstrap(n_resamples=2000)
CONFIG = Config.model_construct(bootstrap=Bootstrap(), specialization=Specialization(n_random=50))


def test_weights_count_rows_several_times():
    values = np.array([[1.0], [2.0], [6.0]])
    assert mean_estimate(values, SETTINGS, weights=np.array([2, 1, 0])).value == pytest.approx(
        4 / 3
    )


def test_normalized_fire_where_the_answer_is_known():
    """Category x has 1/4 of the tokens: a neuron with half of its contexts there has NormalizedFire
    2.
    """
    contexts = pd.DataFrame(
        {
            "layer": [0] * 4 + [0] * 4 + [1] * 2,
            "unit": [0] * 4 + [1] * 4 + [0] * 2,
            "domain": pd.Categorical(list("ppqq") + list("ppqr") + list("qr")),
            "value": [3.0, 3, 3, 3, 3, 3, 1, 1, 0, 0],  # values up to the mean are no activations
        }
    )
    names, category = categories_of(["p", "q", "r"], {"p": "x", "q": "y", "r": "y", "unused": "z"})
    assert names == ["x", "y"]
    by_domain = dict(zip("pqr", category, strict=True))
    fire = normalized_fire(
        contexts, np.array([1.0, 1.0, 0.0, 5.0]), 2, by_domain, np.array([25, 75])
    )
    np.testing.assert_allclose(fire[:2], [[2, 2 / 3], [4, 0]])
    assert np.isnan(fire[2:]).all()


def test_categories():
    assert categories_of(["a", ""], None)[0] == ["a", "(none)"]
    names, category = categories_of(["Github", "Books3", "ArXiv"], "pile")
    assert [names[i] for i in category] == ["code", "prose", "formal"]
    with pytest.raises(ConfigError, match=r"specialization\.categories: has no category for 'b'"):
        categories_of(["a", "b"], {"a": "x"})


def test_draws_are_without_replacement_and_from_the_candidates():
    candidates = np.arange(100) % 2 == 0
    times = random_draws(candidates, Specialization(n_random=20, n_draws=3), "m")
    assert times.sum() == 60
    assert times.max() <= 3
    assert not times[~candidates].any()
    everything = random_draws(candidates, Specialization(n_random=1000, n_draws=3), "m")
    np.testing.assert_array_equal(everything, np.where(candidates, 3, 0))


def test_the_tables_hold_the_means():
    members = rungs({"share": 0.4, "kurtosis": (3, 0)}, {"share": 0.2, "kurtosis": (3, 0)})
    by_rung, by_model = polarization_tables(members, CONFIG)
    assert by_rung.columns.tolist() == POLARIZATION_COLUMNS
    row = by_rung.set_index(["rung", "group", "statistic"]).loc[0, "rosetta", "excess_kurtosis"]
    own = members[0].populations[0]
    assert row["mean"] == pytest.approx(own.neurons.loc[own.rosetta["g"], "excess_kurtosis"].mean())
    assert row["n"] == 80
    kurtosis = by_rung.set_index(["rung", "group", "statistic"]).loc[
        0, "rosetta", "log_activation_kurtosis"
    ]
    assert kurtosis["mean"] == pytest.approx(
        np.log(own.neurons.loc[own.rosetta["g"], "activation_kurtosis"] + 3).mean()
    )
    assert "activation_kurtosis" not in set(by_rung["statistic"]), (
        "its mean is that of a few nearly dead neurons"
    )
    others = by_rung.set_index(["rung", "group", "statistic"]).loc[
        0, "non_rosetta", "excess_kurtosis"
    ]
    assert others["n"] == 119, "the dead neuron is in neither group"
    assert (by_rung["ci_low"] < by_rung["ci_high"]).all()
    assert by_model["model"].unique().tolist() == ["s", "m"]
    populations = [rung.populations[0] for rung in members]
    per_model, per_rung = specialization_tables(populations, members, CONFIG)
    assert per_model.columns.tolist() == SPECIALIZATION_COLUMNS
    assert len(per_model) == len(per_rung) == 12
    assert per_model["group"].unique().tolist() == [
        "rosetta",
        "rosetta_above_untrained",
        "non_rosetta",
    ]
    half = by_rung.set_index(["rung", "group", "statistic"]).loc[
        0, "rosetta_above_untrained", "excess_kurtosis"
    ]
    assert half["n"] == 40
    assert half["mean"] == pytest.approx(
        own.neurons.loc[own.above["above_untrained"]["g"], "excess_kurtosis"].mean()
    )
    table = selectivity_table(populations)
    assert table.groupby("model", sort=False)["is_rosetta"].sum().tolist() == [80, 160]
    assert set(table.loc[table["is_rosetta"], "groups"]) == {"g"}
    assert table["dead"].sum() == 2
    assert table.groupby("model", sort=False)["above_untrained"].sum().tolist() == [40, 80]
    assert table["above_documents"].isna().all(), "there is no such null"


def test_clusters_are_of_both_sides():
    table = pd.DataFrame(
        [("a", 1, 2, "b", 0, 1, 0.9), ("a", 1, 2, "c", 1, 0, 0.9)],
        columns=["model_anchor", "layer_anchor", "unit_anchor", "model", "layer", "unit", "r"],
    )
    shape = NeuronShape(2, 3)
    numbers = {model: cluster_numbers(table, model, shape) for model in "abc"}
    assert [np.flatnonzero(numbers[model] >= 0).tolist() for model in "abc"] == [[5], [1], [3]]
    assert numbers["a"][5] == numbers["b"][1] == numbers["c"][3]
    assert (cluster_numbers(table[:0], "a", shape) == -1).all()


def test_what_matches_join_is_one_cluster():
    """With k > 1: anchors 0 and 1 share a partner, 1 and 2 another one; 4 stands apart."""
    links = [(0, 0), (1, 0), (1, 3), (2, 3), (4, 5)]
    columns = ["model_anchor", "layer_anchor", "unit_anchor", "model", "layer", "unit", "r"]
    table = pd.DataFrame([("a", 0, u, "b", 0, v, 0.5) for u, v in links], columns=columns)
    shape = NeuronShape(1, 6)
    a, b = (cluster_numbers(table, model, shape) for model in "ab")
    assert a[0] == a[1] == a[2] == b[0] == b[3] != a[4] == b[5]
    assert (a[[3, 5]] == -1).all()


def test_matched_neurons_of_a_rung_are_resampled_together():
    """A model beside its own copy, matched neuron by neuron, says no more than the model alone."""
    one = population("s", 2, 100, share=0.4, kurtosis=(1, 0))
    pair = Rung("l", 0, "g", [one, replace(one, model="t")])
    both, alone = (polarization(sample, CONFIG, "x") for sample in (pair.sample, pair.sample[:1]))
    specialized = [specialization(sample, CONFIG, "x") for sample in (pair.sample, pair.sample[:1])]
    for double, single in ((both, alone), specialized):
        for group in ("rosetta", "rosetta_above_untrained"):
            np.testing.assert_allclose(double[group].interval(), single[group].interval())
            np.testing.assert_array_equal(double[group].n, 2 * single[group].n)
