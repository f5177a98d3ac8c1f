"""The rows of a shard's store, whatever the model sees: what they are, how they are computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch

from rosetta.activations.variables import StoreDescription, StorePositions
from rosetta.models.devices import CPU


class ShardRows(Protocol):
    """The rows of one store, which a model computes, again whenever they are asked for."""

    @property
    def description(self) -> StoreDescription:
        """What the store is of."""

    def positions(self) -> StorePositions:
        """Return what the rows are.

        Raises
        ------
        RosettaError
            If the model cannot read the samples.
        """

    def batches(
        self, first_row: int = 0, where: torch.device = CPU
    ) -> tuple[int, Iterator[torch.Tensor]]:
        """Run the model over the samples, from those on whose batch has a row.

        Batches are the same, wherever the first one is: so are their values, to the last bit.
        Values are kept on `where`.

        Returns
        -------
        start : int
            First row of the first batch.
        batches : iterator of Tensor, shape (n_layers, n_rows, d_mlp)
            Activations of successive rows.
        """
