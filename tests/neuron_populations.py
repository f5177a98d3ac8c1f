"""Populations of random neurons, and the configuration that describes them."""

import numpy as np
import pandas as pd

from rosetta.analysis.populations import MEASURES, Population
from rosetta.config import Bootstrap, Config, Specialization
from rosetta.models.neurons import NeuronShape

CONFIG = Config.model_construct(
    bootstrap=Bootstrap(n_resamples=100, min_clusters=2), specialization=Specialization(n_random=50)
)


def population(model, n_layers, nulls, n_above=4):
    rng = np.random.default_rng(0)
    shape = NeuronShape(n_layers, 20)
    n = shape.n_neurons
    neurons = pd.DataFrame(rng.normal(size=(n, len(MEASURES))), columns=MEASURES)
    neurons["activation_kurtosis"] = rng.lognormal(size=n)
    neurons.insert(0, "layer", np.arange(n) // 20)
    neurons.insert(1, "unit", np.arange(n) % 20)
    clusters = {"g": np.where(np.arange(n) < 8, np.arange(n), -1)}
    above = [
        {name: {place: np.arange(n) < n_above} for name in nulls} for place in ("g", ("l", "g"))
    ]
    fire = rng.random((n, 2))
    return Population(
        model, shape, neurons, np.zeros(n, bool), fire, ["code", "prose"], clusters, *above
    )
