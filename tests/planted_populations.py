"""Models whose Rosetta Neurons differ from the others by what is planted."""

import numpy as np
import pandas as pd

from rosetta.analysis.populations import MEASURES, Population, Rung
from rosetta.models.neurons import NeuronShape


def population(
    model,
    n_layers,
    d_mlp,
    share,
    kurtosis=(0.0, 0.0),
    fire=((1.0, 1.0), (1.0, 1.0)),
    categories=("code", "prose"),
):
    """A model in which the first `share` of the neurons are Rosetta, with given means of both
    groups.
    """
    rng = np.random.default_rng(0)
    shape = NeuronShape(n_layers, d_mlp)
    n = shape.n_neurons
    rosetta = np.arange(n) < share * n
    neurons = pd.DataFrame(rng.normal(size=(n, len(MEASURES))), columns=MEASURES)
    neurons["activation_kurtosis"] = rng.lognormal(size=n)
    neurons["excess_kurtosis"] += np.where(rosetta, *kurtosis)
    neurons.insert(0, "layer", np.arange(n) // d_mlp)
    neurons.insert(1, "unit", np.arange(n) % d_mlp)
    dead = np.arange(n) == n - 1
    neurons.loc[dead, MEASURES] = 1e6  # must not count
    firing = np.where(rosetta[:, None], *map(np.array, fire)) + rng.normal(
        0, 0.1, size=(n, len(categories))
    )
    half = rosetta & (np.arange(n) % 2 == 0)
    above, above_in = {"above_untrained": {"g": half}}, {"above_untrained": {("l", "g"): half}}
    clusters = {"g": np.where(rosetta, np.arange(n), -1)}
    return Population(
        model, shape, neurons, dead, firing, list(categories), clusters, above, above_in
    )


def rungs(small, large):
    return [
        Rung("l", 0, "g", [population("s", 2, 100, **small)]),
        Rung("l", 1, "g", [population("m", 4, 200, **large)]),
    ]
