"""Sums over the rows of some neurons, in float64: what means and deviations follow from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from rosetta.alignment.pooling import STRIP


class ColumnTotals:
    """Sums over the rows of one side, in float64.

    Parameters
    ----------
    width : int
        Number of neurons.
    """

    def __init__(self, width: int) -> None:
        self.total = torch.zeros(width, dtype=torch.float64)

    def add(self, rows: torch.Tensor) -> None:
        """Add a strip of rows, few enough that sums in its own precision lose nothing."""
        self.total += rows.sum(dim=0)


class ColumnSums(ColumnTotals):
    """Sums and sums of squares over the rows of one side, and whether a neuron ever changes."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.squares = torch.zeros(width, dtype=torch.float64)
        self._low = torch.full((width,), torch.inf)
        self._high = torch.full((width,), -torch.inf)

    def add(self, rows: torch.Tensor) -> None:
        """Add a strip of rows, few enough that sums in its own precision lose nothing."""
        super().add(rows)
        self.squares += rows.square().sum(dim=0)
        self._low = torch.minimum(self._low, rows.amin(dim=0))
        self._high = torch.maximum(self._high, rows.amax(dim=0))

    def add_rows(self, rows: torch.Tensor) -> None:
        """Add any number of rows, in strips."""
        for strip in torch.split(rows, STRIP):
            self.add(strip)

    @classmethod
    def joined(cls, parts: Sequence[ColumnSums]) -> ColumnSums:
        """Return the sums over the rows of all parts."""
        whole = cls(len(parts[0].total))
        whole.total = torch.stack([part.total for part in parts]).sum(dim=0)
        whole.squares = torch.stack([part.squares for part in parts]).sum(dim=0)
        whole._low = torch.stack([part._low for part in parts]).amin(dim=0)
        whole._high = torch.stack([part._high for part in parts]).amax(dim=0)
        return whole

    def state(self) -> dict[str, np.ndarray]:
        """Return what `add` has summed so far, for `restore`."""
        return {name.lstrip("_"): value.numpy() for name, value in vars(self).items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state of as many neurons."""
        for name, value in vars(self).items():
            value.copy_(torch.from_numpy(state[name.lstrip("_")]))

    def deviation(self, n: int) -> torch.Tensor:
        """Return √Σ(x − x̄)² of n rows; zero exactly for neurons that never change."""
        centred = (self.squares - self.total.square() / n).clamp_min(0).sqrt()
        return torch.where(self._low == self._high, 0.0, centred)
