"""Counts of Rosetta Neurons per rung of every ladder."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rosetta.config import Config, group_name, group_pairs
from rosetta.files import read_manifest
from rosetta.models.neurons import NeuronShape
from rosetta.paths import Paths
from rosetta.tables import read_parquet, read_parquet_metadata

COUNT_COLUMNS = [
    "ladder", "rung", "models", "n_neurons", "n_positions", "matches", "n_dead_a", "n_dead_b", "mean_r",
]  # fmt: skip


def count_table(config: Config, paths: Paths) -> pd.DataFrame:
    """Return one row per rung of every ladder.

    `n_neurons` is the mean neuron count of the rung's models, the size x of the scaling law. `matches` is the
    number of matches of a pair, or of anchor neurons matched with every other model in larger groups; `mean_r`
    is the mean correlation of those matches. `n_dead_a` and `n_dead_b` are the dead neurons of both models on the
    positions that they share.

    A larger group has one comparison, with aligned positions of its own, per model that is not the anchor. There
    `n_positions` is the minimum over the comparisons, `n_dead_a` the maximum over them of the anchor's dead neurons,
    `n_dead_b` the sum over them of the other model's, and `mean_r` the mean over all of their matches.
    """
    rows = [
        {"ladder": ladder, "rung": number, **_count_group(tuple(rung), paths)}
        for ladder, rungs in config.ladders.items()
        for number, rung in enumerate(rungs)
    ]
    return pd.DataFrame(rows, columns=COUNT_COLUMNS)


def _count_group(group: tuple[str, ...], paths: Paths) -> dict:
    neurons = read_parquet(paths.rosetta(group_name(group)))
    facts = [read_parquet_metadata(paths.matches(group_name(pair))) for pair in group_pairs(group)]
    anchors = neurons.drop_duplicates(["layer_anchor", "unit_anchor"])
    return {
        "models": group_name(group),
        "n_neurons": float(np.mean([model_shape(paths, model).n_neurons for model in group])),
        "n_positions": min(fact["n_positions"] for fact in facts),
        "matches": len(neurons) if len(group) == 2 else len(anchors),
        "n_dead_a": max(fact["n_dead_a"] for fact in facts),
        "n_dead_b": sum(fact["n_dead_b"] for fact in facts),
        "mean_r": float(neurons["r"].mean()) if len(neurons) else float("nan"),
    }


def model_shape(paths: Paths, model: str) -> NeuronShape:
    """Return a model's neuron counts from its manifest."""
    manifest = read_manifest(paths.model_manifest(model), "model")
    return NeuronShape(manifest["n_layers"], manifest["d_mlp"])
