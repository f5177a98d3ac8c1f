"""Counts of groups, against the tables of their Rosetta Neurons."""

import numpy as np
import pandas as pd
import pytest

from rosetta.analysis.group_counts import count_group, group_keys
from rosetta.matching.mutual import rosetta_neurons


def matches(rng, other, n):
    """Some matches of k nearest neighbours: an anchor neuron may have several."""
    table = pd.DataFrame(
        {
            "model_a": "anchor",
            "layer_a": rng.integers(0, 3, n),
            "unit_a": rng.integers(0, 9, n),
            "model_b": other,
            "layer_b": rng.integers(0, 2, n),
            "unit_b": rng.integers(0, 9, n),
            "r": rng.random(n),
            "rank_a": 1,
        }
    )
    return table.drop_duplicates(["layer_a", "unit_a", "layer_b", "unit_b"], ignore_index=True)


@pytest.mark.parametrize("n_others", [1, 2, 3])
def test_a_group_counts_anchors_and_averages_all_of_their_matches(n_others):
    tables = [matches(np.random.default_rng(i), f"other-{i}", 20) for i in range(n_others)]
    found = count_group(tables)
    if n_others == 1:
        assert found == (len(tables[0]), pytest.approx(tables[0]["r"].mean()))
    else:
        anchors = [set(zip(table["layer_a"], table["unit_a"], strict=True)) for table in tables]
        assert found.matches == len(set.intersection(*anchors)) > 2
        assert found.mean_r == pytest.approx(rosetta_neurons(tables)["r"].mean())
    assert found.matches == len(group_keys(tables))


@pytest.mark.parametrize("n_others", [1, 2])
def test_a_group_without_a_match_has_no_mean(n_others):
    table = matches(np.random.default_rng(0), "other", 20)
    none = count_group([table[:0], table.assign(model_b="another")][:n_others])
    assert none.matches == 0
    assert np.isnan(none.mean_r)
