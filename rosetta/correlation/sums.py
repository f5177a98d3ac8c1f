"""Sums over the rows of some neurons, in float64: what means and deviations follow from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from rosetta.alignment.pooling import strip_rows
from rosetta.models.devices import CPU

SQUARED_COLUMNS = 2048


class ColumnTotals:
    """Sums over the rows of one side, in float64.

    Parameters
    ----------
    width : int
        Number of neurons.
    where : torch.device
        Where rows come from.
    """

    def __init__(self, width: int, where: torch.device = CPU) -> None:
        self.total = torch.zeros(width, dtype=torch.float64, device=where)

    def add(self, rows: torch.Tensor) -> None:
        """Add a strip of rows, few enough that sums in its own precision lose nothing."""
        self.total += rows.sum(dim=0)

    def after(self, n: int) -> ColumnTotals:
        """Return what adds to these sums all rows but the first n, which are in them already."""
        return _Later(self, n)


class _Later(ColumnTotals):
    def __init__(self, sums: ColumnTotals, n: int) -> None:
        self.total, self._sums, self._n_known = sums.total, sums, n

    def add(self, rows: torch.Tensor) -> None:
        if self._n_known:
            self._n_known -= len(rows)
        else:
            self._sums.add(rows)


class ColumnSums(ColumnTotals):
    """Sums and sums of squares over the rows of one side, and whether a neuron ever changes."""

    def __init__(self, width: int, where: torch.device = CPU) -> None:
        super().__init__(width, where)
        self.squares = torch.zeros(width, dtype=torch.float64, device=where)
        # The first value of every neuron, and whether any later one was another.
        self._first = torch.full((width,), torch.nan, dtype=torch.float64, device=where)
        self._varies = torch.zeros(width, dtype=torch.bool, device=where)

    def add(self, rows: torch.Tensor) -> None:
        """Add a strip of rows, few enough that sums in its own precision lose nothing."""
        super().add(rows)
        # A few columns at a time: a copy of all of them would leave the cache.
        parts = torch.split(rows, SQUARED_COLUMNS, dim=1)
        self.squares += torch.cat([part.square().sum(dim=0) for part in parts])
        self._compare(rows)

    def _compare(self, rows: torch.Tensor) -> None:
        """Look for changes where there was none so far: after the first strip, hardly anywhere."""
        same = torch.nonzero(~self._varies).squeeze(1)
        if not len(same):
            return
        some = (rows if len(same) == rows.shape[1] else rows[:, same]).double()
        known = self._first[same]
        first = torch.where(known.isnan(), some[0], known)
        self._first[same], self._varies[same] = first, (some != first).any(dim=0)

    def add_rows(self, rows: torch.Tensor) -> None:
        """Add any number of rows, in strips."""
        for strip in torch.split(rows, strip_rows(rows.device)):
            self.add(strip)

    @classmethod
    def joined(cls, parts: Sequence[ColumnSums]) -> ColumnSums:
        """Return the sums over the rows of all parts."""
        whole = cls(len(parts[0].total))
        whole.total = torch.stack([part.total for part in parts]).sum(dim=0)
        whole.squares = torch.stack([part.squares for part in parts]).sum(dim=0)
        firsts = torch.stack([part._first for part in parts])
        low, high = (
            firsts.nan_to_num(torch.inf).amin(dim=0),
            firsts.nan_to_num(-torch.inf).amax(dim=0),
        )
        whole._first = torch.where(low <= high, low, torch.nan)
        whole._varies = torch.stack([part._varies for part in parts]).any(dim=0) | (low < high)
        return whole

    def state(self) -> dict[str, np.ndarray]:
        """Return what `add` has summed so far, for `restore`."""
        return {name.lstrip("_"): value.cpu().numpy() for name, value in vars(self).items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state of as many neurons."""
        for name, value in vars(self).items():
            value.copy_(torch.from_numpy(state[name.lstrip("_")]))

    def deviation(self, n: int) -> torch.Tensor:
        """Return √Σ(x − x̄)² of n rows; zero exactly for neurons that never change."""
        centred = (self.squares - self.total.square() / n).clamp_min(0).sqrt()
        return torch.where(self._varies, centred, 0.0)
