"""Which neurons may be judged: the Rosetta Neurons of a model's stores, and its other neurons."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rosetta.analysis.columns import NEURON_COLUMNS
from rosetta.analysis.image_tables import read_image_table
from rosetta.config import Config, group_name, group_pairs
from rosetta.config.names import model_of_store
from rosetta.judging.trials import Candidates
from rosetta.matching.mutual import ROSETTA_COLUMNS
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_parquet


def candidates_of(config: Config, paths: Paths, store: str) -> Candidates:
    """Return the neurons of some stores that may be drawn.

    Rosetta Neurons are those of the groups whose pairs were compared on these stores. Others are of
    no group of the model, and not dead.
    """
    model = model_of_store(store)
    groups = [group for group in config.groups() if model in group]
    rosetta = {
        group: _of_model(read_parquet(paths.rosetta(group_name(group)), ROSETTA_COLUMNS), model)
        for group in groups
    }
    empty = np.empty((0, 2), np.int64)
    of_store = [found for group, found in rosetta.items() if store in _stores(config, group)]
    live = _live_neurons(config, paths, store)
    others = _without(live, np.concatenate([empty, *rosetta.values()]))
    return Candidates(store, np.unique(np.concatenate([empty, *of_store]), axis=0), others)


def _stores(config: Config, group: tuple[str, ...]) -> set[str]:
    pairs = map(group_name, group_pairs(group))
    return {store for pair in pairs for store in config.stores_of(pair)}


def _of_model(rosetta: pd.DataFrame, model: str) -> np.ndarray:
    """Return layer and unit of a model's neurons among a group's Rosetta Neurons."""
    sides = [
        rosetta.loc[rosetta[f"model{side}"] == model, [f"layer{side}", f"unit{side}"]]
        for side in ("_anchor", "")
    ]
    return np.concatenate([side.to_numpy(np.int64) for side in sides])


def _live_neurons(config: Config, paths: Paths, store: str) -> np.ndarray:
    """Return layer and unit of all neurons that are not constant."""
    if config.modality_of(store) == "text":
        table = read_parquet(paths.neurons(store), NEURON_COLUMNS)
    else:
        table = read_image_table(paths, "neurons", store)
    return table.loc[table["activation_variance"] > 0, ["layer", "unit"]].to_numpy(np.int64)


def _without(neurons: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    known = set(map(tuple, left_out.tolist()))
    kept = [one not in known for one in map(tuple, neurons.tolist())]
    found: np.ndarray = neurons[np.array(kept, dtype=bool)]
    return found
