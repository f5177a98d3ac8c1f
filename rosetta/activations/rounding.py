"""Activations in the precision in which they are stored."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch

from rosetta.activations.layout import LARGEST_EXPONENT
from rosetta.config.activations import CHUNK_POSITIONS
from rosetta.errors import StoreError
from rosetta.models.neurons import NeuronShape

# Below 2^-14, float16 has ever fewer digits, and below 2^-25 none. A layer none of whose values
# reaches SMALL is multiplied by a power of two first. It is chosen by the first
# CHUNK_POSITIONS positions, whose largest value becomes 1 to 2; later values may be 2^15 times as
# large before they overflow.
SMALL = 2.0**-6


class Scale:
    """Finds the exponents of a store's layers from the first positions that count.

    Parameters
    ----------
    counted : ndarray of bool, shape (n_positions,)
        Which positions count; of text, those with bytes.
    n_layers : int
        Layers of the model.
    dtype : {'float16', 'float32', 'bfloat16'}
        Stored precision.
    """

    def __init__(self, counted: np.ndarray, n_layers: int, dtype: str) -> None:
        self._counted = torch.from_numpy(counted[:CHUNK_POSITIONS])
        self._largest = np.zeros(n_layers)
        self._dtype, self._position = dtype, 0

    @property
    def complete(self) -> bool:
        """Whether all positions that matter were seen."""
        return self._dtype != "float16" or self._position >= len(self._counted)

    def see(self, values: torch.Tensor) -> None:
        """Look at the next batch, shape (n_layers, n_rows, d_mlp)."""
        rows = self._counted[self._position : self._position + values.shape[1]]
        self._position += values.shape[1]
        if not bool(rows.any()):
            return
        for layer, found in enumerate(values[:, : len(rows)]):
            low, high = torch.aminmax(found[rows])
            self._largest[layer] = max(self._largest[layer], -float(low), float(high))

    @property
    def exponents(self) -> np.ndarray:
        """Exponents e, int16 (n_layers,): x · 2^-e is stored; 0 where x is stored as it is."""
        small = (self._largest > 0) & (self._largest < SMALL)
        # frexp gives x = m · 2^p with m from 1/2 to 1.
        return (
            np.where(small, np.frexp(self._largest)[1] - 1, 0)
            .clip(-LARGEST_EXPONENT, 0)
            .astype(np.int16)
        )


def scaled_back(values: torch.Tensor, exponent: int) -> torch.Tensor:
    """Return the activations that stored values stand for: exact float32 in a scaled layer."""
    return values.float() * 2.0**exponent if exponent else values


class Rounding:
    """Rounds successive batches to the stored dtype.

    Positions that do not count are excluded, so what overflows there (the first token of many
    models reads huge values) is clamped to the largest finite value. Everything else must be
    finite.

    Parameters
    ----------
    counted : ndarray of bool, shape (n_positions,)
        Which positions count; of text, those with bytes.
    shape : NeuronShape
        Neurons of the model, for messages.
    dtype : {'float16', 'float32', 'bfloat16'}
        Stored precision.
    place : str
        What messages name as the culprit.
    exponents : ndarray of int16, shape (n_layers,), optional
        Of the layers (see `Scale`); 0 if they are not given.
    counting : bool
        Whether to count what becomes 0, which reads all values twice more.

    Attributes
    ----------
    place : str
        What messages name as the culprit.
    exponents : ndarray of int16, shape (n_layers,)
        Of the layers.
    n_clamped : int
        Values that were clamped so far.
    n_underflow : ndarray of int64, shape (n_layers,)
        Values other than 0 that became 0 so far, at positions that count.
    """

    def __init__(
        self,
        counted: np.ndarray,
        shape: NeuronShape,
        dtype: str,
        place: str,
        exponents: np.ndarray | None = None,
        *,
        counting: bool = True,
    ) -> None:
        self.exponents = np.zeros(shape.n_layers, np.int16) if exponents is None else exponents
        self.n_clamped, self.n_underflow = 0, np.zeros(shape.n_layers, np.int64)
        self._counted, self._shape = torch.from_numpy(counted), shape
        self._dtype, self.place = dtype, place
        self._counting = counting and dtype != "float32"
        self._position = 0

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Return a batch (n_layers, n_rows, d_mlp) in the stored dtype, scaled per layer.

        Raises
        ------
        StoreError
            If there are more rows than positions, or naming the first neuron that the dtype cannot
            hold.
        """
        rows = self._counted[self._position : self._position + values.shape[1]]
        if len(rows) < values.shape[1]:
            raise StoreError(
                f"{self.place}: activations of more than the {len(self._counted)} positions that "
                "are described."
            )
        self._position += len(rows)
        stored = values.to(getattr(torch, self._dtype), copy=bool(self.exponents.any()))
        for layer in np.flatnonzero(self.exponents).tolist():
            stored[layer] = values[layer].float() * 2.0 ** -int(self.exponents[layer])
        rows = rows.to(values.device)
        if self._counting:
            self._count_underflow(values, stored, rows)
        # Layer by layer, since what it takes on the way is more than the values themselves.
        if all(bool(torch.isfinite(layer).all()) for layer in stored):
            return stored
        finite = torch.isfinite(stored)
        limit = torch.finfo(stored.dtype).max
        clamped = stored.isinf() & ~rows[None, :, None]
        self.n_clamped += int(clamped.sum())
        held = finite | clamped
        if not bool(held.all()):
            raise StoreError(self._message(values, torch.nonzero(~held)[0].tolist()))
        return torch.where(clamped, stored.clamp(-limit, limit), stored)

    def _count_underflow(
        self, values: torch.Tensor, stored: torch.Tensor, rows: torch.Tensor
    ) -> None:
        for layer, (before, after) in enumerate(zip(values, stored, strict=True)):
            lost = int(before.count_nonzero()) - int(after.count_nonzero())
            if lost and not bool(rows.all()):
                lost = int(before[rows].count_nonzero()) - int(after[rows].count_nonzero())
            self.n_underflow[layer] += lost

    def _message(self, values: torch.Tensor, at: list[int]) -> str:
        layer, row, unit = at
        value = float(values[layer, row, unit])
        what = f"{self.place}: neuron {self._shape.name(layer, unit)} reads {value:g}"
        if math.isfinite(value):
            beside = (
                " beside the first values of its layer, which are tiny"
                if self.exponents[layer]
                else ""
            )
            return (
                f"{what}, which {self._dtype} cannot hold{beside}. Set activations.dtype to "
                "bfloat16 or float32."
            )
        if values.dtype == torch.float16:
            return (
                f"{what}: the forward pass in float16 overflows. Set the model's own dtype "
                "(models.NAME.dtype) to "
                "bfloat16 or float32."
            )
        computed = str(values.dtype).removeprefix("torch.")
        return (
            f"{what} in a forward pass in {computed}, which no dtype can hold. Check the weights."
        )


def rounded(
    batches: Iterable[torch.Tensor], scale: Scale, rounding: Rounding
) -> Iterator[torch.Tensor]:
    """Yield batches rounded by `rounding`, once `scale` has read the exponents."""
    batches, waiting = iter(batches), []  # nothing else may hold a batch that was let go of
    while not scale.complete:
        seen = len(waiting)
        waiting.extend(islice(batches, 1))
        if len(waiting) == seen:
            break
        scale.see(waiting[-1])
    rounding.exponents = scale.exponents
    while waiting:
        yield rounding(waiting.pop(0))
    yield from map(rounding, batches)
