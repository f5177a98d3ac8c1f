"""Which neurons are ablated: Rosetta Neurons, as many others that match them, the most extreme."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from rosetta.config.ablation import AblationSettings
from rosetta.storage.digests import hash64

NONE, ROSETTA, MATCHED, ACTIVE, KURTOTIC, ALL = (
    "none",
    "rosetta",
    "matched",
    "most_active",
    "most_kurtotic",
    "all",
)
ABLATE, KEEP = "ablate", "keep"


@dataclass(frozen=True)
class NeuronFacts:
    """What is known of a model's neurons, each ndarray of shape (n_layers, d_mlp).

    Attributes
    ----------
    mean, variance : ndarray of float64
        Of the activations on the match split.
    kurtosis : ndarray of float64
        Vocabulary kurtosis of a language model, excess kurtosis of the activations of others; NaN
        where it is not known.
    output_norm : ndarray of float64
        ‖w_out‖ · standard deviation: how much a neuron moves what its layer writes.
    """

    mean: np.ndarray
    variance: np.ndarray
    kurtosis: np.ndarray
    output_norm: np.ndarray

    @property
    def alive(self) -> np.ndarray:
        """Which neurons ever change."""
        return self.variance > 0

    @property
    def activity(self) -> np.ndarray:
        """Root mean square of the activations, which may be negative."""
        return np.sqrt(self.variance + np.square(self.mean))


class MatchedDraws(NamedTuple):
    """Draws of neurons that match some targets.

    Attributes
    ----------
    masks : ndarray of bool, shape (n_draws, n_layers, d_mlp)
        As many in every layer as there are targets, and none of these.
    gaps : ndarray of float64, shape (n_draws, 2)
        Mean distance of a target and its match in rank within the layer, from 0 to 1: of the mean
        activation, and of the output norm.
    """

    masks: np.ndarray
    gaps: np.ndarray

    @property
    def overlap(self) -> float:
        """Mean share of a draw's neurons that another draw has too."""
        n, times = len(self.masks), self.masks.sum(axis=0)
        # A neuron that is in so many draws is shared by so many ordered pairs of them.
        return float((times * (times - 1)).sum() / ((n - 1) * times.sum()))


def too_few(targets: np.ndarray, facts: NeuronFacts) -> str:
    """Return why no draw can match the targets, a bool mask (n_layers, d_mlp); empty if one can."""
    if not targets.any():
        return "there is no such neuron"
    n_targets, n_others = targets.sum(axis=1), (~targets & facts.alive).sum(axis=1)
    lacking = np.flatnonzero(n_targets > n_others)
    if not len(lacking):
        return ""
    layer = lacking[0]
    return (
        f"layer {layer} has {n_others[layer]} others that are not dead, and as many as "
        f"{n_targets[layer]} are to be drawn"
    )


def matched_draws(
    targets: np.ndarray, facts: NeuronFacts, settings: AblationSettings, name: str
) -> MatchedDraws:
    """Draw as many other neurons of the same layers, of like mean activation and output norm.

    Within a layer all neurons are ranked by the one and by the other. The targets, in random order,
    each take one of their `n_nearest` nearest others that are neither dead nor taken, at random;
    near is the Euclidean distance of the two ranks.

    Parameters
    ----------
    targets : ndarray of bool, shape (n_layers, d_mlp)
        The neurons to match; `too_few` says whether that is possible.
    facts : NeuronFacts
        Of all neurons.
    settings : AblationSettings
        Number of draws, `n_nearest`, seed.
    name : str
        The model: with the seed, it determines the draws.
    """
    ranks = np.stack([_ranks(facts.mean), _ranks(facts.output_norm)], axis=-1)
    masks = np.zeros((settings.n_draws, *targets.shape), dtype=bool)
    gaps = np.zeros((settings.n_draws, 2))
    for draw in range(settings.n_draws):
        rng = np.random.default_rng(hash64("ablation", settings.seed, name, draw))
        for layer in np.flatnonzero(targets.any(axis=1)):
            others = np.flatnonzero(~targets[layer] & facts.alive[layer])
            wanted = rng.permutation(np.flatnonzero(targets[layer]))
            taken = _take(ranks[layer], wanted, others, settings.n_nearest, rng)
            masks[draw, layer, taken] = True
            gaps[draw] += np.abs(ranks[layer, taken] - ranks[layer, wanted]).sum(axis=0)
    return MatchedDraws(masks, gaps / max(int(targets.sum()), 1))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks within each layer, above 0 and up to 1."""
    return rankdata(values, axis=1) / values.shape[1]


def _take(
    ranks: np.ndarray,
    wanted: np.ndarray,
    others: np.ndarray,
    n_nearest: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return what each wanted unit takes of the others, none twice."""
    free = np.ones(len(others), dtype=bool)
    taken = np.empty(len(wanted), dtype=np.int64)
    for number, unit in enumerate(wanted):
        distance = np.hypot(*(ranks[others] - ranks[unit]).T)
        distance[~free] = np.inf
        nearest = np.argsort(distance, kind="stable")[: min(n_nearest, int(free.sum()))]
        chosen = rng.choice(nearest)
        free[chosen] = False
        taken[number] = others[chosen]
    return taken


def highest(targets: np.ndarray, values: np.ndarray, facts: NeuronFacts) -> np.ndarray:
    """Return the neurons of highest value, as many in each layer as there are targets.

    All neurons that are not dead can be among them, targets too. On ties the lower unit goes first;
    NaN is below all.
    """
    values = np.where(facts.alive & ~np.isnan(values), values, -np.inf)
    order = np.argsort(-values, axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(order.shape[1])[None], axis=1)
    return place < targets.sum(axis=1, keepdims=True)


class Treatment(NamedTuple):
    """One way to run a model.

    Attributes
    ----------
    treatment : {'none', 'ablate', 'keep'}
        Whether the population is ablated, or all other neurons are.
    population : str
        Which neurons; `none` of the intact model, `all` of one without any.
    draw : int
        Number of the draw; 0 where there is one.
    held : ndarray of bool, shape (n_layers, d_mlp)
        The neurons that are held.
    """

    treatment: str
    population: str
    draw: int
    held: np.ndarray


def treatments(
    targets: np.ndarray, facts: NeuronFacts, draws: MatchedDraws | None
) -> Iterator[Treatment]:
    """Yield all ways to run a model, the intact one first."""
    yield Treatment(NONE, NONE, 0, np.zeros_like(targets))
    yield Treatment(ABLATE, ALL, 0, np.ones_like(targets))
    populations = [(ROSETTA, 0, targets)]
    populations += [(MATCHED, n, mask) for n, mask in enumerate(draws.masks)] if draws else []
    populations += [
        (ACTIVE, 0, highest(targets, facts.activity, facts)),
        (KURTOTIC, 0, highest(targets, facts.kurtosis, facts)),
    ]
    for name, draw, mask in populations:
        yield Treatment(ABLATE, name, draw, mask)
        yield Treatment(KEEP, name, draw, ~mask)
