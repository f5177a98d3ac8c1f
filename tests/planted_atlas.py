"""Atlases of planted matches, for tests: no run is behind them."""

import numpy as np
import pandas as pd

from rosetta.atlas.folder import Atlas
from rosetta.atlas.run_neurons import Matched

FACTS = {
    "origin": "planted",
    "texts": "all",
    "pictures": False,
    "licence": "other",
    "versions": {"rosetta": "0"},
}


def model(name, weights="", source="unknown", location="", revision="", n_neurons=None):
    told = {"weights": weights, "location": location, "revision": revision}
    return {"model": name, "source": source, **{key: value or None for key, value in told.items()},
            "n_neurons": n_neurons}  # fmt: skip


def atlas_of(matches, models, **more):
    """An atlas of matches (anchor model, layer, unit, model, layer, unit, r), and of models."""
    columns = ["model_anchor", "layer_anchor", "unit_anchor", "model", "layer", "unit", "r"]
    table = pd.DataFrame(matches, columns=columns)
    table = table.assign(
        ladder="planted",
        rung=0,
        group=table["model_anchor"] + "--" + table["model"],
        neuron_anchor=[
            f"L{a}/U{b}" for a, b in zip(table["layer_anchor"], table["unit_anchor"], strict=True)
        ],
        neuron=[f"L{a}/U{b}" for a, b in zip(table["layer"], table["unit"], strict=True)],
    )
    neurons = Matched.of(table).neurons
    named = [f"L{a}/U{b}" for a, b in zip(neurons["layer"], neurons["unit"], strict=True)]
    rows = {
        "matches": table,
        "neurons": neurons.assign(neuron=named),
        "models": pd.DataFrame(models),
    }
    return Atlas.of({**rows, **more}, FACTS)


def random_matches(rng, models, n, n_layers=2, d_mlp=6):
    """Matches of an anchor with another model, each neuron in one of them."""
    size = n_layers * d_mlp
    a, b = (rng.permutation(size)[:n] for _ in range(2))
    r = rng.uniform(0.1, 0.9, n)
    return [
        (models[0], int(u) // d_mlp, int(u) % d_mlp, models[1], int(v) // d_mlp, int(v) % d_mlp, x)
        for u, v, x in zip(a, b, np.round(r, 6), strict=True)
    ]
