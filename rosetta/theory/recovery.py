"""Recovery of planted features by the project's own stores, correlations and matching.

Everything that the theory asks of those parts passes through `_match_stores` and `_save_store`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from rosetta.activations.store import write_store
from rosetta.activations.variables import StoreTokens
from rosetta.config import Correlation, Dask
from rosetta.config_theory import TheorySimulation
from rosetta.correlation.lists import read_lists
from rosetta.correlation.pairs import correlate_stores
from rosetta.files import scratch_folder
from rosetta.matching import mutual_matches
from rosetta.models.neurons import NeuronShape
from rosetta.progress import say
from rosetta.theory.simulation import SIMULATION_COLUMNS, Cell, activation_blocks, isolations, plant


def simulate(cell: Cell, settings: TheorySimulation, memory_gb: float, scratch: Path) -> dict:
    """Simulate one cell and recover its matches; return a row of `SIMULATION_COLUMNS`.

    A match is what the pipeline calls one, mutual nearest neighbours, right or wrong; how many are right is said
    in the log. Isolations are the planted ones.

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
        for side, name in enumerate("ab"):
            blocks = activation_blocks(planted, cell, side, settings)
            _save_store(folder / name, blocks, settings.n_inputs, len(planted.s))
        found = _match_stores(folder / "a", folder / "b", memory_gb)
    matched = found["unit_a"].to_numpy()
    right = int((matched == found["unit_b"].to_numpy()).sum())
    say(
        f"beta {cell.model.beta:g}, N {cell.n}, run {cell.run}: {len(planted.s)} features served, "
        f"{len(matched)} matches, {right} of them right"
    )
    rosetta, rest = isolations(planted.s, matched, cell.n)
    values = (cell.model.beta, cell.n, cell.run, len(matched), rosetta, rest)
    return dict(zip(SIMULATION_COLUMNS, values, strict=True))


def _save_store(folder: Path, blocks: Iterable[np.ndarray], n_inputs: int, n_neurons: int) -> None:
    """Write simulated activations as a store: every input is a document of one token of one byte."""
    index = np.arange(n_inputs, dtype=np.int32)
    zeros = np.zeros(n_inputs, dtype=np.int32)
    write_store(
        folder / "0.json",
        (torch.from_numpy(np.ascontiguousarray(block))[None] for block in blocks),
        StoreTokens(zeros, zeros, zeros + 1, index, index.astype(np.uint64), np.ones(n_inputs, np.int64)),
        NeuronShape(1, n_neurons),
        dtype="float32",
        shard=0,
        n_shards=1,
        made_by={"model": folder.name},
        place=f"simulated model {folder.name}",
    )


def _match_stores(folder_a: Path, folder_b: Path, memory_gb: float) -> pd.DataFrame:
    """Return the mutual nearest neighbours of two folders of stores: columns unit_a, unit_b and r among others."""
    settings = Correlation(max_k=1, memory_gb=memory_gb, precision="float32")
    lists = folder_a.parent / "neighbors.parquet"
    correlate_stores(folder_a, folder_b, lists, "mean", settings, Dask())
    return mutual_matches(*read_lists([lists]), k=1)
