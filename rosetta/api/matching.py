"""Correlating and matching the neurons of models, from stores to Rosetta Neurons, as values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from rosetta.api.arguments import as_float, as_int, as_mapping, as_store, wrong
from rosetta.config.alignment import Alignment
from rosetta.config.arguments import checked
from rosetta.config.exclusions import Exclusions
from rosetta.correlation.neighbor_tables import NeighborLists
from rosetta.correlation.request import CorrelationOptions, CorrelationRequest
from rosetta.errors import ConfigError, naming_files, renaming_keys
from rosetta.matching.mutual import (
    MATCH_COLUMNS,
    check_comparisons,
    mutual_matches,
    rosetta_neurons,
)
from rosetta.storage.tables import check_table

if TYPE_CHECKING:
    from rosetta.api.store import ModelStore

    StoreLike = ModelStore | str | Path

# What the configuration calls the arguments that messages of lower parts name.
_KEYS = {"correlation.memory_gb": "memory_gb"}


def correlate(
    a: StoreLike,
    b: StoreLike,
    k: int = 10,
    *,
    pooling: Literal["mean", "max", "median"] = "mean",
    method: Literal["exact", "screened"] = "exact",
    precision: Literal["auto", "float32", "bfloat16", "float64"] = "auto",
    memory_gb: float = 2.0,
    min_r: float | None = None,
    exclusions: Mapping[str, Any] | None = None,
    grid: Literal["larger", "smaller", "anchor"] = "larger",
    threads: int | None = None,
) -> NeighborLists:
    """Correlate all neurons of two models and return each neuron's nearest neighbours.

    Similarity is Pearson's r over the aligned positions of the texts that both models have read,
    or of the images that both have seen (Dravid 2026, Eq. 2).

    Parameters
    ----------
    a, b : ModelStore, str or Path
        Stores of both models on the same texts or images, or their folders.
    k : int
        Neighbours to keep per neuron.
    pooling : {'mean', 'max', 'median'}
        How the tokens of an aligned span become one value. Images know only the mean.
    method : {'exact', 'screened'}
        All pairs of neurons exactly, or candidates from sketches, exactly and certified.
    precision : {'auto', 'float32', 'bfloat16', 'float64'}
        What is multiplied; auto: bfloat16 where the machine has it natively, else float32.
    memory_gb : float
        Memory budget.
    min_r : float, optional
        With method screened: give up on matches with r below this.
    exclusions : mapping, optional
        Positions and neurons to leave out: the section `exclusions` of the configuration.
    grid : {'larger', 'smaller', 'anchor'}
        Of images, whose grid both models' cells are resampled to: that of more cells, of fewer, or
        of model a.
    threads : int, optional
        Cores to use; all if not given.

    Returns
    -------
    NeighborLists

    Raises
    ------
    ConfigError
        If an argument is of another kind or out of range, or k is above the neurons of a model.
    StoreError
        If the stores are of different texts or images, are damaged or hold values that are not
        finite.
    PlanError
        If the memory budget is too small.
    """
    options = CorrelationOptions(
        k=as_int("k", k),
        pooling=pooling,
        method=method,
        precision=precision,
        memory_gb=as_float("memory_gb", memory_gb),
        min_r=None if min_r is None else as_float("min_r", min_r),
        threads=None if threads is None else as_int("threads", threads),
    )
    request = options.request(as_store("a", a), as_store("b", b))
    values = as_mapping("exclusions", {} if exclusions is None else exclusions)
    excluded = checked(Exclusions, values, "exclusions.{}".format)
    chosen = checked(Alignment, {"grid": grid}, str).grid
    # Bring torch, which those who only read matches need not wait for.
    from rosetta.correlation.pairs import correlate_pair
    from rosetta.correlation.view import View

    with naming_files(), renaming_keys(_KEYS):
        _check_k(request)
        return correlate_pair(request, view=View(excluded, grid=chosen))


def _check_k(request: CorrelationRequest) -> None:
    """Check that each model has as many neurons as neighbours are asked for."""
    from rosetta.activations.folders import open_stores

    for folder in (request.folder_a, request.folder_b):
        n_neurons = open_stores(folder)[0].shape.n_neurons
        if request.settings.max_k > n_neurons:
            raise ConfigError(
                f"k: {request.settings.max_k} is above the {n_neurons} neurons in {folder}. "
                f"Give {n_neurons} or less."
            )


def match(
    a: NeighborLists | StoreLike, b: StoreLike | None = None, k: int = 1, **options: Any
) -> pd.DataFrame:
    """Return the matches of two models: neurons that are each among the other's k nearest.

    Parameters
    ----------
    a : NeighborLists, or ModelStore, str or Path
        Neighbour lists of both models; or the stores of the first.
    b : ModelStore, str or Path, optional
        The stores of the second model; none with neighbour lists.
    k : int
        Mutual k-nearest neighbours.
    **options
        With stores: those of `correlate`.

    Returns
    -------
    DataFrame
        One row per match, ordered by (layer_a, unit_a, rank_a): `model_a`, `layer_a`, `unit_a`,
        `model_b`, `layer_b`, `unit_b`; `r`; the ranks `rank_a` and `rank_b`, from 1; `margin_a`
        and `margin_b`, r minus the correlation with the first neighbour beyond the k nearest.

    Raises
    ------
    ConfigError
        If k is above the neighbours kept, or an argument is missing, of another kind or out of
        range.
    RosettaError
        As `correlate` raises.
    """
    wanted = as_int("k", k)
    if isinstance(a, NeighborLists):
        if b is not None or options:
            raise ConfigError("b: neighbour lists are of both models. Give k alone, by its name.")
        lists = a
    elif isinstance(a, pd.DataFrame):
        fix = "Give what rosetta.correlate returned, or the stores of both models"
        raise wrong("a", a, "neighbour lists or a store", fix)
    elif b is None:
        as_store("a", a)
        raise ConfigError(
            "b: is missing. Give the stores of both models, or what rosetta.correlate returned."
        )
    else:
        lists = correlate(a, b, wanted, **options)
    if not 1 <= wanted <= lists.k:
        raise ConfigError(
            f"k: {wanted} is not between 1 and {lists.k}, the neighbours kept. Correlate with a "
            "larger k."
        )
    return mutual_matches(lists.neighbors, lists.facts, wanted)


def anchors(*matches: pd.DataFrame) -> pd.DataFrame:
    """Return the Rosetta Neurons of a group: its anchor's neurons that have a match in each model.

    Parameters
    ----------
    *matches : DataFrame
        Matches of the anchor, as model a, with each other model (`rosetta.match`).

    Returns
    -------
    DataFrame
        One row per anchor neuron and partner: `model_anchor`, `layer_anchor`, `unit_anchor`,
        `model`, `layer`, `unit`, `r`.

    Raises
    ------
    ConfigError
        If the tables have different anchors, or compare with a model twice.
    StoreError
        If a table lacks a column of matches.
    """
    for number, table in enumerate(matches, start=1):
        check_table(table, f"table {number}", MATCH_COLUMNS)
    check_comparisons(list(matches))
    return rosetta_neurons(list(matches))
