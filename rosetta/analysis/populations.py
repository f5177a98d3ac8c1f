"""The neurons of a model with everything measured of each, and which of them are Rosetta Neurons of which group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from rosetta.analysis.nulls import PLAIN
from rosetta.analysis.profiles import CONTEXT_COLUMNS, NEURON_COLUMNS
from rosetta.analysis.replicates import pair_thresholds
from rosetta.analysis.selectivity import VOCABULARY_COLUMNS
from rosetta.analysis.specialization import categories_of, normalized_fire
from rosetta.config import Config, group_name, group_pairs
from rosetta.errors import StoreError
from rosetta.matching import MATCH_COLUMNS, ROSETTA_COLUMNS, rosetta_neurons
from rosetta.models.neurons import NeuronShape
from rosetta.paths import Paths
from rosetta.tables import read_parquet, read_parquet_metadata

# Per-neuron numbers whose means are compared; the first is from the weights, the others from the activations.
STATISTICS = [
    "excess_kurtosis", "activation_mean", "activation_variance", "activation_skewness", "activation_kurtosis",
    "fraction_active", "domain_information",
]  # fmt: skip


@dataclass(frozen=True)
class Population:
    """All neurons of a model, in the order of (layer, unit).

    Attributes
    ----------
    model : str
        Name of the model entry.
    shape : NeuronShape
        Layers and units.
    neurons : DataFrame
        layer, unit and `STATISTICS`.
    dead : ndarray of bool, shape (n_neurons,)
        Whether the neuron never changed: such neurons belong to neither group.
    fire : ndarray of float32, shape (n_neurons, n_categories)
        `NormalizedFire` of each neuron.
    categories : list of str
        Names of the columns of `fire`.
    rosetta : dict of str to ndarray of bool, shape (n_neurons,)
        By group, which neurons are its Rosetta Neurons.
    above : dict of str to dict of str to ndarray of bool, shape (n_neurons,)
        The same by statistic (`above_…`), counting only matches above that null (`rosetta.analysis.nulls`).
    """

    model: str
    shape: NeuronShape
    neurons: pd.DataFrame
    dead: np.ndarray
    fire: np.ndarray
    categories: list[str]
    rosetta: dict[str, np.ndarray]
    above: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def of_group(self, group: str) -> Selection:
        """Return the Rosetta Neurons of one group."""
        return Selection(self, self.rosetta[group], {name: masks[group] for name, masks in self.above.items()})

    def of_any_group(self) -> Selection:
        """Return the neurons that are Rosetta Neurons of at least one group."""
        above = {name: np.any(list(masks.values()), axis=0) for name, masks in self.above.items()}
        return Selection(self, np.any(list(self.rosetta.values()), axis=0), above)


@dataclass(frozen=True)
class Selection:
    """A population with some of its neurons.

    Attributes
    ----------
    population : Population
        All neurons of a model.
    rosetta : ndarray of bool, shape (n_neurons,)
        Its Rosetta Neurons.
    above : dict of str to ndarray of bool, shape (n_neurons,)
        By statistic, those of them whose matches are above that null.
    """

    population: Population
    rosetta: np.ndarray
    above: dict[str, np.ndarray]

    @property
    def others(self) -> np.ndarray:
        """The non-Rosetta neurons: not matched, and not dead."""
        return ~self.rosetta & ~self.population.dead

    def by_statistic(self) -> dict[str, np.ndarray]:
        """Return the Rosetta Neurons by statistic, `plain` first."""
        return {PLAIN: self.rosetta, **self.above}


@dataclass(frozen=True)
class Rung:
    """A rung of a ladder with the populations of its models, anchor first."""

    ladder: str
    number: int
    group: str
    populations: list[Population]

    @property
    def n_neurons(self) -> float:
        """Mean neuron count of the rung's models, the size x of the scaling law."""
        return float(np.mean([population.shape.n_neurons for population in self.populations]))

    @property
    def sample(self) -> list[Selection]:
        """The models' neurons with the rung's Rosetta Neurons."""
        return [population.of_group(self.group) for population in self.populations]


def load_populations(config: Config, paths: Paths) -> dict[str, Population]:
    """Return the populations of all models that some ladder names."""
    above = {group: _above(paths, group, pair_thresholds(config, paths)) for group in config.groups()}
    return {model: _load(config, paths, model, above) for model in config.used_models()}


def _above(paths: Paths, group: tuple[str, ...], limits: dict[str, dict[str, float]]) -> dict[str, pd.DataFrame]:
    """Return the Rosetta Neurons of a group from matches above each null, by statistic."""
    names = [group_name(pair) for pair in group_pairs(group)]
    tables = {name: read_parquet(paths.matches(name), MATCH_COLUMNS) for name in names}
    return {
        statistic: rosetta_neurons([tables[name][tables[name]["r"] > limits[name][statistic]] for name in names])
        for statistic in limits[names[0]]
        if statistic != PLAIN
    }


def rungs_of(config: Config, populations: dict[str, Population]) -> Iterator[Rung]:
    """Yield every rung of every ladder."""
    for ladder, rungs in config.ladders.items():
        for number, group in enumerate(rungs):
            yield Rung(ladder, number, group_name(tuple(group)), [populations[model] for model in group])


def rosetta_mask(rosetta: pd.DataFrame, model: str, shape: NeuronShape) -> np.ndarray:
    """Return which neurons of a model are in a group's table of Rosetta Neurons (`matching.ROSETTA_COLUMNS`)."""
    own = rosetta["model"] == model
    layer = np.concatenate([rosetta.loc[rosetta["model_anchor"] == model, "layer_anchor"], rosetta.loc[own, "layer"]])
    unit = np.concatenate([rosetta.loc[rosetta["model_anchor"] == model, "unit_anchor"], rosetta.loc[own, "unit"]])
    mask = np.zeros(shape.n_neurons, dtype=bool)
    mask[layer.astype(np.int64) * shape.d_mlp + unit.astype(np.int64)] = True
    return mask


def _load(
    config: Config, paths: Paths, model: str, above: dict[tuple[str, ...], dict[str, pd.DataFrame]]
) -> Population:
    table = read_parquet(paths.neurons(model), NEURON_COLUMNS)
    vocabulary = read_parquet(paths.vocabulary(model), VOCABULARY_COLUMNS)
    if len(table) != len(vocabulary):
        raise StoreError(
            f"{paths.vocabulary(model)}: has {len(vocabulary)} neurons and {paths.neurons(model).name} {len(table)}. "
            "Delete the older one and run again."
        )
    neurons = table.merge(vocabulary, on=["layer", "unit"], how="left", validate="one_to_one")
    shape = NeuronShape(int(neurons["layer"].max()) + 1, int(neurons["unit"].max()) + 1)
    facts = read_parquet_metadata(paths.neurons(model))
    names, category = categories_of(facts["domains"], config.specialization.categories)
    fire = normalized_fire(
        read_parquet(paths.contexts(model), CONTEXT_COLUMNS),
        neurons["activation_mean"].to_numpy(),
        shape.d_mlp,
        dict(zip(facts["domains"], category, strict=True)),
        np.bincount(category, weights=facts["domain_tokens"], minlength=len(names)),
    )
    groups = [group for group in config.groups() if model in group]
    masks = {
        group_name(group): rosetta_mask(read_parquet(paths.rosetta(group_name(group)), ROSETTA_COLUMNS), model, shape)
        for group in groups
    }
    masks_above: dict[str, dict[str, np.ndarray]] = {}
    for group in groups:
        for statistic, table in above[group].items():
            masks_above.setdefault(statistic, {})[group_name(group)] = rosetta_mask(table, model, shape)
    dead = (neurons["activation_variance"] == 0).to_numpy()
    return Population(model, shape, neurons[["layer", "unit", *STATISTICS]], dead, fire, names, masks, masks_above)
