"""Depth: bins against the definition, shares, and whether matches prefer equal depth, against
permutations.
"""

import numpy as np
import pandas as pd
import pytest
from planted_populations import rungs
from scipy import stats

from rosetta.analysis.depth import depth_agreement, depth_bins, depth_table, layer_pairs
from rosetta.config import Bootstrap
from rosetta.models.neurons import NeuronShape
from rosetta.report.neuron_section import agreement_sentence


@pytest.mark.parametrize("n_layers", [1, 2, 6, 11, 12, 13, 32])
def test_depth_bins_are_equal_parts_of_the_depth_and_none_is_empty(n_layers):
    bins, n_bins = depth_bins(n_layers), min(12, n_layers)
    depths = np.arange(n_layers) / max(n_layers - 1, 1)
    for edge, depth in zip(bins, depths, strict=True):
        assert edge / n_bins <= depth + 1e-12
        assert depth < (edge + 1) / n_bins + 1e-12 or depth == 1
    assert sorted(set(bins)) == list(range(n_bins))


def test_shares_over_depth_and_pairs_of_layers():
    table = depth_table(rungs({"share": 0.75}, {"share": 0.25}), Bootstrap())
    assert table["statistic"].value_counts().to_dict() == {"plain": 6, "above_untrained": 6}
    table = table[table["statistic"] == "plain"]
    small = table[table["model"] == "s"].set_index("bin")
    assert small["share"].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert small["share_all"].tolist() == [0.5, 0.5]
    assert small["n_bins"].tolist() == [2, 2]
    low, high = stats.binomtest(100, 150).proportion_ci(0.95, method="wilson")
    assert small.loc[0, ["ci_low", "ci_high"]].tolist() == pytest.approx([low, high])
    assert table.groupby("model")["share"].sum().tolist() == pytest.approx([1, 1])
    few = depth_table(rungs({"share": 0.05}, {"share": 0.25}), Bootstrap())
    assert few.loc[few["model"] == "s", ["ci_low", "ci_high"]].isna().all(axis=None), (
        "ten Rosetta Neurons"
    )
    matches = pd.DataFrame({"layer_a": [0, 0, 1], "layer_b": [2, 2, 0], "r": [0.4, 0.6, 0.1]})
    pairs = layer_pairs(matches, NeuronShape(2, 5), NeuronShape(3, 5)).set_index(
        ["layer_a", "layer_b"]
    )
    assert pairs["matches"].sum() == 3
    assert pairs.loc[(0, 2), ["matches", "mean_r"]].tolist() == [2, 0.5]
    assert np.isnan(pairs.loc[(1, 1), "mean_r"])


def agreement(layer_a, layer_b, n_a=4, n_b=6):
    matches = pd.DataFrame({"layer_a": layer_a, "layer_b": layer_b, "r": 0.5})
    pairs = layer_pairs(matches, NeuronShape(n_a, 5), NeuronShape(n_b, 5)).assign(
        model_a="a", model_b="b"
    )
    return depth_agreement(pairs, Bootstrap()).iloc[0]


@pytest.mark.parametrize("follows", [0.0, 0.15, 1.0])
def test_agreement_in_depth_is_that_of_a_permutation_test(follows):
    rng = np.random.default_rng(0)
    layer_a = rng.integers(4, size=60)
    layer_b = np.where(rng.random(60) < follows, layer_a * 5 // 3, rng.integers(6, size=60))
    found = agreement(layer_a, layer_b)
    distance = np.abs(layer_a / 3 - layer_b / 5).mean()
    shuffled = np.array(
        [np.abs(layer_a / 3 - rng.permutation(layer_b) / 5).mean() for _ in range(4000)]
    )
    assert (found["matches"], found["distance"]) == (60, pytest.approx(distance))
    assert found["expected"] == pytest.approx(
        shuffled.mean(), abs=3 * shuffled.std() / np.sqrt(4000)
    )
    p = np.mean(np.abs(shuffled - shuffled.mean()) >= abs(distance - shuffled.mean()))
    assert found["p"] == pytest.approx(p, abs=0.03)
    assert (found["p"] < 0.001) == (follows == 1.0)


def test_few_matches_and_single_layers_say_nothing_of_depth():
    few = agreement([0] * 7 + [3] * 7, [0] * 7 + [5] * 7)
    assert (few["distance"], np.isnan(few["p"])) == (0.0, True)
    assert np.isnan(agreement([0] * 20, [0, 1] * 10, n_a=1)["p"]), (
        "one layer has every distance in any order"
    )
    assert np.isnan(agreement([0] * 20, [0] * 20, n_a=1, n_b=1)["p"])
    assert agreement([], []).isna().tolist() == [False, False, False, True, True, True]


def test_the_sentence_counts_the_pairs_that_prefer_equal_depth():
    table = pd.DataFrame(
        [
            ("a", "b", 100, 0.1, 0.4, 1e-6),
            ("a", "c", 300, 0.5, 0.4, 1e-4),
            ("b", "c", 100, 0.3, 0.4, 0.02),
            ("b", "d", 100, 0.3, 0.4, 0.06),
            ("c", "d", 5, 0.0, 0.4, np.nan),
        ],
        columns=["model_a", "model_b", "matches", "distance", "expected", "p"],
    )
    sentence = agreement_sentence(table)
    assert "lie 0.37 of the depth apart on average, and would lie 0.40 apart" in sentence
    assert "nearer in 2 and farther in 1 of 4 pairs" in sentence
    assert "No pair of models has enough matches" in agreement_sentence(table[-1:])
