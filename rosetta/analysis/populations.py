"""A model's neurons with everything measured, and which are Rosetta Neurons of which group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from rosetta.analysis.columns import CONTEXT_COLUMNS, NEURON_COLUMNS, VOCABULARY_COLUMNS
from rosetta.analysis.null_thresholds import PLAIN
from rosetta.analysis.replicates import group_thresholds, known_thresholds
from rosetta.analysis.specialization import categories_of, normalized_fire
from rosetta.config import Config, group_name, group_pairs
from rosetta.config.base import Modality
from rosetta.errors import StoreError
from rosetta.matching.mutual import MATCH_COLUMNS, ROSETTA_COLUMNS, rosetta_neurons
from rosetta.models.neurons import NeuronShape
from rosetta.run.paths import Paths
from rosetta.storage.damage import how_to_recompute
from rosetta.storage.tables import read_parquet, read_parquet_metadata

# Per-neuron numbers whose means are compared; the first is from the weights, the others from the
# activations.
MEASURES = [
    "excess_kurtosis",
    "activation_mean",
    "activation_variance",
    "activation_skewness",
    "activation_kurtosis",
    "fraction_active",
    "domain_information",
]

# Of models that see images: those of language models but for the vocabulary's, and of images. What
# cannot be measured is NaN: the score without an independent encoder, factors of images that are
# not drawn from any.
IMAGE_MEASURES = [
    *MEASURES[1:],
    "domain_purity",
    "monosemanticity",
    "explained_variance",
    "iou",
    "is_explained",
]

K = TypeVar("K")


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
        layer, unit and `MEASURES`; of a model that sees images `IMAGE_MEASURES`.
    dead : ndarray of bool, shape (n_neurons,)
        Whether the neuron never changed: such neurons belong to neither group.
    fire : ndarray of float32, shape (n_neurons, n_categories)
        `NormalizedFire` of each neuron.
    categories : list of str
        Names of the columns of `fire`.
    clusters : dict of str to ndarray of int64, shape (n_neurons,)
        By group, which neurons are its Rosetta Neurons, and which of them belong together
        (`cluster_numbers`).
    above : dict of str to dict of str to ndarray of bool, shape (n_neurons,)
        By statistic (`above_…`) and group, those of them whose matches are above that null
        (`rosetta.analysis.null_thresholds`), by the highest threshold of the group's ladders.
    above_in : dict of str to dict of (str, str) to ndarray of bool, shape (n_neurons,)
        The same by statistic, and by ladder and group, with the ladder's own threshold: those that
        a rung counts.
    """

    model: str
    shape: NeuronShape
    neurons: pd.DataFrame
    dead: np.ndarray
    fire: np.ndarray
    categories: list[str]
    clusters: dict[str, np.ndarray]
    above: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    above_in: dict[str, dict[tuple[str, str], np.ndarray]] = field(default_factory=dict)

    @property
    def rosetta(self) -> dict[str, np.ndarray]:
        """By group, which neurons are its Rosetta Neurons: ndarray of bool, shape (n_neurons,)."""
        return {group: clusters >= 0 for group, clusters in self.clusters.items()}

    def of_rung(self, ladder: str, group: str) -> Selection:
        """Return the Rosetta Neurons of one group, as the rung of a ladder counts them."""
        above = {name: masks[ladder, group] for name, masks in self.above_in.items()}
        return Selection(self, self.rosetta[group], above, self.clusters[group])

    def of_any_group(self) -> Selection:
        """Return the neurons that are Rosetta Neurons of at least one group."""
        above = {name: np.any(list(masks.values()), axis=0) for name, masks in self.above.items()}
        rosetta = np.any(list(self.rosetta.values()), axis=0)
        return Selection(
            self, rosetta, above, np.arange(len(rosetta))
        )  # one model: every neuron by itself


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
    clusters : ndarray of int64, shape (n_neurons,)
        Numbers that matched Rosetta Neurons of several models share.
    """

    population: Population
    rosetta: np.ndarray
    above: dict[str, np.ndarray]
    clusters: np.ndarray

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
        return [population.of_rung(self.ladder, self.group) for population in self.populations]


def load_populations(config: Config, paths: Paths) -> dict[str, Population]:
    """Return the populations of all language models that some ladder names."""
    if not config.groups("text"):
        return {}
    above = AboveNulls.of(config, paths, "text")
    return {model: _load(config, paths, model, above) for model in config.used_models("text")}


@dataclass(frozen=True)
class AboveNulls:
    """Rosetta Neurons from matches above each null, by statistic: of groups, and as rungs count.

    Attributes
    ----------
    of_groups : dict of tuple of str to dict of str to DataFrame
        By group, with the highest threshold of its ladders.
    of_rungs : dict of (str, tuple of str) to dict of str to DataFrame
        By ladder and group, with the ladder's own threshold.
    """

    of_groups: dict[tuple[str, ...], dict[str, pd.DataFrame]]
    of_rungs: dict[tuple[str, tuple[str, ...]], dict[str, pd.DataFrame]]

    @classmethod
    def of(cls, config: Config, paths: Paths, modality: Modality) -> AboveNulls:
        """Return those of all groups of a modality."""
        limits = known_thresholds(config, paths)
        highest = group_thresholds(config, limits)
        groups = config.groups(modality)
        of_groups = {
            group: rosetta_above(paths, group, highest[group_name(group)]) for group in groups
        }
        of_rungs = {
            (ladder, group): rosetta_above(paths, group, limits[ladder])
            for ladder, rungs in config.ladders.items()
            for group in map(tuple, rungs)
            if group in of_groups
        }
        return cls(of_groups, of_rungs)

    def masks(
        self, model: str, shape: NeuronShape, groups: list[tuple[str, ...]]
    ) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, dict[tuple[str, str], np.ndarray]]]:
        """Return which neurons of a model are among those of some groups: `Population.above`, and
        `Population.above_in`.
        """
        of_groups = {group_name(group): self.of_groups[group] for group in groups}
        of_rungs = {
            (ladder, group_name(group)): found
            for (ladder, group), found in self.of_rungs.items()
            if group in groups
        }
        return _masks(of_groups, model, shape), _masks(of_rungs, model, shape)


def rosetta_above(
    paths: Paths, group: tuple[str, ...], limits: dict[str, float]
) -> dict[str, pd.DataFrame]:
    """Return a group's Rosetta Neurons from matches above each null, by statistic.

    Parameters
    ----------
    paths : Paths
        The run.
    group : tuple of str
        The group's models, anchor first.
    limits : dict
        What r has to exceed, by statistic.
    """
    tables = [
        read_parquet(paths.matches(group_name(pair)), MATCH_COLUMNS) for pair in group_pairs(group)
    ]
    return {
        statistic: rosetta_neurons([table[table["r"] > limit] for table in tables])
        for statistic, limit in limits.items()
        if statistic != PLAIN
    }


def rungs_of(config: Config, populations: dict[str, Population]) -> Iterator[Rung]:
    """Yield every rung of every ladder of models that have populations."""
    for ladder, rungs in config.ladders.items():
        for number, group in enumerate(rungs):
            if group[0] in populations:
                members = [populations[model] for model in group]
                yield Rung(ladder, number, group_name(tuple(group)), members)


def cluster_numbers(rosetta: pd.DataFrame, model: str, shape: NeuronShape) -> np.ndarray:
    """Return for every neuron of a model the number of its cluster among a group's Rosetta Neurons.

    A cluster is an anchor neuron with its partners; with k > 1, where partners are shared, all that
    matches join.

    Parameters
    ----------
    rosetta : DataFrame
        `matching.ROSETTA_COLUMNS`.
    model : str
        One of the group's models.
    shape : NeuronShape
        Its layers and units.

    Returns
    -------
    ndarray of int64, shape (n_neurons,)
        -1 for neurons that are not among the Rosetta Neurons; matched neurons of all models have
        the same number.
    """
    sides = ["model_anchor", "layer_anchor", "unit_anchor"], ["model", "layer", "unit"]
    numbers = np.full(shape.n_neurons, -1, dtype=np.int64)
    if not len(rosetta):
        return numbers
    clusters = _connected(*(rosetta.groupby(side).ngroup().to_numpy() for side in sides))
    for name, layer, unit in sides:
        own = (rosetta[name] == model).to_numpy()
        neuron = rosetta.loc[own, layer].to_numpy(np.int64) * shape.d_mlp + rosetta.loc[
            own, unit
        ].to_numpy(np.int64)
        numbers[neuron] = clusters[own]
    return numbers


def _connected(anchor: np.ndarray, partner: np.ndarray) -> np.ndarray:
    """Return for every match the number of the component that it is in, given the numbers of both
    neurons.
    """
    n_anchors = int(anchor.max()) + 1
    n = n_anchors + int(partner.max()) + 1
    joined = coo_array((np.ones(len(anchor)), (anchor, n_anchors + partner)), shape=(n, n))
    return connected_components(joined, directed=False)[1][anchor]


def _load(config: Config, paths: Paths, model: str, above: AboveNulls) -> Population:
    table = read_parquet(paths.neurons(model), NEURON_COLUMNS)
    vocabulary = read_parquet(paths.vocabulary(model), VOCABULARY_COLUMNS)
    if len(table) != len(vocabulary):
        raise StoreError(
            f"{paths.vocabulary(model)}: has {len(vocabulary)} neurons and "
            f"{paths.neurons(model)} {len(table)}. "
            f"{how_to_recompute(paths.vocabulary(model), paths.neurons(model))}"
        )
    neurons = table.merge(vocabulary, on=["layer", "unit"], how="left", validate="one_to_one")
    shape = shape_of(neurons)
    facts = read_parquet_metadata(paths.neurons(model))
    names, category = categories_of(facts["domains"], config.specialization.categories)
    fire = normalized_fire(
        read_parquet(paths.contexts(model), CONTEXT_COLUMNS),
        neurons["activation_mean"].to_numpy(),
        shape.d_mlp,
        dict(zip(facts["domains"], category, strict=True)),
        np.bincount(category, weights=facts["domain_tokens"], minlength=len(names)),
    )
    groups = [group for group in config.groups("text") if model in group]
    masks = above.masks(model, shape, groups)
    return Population(
        model,
        shape,
        neurons[["layer", "unit", *MEASURES]],
        (neurons["activation_variance"] == 0).to_numpy(),
        fire,
        names,
        clusters_of(paths, groups, model, shape),
        *masks,
    )


def shape_of(neurons: pd.DataFrame) -> NeuronShape:
    """Return layers and units of a table of all neurons of a model."""
    return NeuronShape(int(neurons["layer"].max()) + 1, int(neurons["unit"].max()) + 1)


def clusters_of(
    paths: Paths, groups: list[tuple[str, ...]], model: str, shape: NeuronShape
) -> dict[str, np.ndarray]:
    """Return the cluster numbers (`cluster_numbers`) of a model's neurons in some groups."""
    return {
        name: cluster_numbers(read_parquet(paths.rosetta(name), ROSETTA_COLUMNS), model, shape)
        for name in map(group_name, groups)
    }


def _masks(
    found: dict[K, dict[str, pd.DataFrame]], model: str, shape: NeuronShape
) -> dict[str, dict[K, np.ndarray]]:
    """Return which neurons of a model are among Rosetta Neurons, by statistic, from these by place
    and statistic.
    """
    masks: dict[str, dict[K, np.ndarray]] = {}
    for place, by_statistic in found.items():
        for statistic, rosetta in by_statistic.items():
            masks.setdefault(statistic, {})[place] = cluster_numbers(rosetta, model, shape) >= 0
    return masks
