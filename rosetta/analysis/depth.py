"""Where in depth Rosetta Neurons lie (method, section 9; Dravid 2026, section 5.2)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rosetta.analysis.bootstrap import mean_estimate
from rosetta.analysis.populations import Rung
from rosetta.config import Bootstrap
from rosetta.models.neurons import NeuronShape

N_BINS = 12
DEPTH_COLUMNS = [
    "ladder", "rung", "model", "n_neurons", "statistic", "bin", "n_layers", "share", "ci_low", "ci_high", "n",
    "share_all",
]  # fmt: skip
LAYER_PAIR_COLUMNS = ["model_a", "layer_a", "model_b", "layer_b", "matches", "mean_r"]


def depth_bins(n_layers: int) -> np.ndarray:
    """Return the bin of every layer: layer / (L − 1) in `N_BINS` equal bins, the last of which is closed."""
    return np.minimum(np.arange(n_layers) * N_BINS // max(n_layers - 1, 1), N_BINS - 1)


def depth_table(rungs: list[Rung], settings: Bootstrap) -> pd.DataFrame:
    """Return, per model of every rung, statistic and bin of depth, the share of its Rosetta Neurons.

    `statistic` is `plain` for all Rosetta Neurons, `above_…` for those whose matches are above that null.
    `n_layers` is the number of the model's layers in the bin (a model of few layers leaves bins empty), `n` its number
    of Rosetta Neurons, and `share_all` the bin's share of all its neurons: what the share would be if Rosetta
    Neurons were spread evenly.
    """
    rows = []
    for rung in rungs:
        for one in rung.sample:
            model, shape = one.population.model, one.population.shape
            bins = depth_bins(shape.n_layers)
            layers = np.bincount(bins, minlength=N_BINS)
            of_neuron = bins[one.population.neurons["layer"].to_numpy()]
            for statistic, mask in one.by_statistic().items():
                inside = of_neuron[mask][:, None] == np.arange(N_BINS)
                share = mean_estimate(inside, settings, "depth", rung.ladder, rung.number, model)
                low, high = share.interval()
                rows += [
                    (
                        *(rung.ladder, rung.number, model, shape.n_neurons, statistic, i, layers[i]),
                        *(share.value[i], low[i], high[i], share.n[i], layers[i] / shape.n_layers),
                    )
                    for i in range(N_BINS)
                ]
    return pd.DataFrame(rows, columns=DEPTH_COLUMNS)


def layer_pairs(matches: pd.DataFrame, shape_a: NeuronShape, shape_b: NeuronShape) -> pd.DataFrame:
    """Return the number of matches of every pair of layers of two models, and their mean r (NaN without any)."""
    counted = matches.groupby(["layer_a", "layer_b"])["r"].agg(["size", "mean"])
    every = pd.MultiIndex.from_product([range(shape_a.n_layers), range(shape_b.n_layers)], names=["layer_a", "layer_b"])
    table = counted.reindex(every).reset_index().rename(columns={"size": "matches", "mean": "mean_r"})
    return table.assign(matches=table["matches"].fillna(0).astype(int))
