"""Rosetta Neurons against the others: intervals against SciPy, tables and findings where the answer is known."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rosetta.analysis.bootstrap import mean_estimate
from rosetta.analysis.depth import depth_bins, depth_table, layer_pairs
from rosetta.analysis.findings import NOT_SUPPORTED, SUPPORTED, UNDECIDED, count_finding, findings_table
from rosetta.analysis.groups import (
    POLARIZATION_COLUMNS,
    SPECIALIZATION_COLUMNS,
    polarization,
    polarization_tables,
    selectivity_table,
    specialization,
    specialization_tables,
)
from rosetta.analysis.populations import MEASURES, Population, Rung, cluster_numbers
from rosetta.analysis.specialization import categories_of, normalized_fire, random_draws
from rosetta.config import Bootstrap, Config, Specialization
from rosetta.errors import ConfigError
from rosetta.models.neurons import NeuronShape

SETTINGS = Bootstrap(n_resamples=2000)
CONFIG = Config.model_construct(bootstrap=Bootstrap(), specialization=Specialization(n_random=50))


def test_intervals_are_those_of_scipy():
    values = np.random.default_rng(0).gamma(1.0, size=(80, 2))
    values[:30, 1] = np.nan
    estimate = mean_estimate(values, SETTINGS, "x")
    low, high = estimate.interval()
    for column, n in ((0, 80), (1, 50)):
        own = values[-n:, column]
        expected = stats.bootstrap((own,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
        assert estimate.value[column] == pytest.approx(own.mean())
        assert estimate.n[column] == n
        assert (low[column], high[column]) == pytest.approx(expected, abs=0.05)
    again = mean_estimate(values, SETTINGS, "x")
    np.testing.assert_array_equal(estimate.replicates, again.replicates)
    assert not np.array_equal(estimate.replicates, mean_estimate(values, SETTINGS, "y").replicates)


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    settings = Bootstrap(n_resamples=300)
    ends = [mean_estimate(rng.normal(size=(60, 1)), settings, i).interval() for i in range(400)]
    assert abs(np.mean([low < 0 < high for low, high in ends]) - 0.95) < 0.04


def test_weights_count_rows_several_times():
    values = np.array([[1.0], [2.0], [6.0]])
    assert mean_estimate(values, SETTINGS, weights=np.array([2, 1, 0])).value == pytest.approx(4 / 3)


def test_clusters_are_resampled_whole():
    """Against SciPy on the means of clusters of equal size, which then are what is resampled."""
    values = np.repeat(np.random.default_rng(0).gamma(1.0, size=(60, 1)), 3, axis=0)
    values += np.random.default_rng(1).normal(0, 0.01, size=values.shape)
    clusters = np.repeat(np.arange(60), 3)
    order = np.random.default_rng(2).permutation(180)
    low, high = mean_estimate(values[order], SETTINGS, "x", clusters=clusters[order]).interval()
    means = values.reshape(60, 3).mean(axis=1)
    expected = stats.bootstrap((means,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert (low[0], high[0]) == pytest.approx(expected, abs=0.05)
    apart = mean_estimate(values, SETTINGS, "x").interval()
    assert high[0] - low[0] > 1.5 * (apart[1][0] - apart[0][0])
    assert np.isnan(mean_estimate(values[:3], SETTINGS, clusters=np.zeros(3, int)).interval()).all()


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_values_have_no_interval(n):
    estimate = mean_estimate(np.ones((n, 1)), SETTINGS)
    assert np.isnan(estimate.interval()).all()
    assert np.isnan(estimate.value).all() == (n == 0)


def test_normalized_fire_where_the_answer_is_known():
    """Category x has 1/4 of the tokens: a neuron with half of its contexts there has NormalizedFire 2."""
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
    fire = normalized_fire(contexts, np.array([1.0, 1.0, 0.0, 5.0]), 2, by_domain, np.array([25, 75]))
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


def population(model, n_layers, d_mlp, share, kurtosis=(0.0, 0.0), fire=((1.0, 1.0), (1.0, 1.0)), seed=0):
    """A model in which the first `share` of the neurons are Rosetta, with given means of both groups."""
    rng = np.random.default_rng(seed)
    shape = NeuronShape(n_layers, d_mlp)
    n = shape.n_neurons
    rosetta = np.arange(n) < share * n
    neurons = pd.DataFrame(rng.normal(size=(n, len(MEASURES))), columns=MEASURES)
    neurons["excess_kurtosis"] += np.where(rosetta, *kurtosis)
    neurons.insert(0, "layer", np.arange(n) // d_mlp)
    neurons.insert(1, "unit", np.arange(n) % d_mlp)
    dead = np.arange(n) == n - 1
    neurons.loc[dead, MEASURES] = 1e6  # must not count
    firing = np.where(rosetta[:, None], *map(np.array, fire)) + rng.normal(0, 0.1, size=(n, 2))
    above = {"above_untrained": {"g": rosetta & (np.arange(n) % 2 == 0)}}
    clusters = {"g": np.where(rosetta, np.arange(n), -1)}
    return Population(model, shape, neurons, dead, firing, ["code", "prose"], clusters, above)


def rungs(small, large):
    return [
        Rung("l", 0, "g", [population("s", 2, 100, **small)]),
        Rung("l", 1, "g", [population("m", 4, 200, **large)]),
    ]


LAWS = pd.DataFrame(
    {
        "ladder": "l",
        "statistic": ["plain", "above_untrained"],
        "alpha": [0.6, 0.7],
        "alpha_ci_low": 0.4,
        "alpha_ci_high": 0.8,
        "n_rungs": 4,
    }
)


def verdicts(small, large):
    """Judge all matches; the table of matches above the null is checked where it is spoken of."""
    table = findings_table(rungs(small, large), LAWS, CONFIG)
    table = table[table["statistic"] == "plain"]
    return dict(zip(table["finding"], table["verdict"], strict=True)), table


def test_planted_findings_are_supported():
    said, table = verdicts(
        {"share": 0.4, "kurtosis": (1, 0)},
        {"share": 0.2, "kurtosis": (4, 0), "fire": ((2.0, 0.5), (1.0, 1.0))},
    )
    assert set(said.values()) == {SUPPORTED}
    share = table.set_index("finding").loc["share falling"]
    assert share["value"] == pytest.approx(-0.2)
    assert share["ci_low"] < -0.2 < share["ci_high"] < 0
    sentence = table.set_index("finding").loc["specialization", "sentence"]
    assert re.search(r"it rises for code \+(0\.9|1\.0).* and falls for prose -0\.5", sentence)


def test_what_is_not_there_is_not_supported():
    said, table = verdicts({"share": 0.2}, {"share": 0.2})
    assert said.pop("count sublinear") == SUPPORTED
    assert set(said.values()) == {NOT_SUPPORTED}
    assert table["sentence"].iloc[1:].str.contains("not shown").all()


def test_a_gap_that_narrows_or_a_shift_of_all_neurons_is_not_supported():
    both = ((2.0, 0.5), (2.0, 0.5))
    said, _ = verdicts({"share": 0.1, "kurtosis": (4, 0)}, {"share": 0.3, "kurtosis": (1, 0), "fire": both})
    assert said["polarization"] == said["specialization"] == said["share falling"] == NOT_SUPPORTED


def test_a_gap_that_widens_but_is_still_below_zero_is_no_polarization():
    said, table = verdicts({"share": 0.3, "kurtosis": (-4, 0)}, {"share": 0.3, "kurtosis": (-1, 0)})
    assert table.set_index("finding").loc["polarization", "ci_low"] > 0, "the change alone would do"
    assert said["polarization"] == NOT_SUPPORTED


def test_intervals_of_domains_hold_together():
    """Two domains: each interval has a confidence of 97.5%."""
    members = rungs({"share": 0.3}, {"share": 0.3, "fire": ((1.5, 1.0), (1.0, 1.0))})
    found = findings_table(members, LAWS, CONFIG).set_index(["finding", "statistic"]).loc["specialization", "plain"]
    means = [specialization(rung.sample, CONFIG, rung.ladder, rung.number) for rung in members]
    excess = [mean["rosetta"] - mean["non_rosetta"] for mean in means]
    low, high = (excess[1] - excess[0]).interval(0.975)
    assert (found["ci_low"], found["ci_high"]) == (low[0], high[0])


def test_findings_are_judged_on_matches_above_a_null_too():
    """Every other Rosetta Neuron is above the null; the others are the same neurons as for all matches."""
    members = rungs({"share": 0.4, "kurtosis": (1, 0)}, {"share": 0.2, "kurtosis": (4, 0)})
    table = findings_table(members, LAWS, CONFIG).set_index(["finding", "statistic"])
    above = table.xs("above_untrained", level="statistic")
    assert len(above) == 4
    assert above["sentence"].str.startswith("Of matches above the null of untrained twins: ").all()
    assert above.loc["count sublinear", "value"] == 0.7
    assert above.loc["share falling", "value"] == pytest.approx(-0.1)
    own = [one.populations[0] for one in members]
    gaps = [
        one.neurons.loc[one.above["above_untrained"]["g"], "excess_kurtosis"].mean()
        - one.neurons.loc[~one.rosetta["g"] & ~one.dead, "excess_kurtosis"].mean()
        for one in own
    ]
    assert above.loc["polarization", "value"] == pytest.approx(gaps[1] - gaps[0])


def test_one_rung_cannot_be_judged():
    table = findings_table(rungs({"share": 0.2}, {"share": 0.2})[:1], LAWS.assign(alpha_ci_low=np.nan), CONFIG)
    assert set(table["verdict"]) == {UNDECIDED}


@pytest.mark.parametrize(
    ("low", "high", "verdict", "words"),
    [
        (0.4, 0.8, SUPPORTED, "sublinearly"),
        (0.4, 1.2, NOT_SUPPORTED, "includes 1"),
        (1.1, 1.3, NOT_SUPPORTED, "above 1"),
        (-0.9, -0.1, NOT_SUPPORTED, "does not grow"),
    ],
)
def test_the_count_is_judged_by_its_interval(low, high, verdict, words):
    law = LAWS.assign(alpha=(low + high) / 2, alpha_ci_low=low, alpha_ci_high=high).iloc[0]
    found = count_finding("l", "plain", law)
    assert (found.verdict, words in found.sentence) == (verdict, True)


def test_the_tables_hold_the_means():
    members = rungs({"share": 0.4, "kurtosis": (3, 0)}, {"share": 0.2, "kurtosis": (3, 0)})
    by_rung, by_model = polarization_tables(members, CONFIG)
    assert by_rung.columns.tolist() == POLARIZATION_COLUMNS
    row = by_rung.set_index(["rung", "group", "statistic"]).loc[0, "rosetta", "excess_kurtosis"]
    own = members[0].populations[0]
    assert row["mean"] == pytest.approx(own.neurons.loc[own.rosetta["g"], "excess_kurtosis"].mean())
    assert row["n"] == 80
    others = by_rung.set_index(["rung", "group", "statistic"]).loc[0, "non_rosetta", "excess_kurtosis"]
    assert others["n"] == 119, "the dead neuron is in neither group"
    assert (by_rung["ci_low"] < by_rung["ci_high"]).all()
    assert by_model["model"].unique().tolist() == ["s", "m"]
    populations = [rung.populations[0] for rung in members]
    per_model, per_rung = specialization_tables(populations, members, CONFIG)
    assert per_model.columns.tolist() == SPECIALIZATION_COLUMNS
    assert len(per_model) == len(per_rung) == 12
    assert per_model["group"].unique().tolist() == ["rosetta", "rosetta_above_untrained", "non_rosetta"]
    half = by_rung.set_index(["rung", "group", "statistic"]).loc[0, "rosetta_above_untrained", "excess_kurtosis"]
    assert half["n"] == 40
    assert half["mean"] == pytest.approx(own.neurons.loc[own.above["above_untrained"]["g"], "excess_kurtosis"].mean())
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


@pytest.mark.parametrize("n_layers", [1, 2, 6, 12, 13, 32])
def test_depth_bins_are_equal_parts_of_the_depth(n_layers):
    bins = depth_bins(n_layers)
    depths = np.arange(n_layers) / max(n_layers - 1, 1)
    for edge, depth in zip(bins, depths, strict=True):
        assert edge / 12 <= depth + 1e-12
        assert depth < (edge + 1) / 12 + 1e-12 or depth == 1
    assert bins[-1] == (11 if n_layers > 1 else 0)


def test_shares_over_depth_and_pairs_of_layers():
    table = depth_table(rungs({"share": 0.75}, {"share": 0.25}), Bootstrap())
    assert table["statistic"].value_counts().to_dict() == {"plain": 24, "above_untrained": 24}
    table = table[table["statistic"] == "plain"]
    small = table[table["model"] == "s"].set_index("bin")
    assert small.loc[[0, 11], "share"].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert small.loc[[0, 11], "share_all"].tolist() == [0.5, 0.5]
    assert table.groupby("model")["share"].sum().tolist() == pytest.approx([1, 1])
    matches = pd.DataFrame({"layer_a": [0, 0, 1], "layer_b": [2, 2, 0], "r": [0.4, 0.6, 0.1]})
    pairs = layer_pairs(matches, NeuronShape(2, 5), NeuronShape(3, 5)).set_index(["layer_a", "layer_b"])
    assert pairs["matches"].sum() == 3
    assert pairs.loc[(0, 2), ["matches", "mean_r"]].tolist() == [2, 0.5]
    assert np.isnan(pairs.loc[(1, 1), "mean_r"])
