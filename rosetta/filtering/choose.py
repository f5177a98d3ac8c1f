"""The choice of the neuron by its top contexts on `match` (method, section 10).

The rule: of the neurons of a population, the one with the highest domain purity, the share of its
top n contexts that lie in the target domain; of those, the one with the highest mean normalised
activation, the mean over the same contexts of (activation − mean) / standard deviation. A context
at which the neuron does not exceed its own mean is no activation, and does not count as pure. What
is still tied goes to the lower (layer, unit).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from rosetta.errors import StoreError
from rosetta.models.neurons import Neuron

CHOICE = "filter-choice"
CANDIDATE_COLUMNS = ["layer", "unit", "is_rosetta", "purity", "mean_activation", "role"]
POPULATIONS = {
    "rosetta": "the best Rosetta Neuron",
    "non_rosetta": "the best other neuron of the same layer",
    "non_rosetta_best": "the best other neuron of any layer",
}


def candidates(
    neurons: pd.DataFrame,
    contexts: pd.DataFrame,
    is_rosetta: np.ndarray,
    target: str,
    n_contexts: int,
) -> pd.DataFrame:
    """Return the neurons of a model that are not dead, best first.

    Parameters
    ----------
    neurons : DataFrame
        layer, unit, activation_mean, activation_variance of all neurons (`columns.NEURON_COLUMNS`).
    contexts : DataFrame
        Top contexts on the split `match` (`columns.CONTEXT_COLUMNS`).
    is_rosetta : ndarray of bool, shape (n_neurons,)
        Which neurons are Rosetta Neurons of the group, in the order of `neurons`.
    target : str
        The target domain.
    n_contexts : int
        Contexts per neuron.

    Returns
    -------
    DataFrame
        layer, unit, is_rosetta, purity, mean_activation.

    Raises
    ------
    StoreError
        If no context of any neuron lies in the target domain.
    """
    if not (contexts["domain"] == target).any():
        raise StoreError(
            f"filtering.target: no neuron has a top context in {target!r}; there are "
            f"{', '.join(sorted(contexts['domain'].unique()))}. Name one of them, or raise "
            "activations.max_documents."
        )
    alive = neurons.assign(is_rosetta=is_rosetta)[neurons["activation_variance"] > 0]
    rows = _normalised(
        contexts[contexts["rank"] <= n_contexts].merge(alive, on=["layer", "unit"]), target
    )
    found = rows.groupby(["layer", "unit", "is_rosetta"], as_index=False).agg(
        purity=("pure", "sum"), mean_activation=("normalised", "mean")
    )
    found["purity"] /= n_contexts
    order = {"purity": False, "mean_activation": False, "layer": True, "unit": True}
    return found.sort_values(list(order), ascending=list(order.values()), ignore_index=True)


def _normalised(rows: pd.DataFrame, target: str) -> pd.DataFrame:
    """Return contexts with their `normalised` activation, and whether they are `pure`: of the
    target, and activated.
    """
    normalised = (rows["value"] - rows["activation_mean"]) / np.sqrt(rows["activation_variance"])
    return rows.assign(normalised=normalised, pure=(rows["domain"] == target) & (normalised > 0))


def choose(table: pd.DataFrame) -> dict[str, Neuron]:
    """Return the best neuron of each of `POPULATIONS`.

    Parameters
    ----------
    table : DataFrame
        Of `candidates`.

    Raises
    ------
    StoreError
        If a population is empty.
    """
    rosetta = table["is_rosetta"]
    chosen = {"rosetta": _first(table[rosetta], "rosetta")}
    same_layer = table["layer"] == chosen["rosetta"].layer
    chosen["non_rosetta"] = _first(table[~rosetta & same_layer], "non_rosetta")
    chosen["non_rosetta_best"] = _first(table[~rosetta], "non_rosetta_best")
    return chosen


def with_roles(table: pd.DataFrame, chosen: dict[str, Neuron]) -> pd.DataFrame:
    """Return candidates with their roles in a column `role`, joined by spaces."""
    roles: dict[Neuron, list[str]] = {}
    for role, neuron in chosen.items():
        roles.setdefault(neuron, []).append(role)
    names = [
        " ".join(roles.get(Neuron(*key), []))
        for key in zip(table["layer"], table["unit"], strict=True)
    ]
    return table.assign(role=names)[CANDIDATE_COLUMNS]


def best_candidates(table: pd.DataFrame, n: int) -> pd.DataFrame:
    """Return the chosen neurons, and the best n Rosetta Neurons and n others, best first."""
    ranks = table.groupby("is_rosetta").cumcount()
    return table[(ranks < n) | (table["role"] != "")]


def _first(table: pd.DataFrame, population: str) -> Neuron:
    if not len(table):
        raise StoreError(
            f"filtering: the model has no candidate for {POPULATIONS[population]}. Name another "
            "model or rung."
        )
    return Neuron(int(table["layer"].iloc[0]), int(table["unit"].iloc[0]))
