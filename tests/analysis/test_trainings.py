"""The counts of every group of trainings, from matches that are planted."""

import numpy as np
import pandas as pd
import pytest

from rosetta.analysis.counts import TRAINING_COLUMNS, training_table
from rosetta.config import group_name, parse_config
from rosetta.matching.mutual import MATCH_COLUMNS
from rosetta.run.paths import Paths
from rosetta.storage.manifests import write_manifest
from rosetta.storage.tables import write_parquet

R = {"a--b": [0.2, 0.35, 0.9], "c--b": [0.65, 0.7]}


@pytest.fixture
def run(tmp_path):
    """Two trainings of one model, a and c, against b; two neurons of a and one of c pass 0.3."""
    config = parse_config(
        {
            "models": {
                "a": {"path": "a"},
                "b": {"path": "b"},
                "c": {"path": "c", "replicate_of": "a"},
            },
            "ladders": {"l": [["a", "b"]]},
        }
    )
    paths = Paths(tmp_path)
    for model, d_mlp in (("a", 10), ("b", 20), ("c", 10)):
        shape = {"kind": "model", "n_layers": 1, "d_mlp": d_mlp}
        write_manifest(paths.model_manifest(model), shape)
    for pair, r in R.items():
        a, b = pair.split("--")
        unit = np.arange(len(r))
        table = pd.DataFrame({"model_a": a, "unit_a": unit, "model_b": b, "unit_b": unit, "r": r})
        table = table.assign(layer_a=0, layer_b=0, rank_a=1, rank_b=1, margin_a=0.0, margin_b=0.0)
        write_parquet(paths.matches(pair), table[MATCH_COLUMNS])
    return config, paths


def test_there_is_a_row_per_group_of_trainings(run):
    table = training_table(*run, {"l": {"plain": -np.inf, "above_untrained": 0.5}})
    assert list(table.columns) == TRAINING_COLUMNS
    assert table["models"].tolist() == [group_name(pair) for pair in run[0].all_pairs()]
    assert table["families"].nunique() == 1, "a replicate is of its model's family"
    assert table["n_neurons"].tolist() == [15.0, 15.0]
    assert table["matches"].tolist() == [3, 2]
    assert table["above_untrained"].tolist() == [1, 2]
    assert table["matches_above_0.3"].tolist() == [2, 2]
    assert table["matches_above_0.6"].tolist() == [1, 2]
    assert table["mean_r"].to_numpy() == pytest.approx([np.mean(r) for r in R.values()])


def test_a_count_without_a_threshold_is_not_told(run):
    table = training_table(*run, {"l": {"plain": -np.inf, "above_untrained": np.nan}})
    assert table["above_untrained"].isna().all()
    assert table["matches"].notna().all()
