"""What a store, written or live, offers to those who read activations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from rosetta.activations.variables import StorePositions
from rosetta.config.base import Modality
from rosetta.models.devices import CPU
from rosetta.models.neurons import NeuronShape
from rosetta.moments import Moments


class StoreReader(Protocol):
    """A shard store to read: `rosetta.activations.store.Store`, or a live one.

    Attributes
    ----------
    path : Path
        The store; its folder is that of all shards of its model.
    manifest : dict
        What made it and what it holds.
    modality : Modality
        What its model sees.
    shape : NeuronShape
        Neurons of the model.
    n_layers, d_mlp, n_positions, n_samples : int
        Layers, neurons per layer, rows, documents or images.
    """

    path: Path
    manifest: dict[str, Any]
    modality: Modality
    shape: NeuronShape
    n_layers: int
    d_mlp: int
    n_positions: int
    n_samples: int

    def read(self, variable: str) -> np.ndarray:
        """Return a small variable, whole."""

    def positions(self) -> StorePositions:
        """Return what the rows are."""

    def moments(self) -> Moments:
        """Return the moments of every neuron, arrays of shape (n_layers · d_mlp,)."""

    @property
    def gpu_bytes(self) -> float:
        """What reading the store takes of a GPU beside what is read: of a live one, its model."""

    def chunks(
        self, low: int, high: int, first_row: int = 0, where: torch.device = CPU
    ) -> Iterator[tuple[int, list[tuple[int, torch.Tensor]]]]:
        """Yield the chunks of the flat neuron range [low, high), from the one with `first_row` on:
        first row, values by layer on `where`.
        """


def runs_the_model(store: StoreReader) -> bool:
    """Tell whether reading a store runs the model, so that everything is best read at once."""
    return "live" in store.manifest
