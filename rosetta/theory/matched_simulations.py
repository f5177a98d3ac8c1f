"""Recovery of planted features by the project's own stores, correlations and matching.

Everything that the theory asks of those parts passes through `_match_stores` and `_save_store`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from rosetta.activations.store import write_store
from rosetta.activations.variables import StoreDescription, StoreTokens
from rosetta.analysis.null_thresholds import LadderNull
from rosetta.config import Correlation, Dask
from rosetta.config.theory import Theory, TheorySimulation
from rosetta.correlation.pairs import correlate_pair
from rosetta.correlation.request import CorrelationRequest
from rosetta.matching.mutual import mutual_matches
from rosetta.models.neurons import NeuronShape
from rosetta.progress import say
from rosetta.storage.atomic import scratch_folder
from rosetta.theory.allocation import exponent_from_r
from rosetta.theory.simulation import (
    ALL_NEURONS,
    SERVED_NEURONS,
    SIMULATION_COLUMNS,
    Cell,
    PlantedNetworks,
    activation_blocks,
    isolations,
    plant,
    plant_whole,
)


@dataclass(frozen=True)
class Recovered:
    """A simulation of whole networks.

    Attributes
    ----------
    cell : Cell
        Which model of the theory, size and run.
    s : ndarray of float64, shape (n_served,)
        Planted isolations; served feature r is neuron r − 1 of both models.
    matches : DataFrame
        Matches of the two models, right or wrong: columns unit_a, unit_b, r among others.
    null : DataFrame
        Matches of two models that serve no feature.
    """

    cell: Cell
    s: np.ndarray
    matches: pd.DataFrame
    null: pd.DataFrame


def simulate(cell: Cell, settings: TheorySimulation, memory_gb: float, scratch: Path) -> dict:
    """Simulate one cell's served neurons and match them; a row of `SIMULATION_COLUMNS`.

    A match is what the pipeline calls one, mutual nearest neighbours, right or wrong. Isolations
    are the planted ones.

    Parameters
    ----------
    cell : Cell
        Which model of the theory, size and run.
    settings : TheorySimulation
        Inputs, mixtures, noise, seed.
    memory_gb : float
        Memory budget of the correlation.
    scratch : Path
        Folder for the two stores, of this caller's own; it is removed at the end.
    """
    planted = plant(cell, settings)
    with scratch_folder(scratch) as folder:
        (found,) = _match_networks(planted, cell, settings, memory_gb, folder)
    return _row(cell, SERVED_NEURONS, planted.s, found, math.nan)


def simulate_whole(
    cells: Iterable[Cell], theory: Theory, quantile: float, memory_gb: float, scratch: Path
) -> list[dict]:
    """Simulate whole networks and match them; rows of `SIMULATION_COLUMNS`.

    Matches are also counted above what chance gives: the threshold of a ladder's null
    (`LadderNull.threshold`) of the r that are matched between networks which serve no feature,
    pooled over all cells of a decay.

    Parameters
    ----------
    cells : iterable of Cell
        All of one decay of importance.
    theory : Theory
        The simulation's settings, and those of whole networks.
    quantile : float
        Quantile of the null's matched r that a match has to exceed.
    memory_gb, scratch
        As in `simulate`.
    """
    settings = theory.simulation.model_copy(update={"n_inputs": theory.whole.n_inputs})
    recovered = []
    for cell in cells:
        planted = plant_whole(cell, settings)
        with scratch_folder(scratch) as folder:
            found, null = _match_networks(planted, cell, settings, memory_gb, folder)
        recovered.append(Recovered(cell, planted.s, found, null))
    if not recovered:
        return []
    threshold = _pooled(recovered).threshold(quantile)
    return [_row(one.cell, ALL_NEURONS, one.s, one.matches, threshold) for one in recovered]


def _pooled(recovered: list[Recovered]) -> LadderNull:
    """Return the matches by chance as those of a ladder: a rung per size, a seed per run."""
    runs = sorted({one.cell.run for one in recovered})
    sizes: dict[int, list[pd.DataFrame]] = {}
    for one in recovered:
        sizes.setdefault(one.cell.n, []).append(one.null.assign(seed=one.cell.run))
    return LadderNull.of([pd.concat(tables) for tables in sizes.values()], runs, one_draw=False)


def _match_networks(
    planted: PlantedNetworks, cell: Cell, settings: TheorySimulation, memory_gb: float, folder: Path
) -> list[pd.DataFrame]:
    """Return the matches of the first and second network, of the third and fourth, …"""
    folders = [folder / str(number) for number in range(len(planted.loadings))]
    for number, place in enumerate(folders):
        blocks = activation_blocks(planted, cell, number, settings)
        _save_store(place, blocks, settings.n_inputs, planted.loadings[number].shape[0])
    return [
        _match_stores(a, b, memory_gb) for a, b in zip(folders[::2], folders[1::2], strict=True)
    ]


def _row(cell: Cell, neurons: str, s: np.ndarray, found: pd.DataFrame, threshold: float) -> dict:
    """Return a row of `SIMULATION_COLUMNS`.

    A match is right if both neurons serve the same feature. `alpha_from_r` is 1/β by the r above
    the floor.
    """
    matched = found["unit_a"].to_numpy()
    right = int(((matched == found["unit_b"].to_numpy()) & (matched < len(s))).sum())
    above = math.nan if math.isnan(threshold) else int((found["r"] > threshold).sum())
    say(
        f"beta {cell.model.beta:g}, N {cell.n}, run {cell.run}, {neurons} neurons: {len(s)} "
        "features served, "
        f"{len(matched)} matches, {right} of them right"
    )
    isolation = np.zeros(cell.n)
    isolation[: len(s)] = s
    values = (
        cell.model.beta,
        neurons,
        cell.n,
        cell.run,
        len(matched),
        right,
        above,
        *isolations(isolation, matched),
    )
    floor = cell.model.tau / (1 + cell.model.tau)
    alpha, _ = exponent_from_r(found["r"].to_numpy(), floor)
    return dict(zip(SIMULATION_COLUMNS, (*values, alpha), strict=True))


def _save_store(folder: Path, blocks: Iterable[np.ndarray], n_inputs: int, n_neurons: int) -> None:
    """Write simulated activations as a store: every input is a document of one token of one
    byte.
    """
    index = np.arange(n_inputs, dtype=np.int32)
    zeros = np.zeros(n_inputs, dtype=np.int32)
    write_store(
        folder / "0.json",
        (torch.from_numpy(np.ascontiguousarray(block))[None] for block in blocks),
        StoreTokens(
            zeros, zeros, zeros + 1, index, index.astype(np.uint64), np.ones(n_inputs, np.int64)
        ),
        StoreDescription(
            shape=NeuronShape(1, n_neurons),
            dtype="float32",
            shard=0,
            n_shards=1,
            made_by={"model": folder.name},
            place=f"simulated model {folder.name}",
        ),
    )


def _match_stores(folder_a: Path, folder_b: Path, memory_gb: float) -> pd.DataFrame:
    """Return the mutual nearest neighbours of two folders of stores: columns unit_a, unit_b and r
    among others.
    """
    settings = Correlation(max_k=1, memory_gb=memory_gb, precision="float32")
    request = CorrelationRequest(folder_a, folder_b, "mean", settings, Dask())
    lists = correlate_pair(request, scratch=folder_a.with_name(f".tiles-{folder_a.name}"))
    return mutual_matches(*lists, k=1)
