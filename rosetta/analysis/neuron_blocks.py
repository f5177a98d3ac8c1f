"""Reading a model's stores by blocks of neurons, and what is counted of each block.

Neurons are taken in blocks of units; a block streams over all positions, so every chunk of a store
is read once and memory does not grow with the number of positions or layers. Of a live store all
blocks are filled at once, because every reading runs the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy.special import rel_entr

from rosetta.activations.reader import runs_the_model
from rosetta.activations.store import CHUNK_UNITS, Store
from rosetta.activations.whole_moments import whole_moments
from rosetta.moments import HigherMoments, Moments

if TYPE_CHECKING:
    from rosetta.activations.live import LiveStore


class NeuronBlock(NamedTuple):
    """Some units of one layer, and where they begin in the flat order of all neurons."""

    layer: int
    low: int
    high: int
    first: int

    @property
    def units(self) -> slice:
        """The units."""
        return slice(self.low, self.high)

    @property
    def names(self) -> dict[str, object]:
        """The columns that name the neurons in a table, `layer` and `unit`."""
        units = np.arange(self.low, self.high, dtype=np.int32)
        return {"layer": np.int32(self.layer), "unit": units}


def passes(stores: Sequence[Store | LiveStore]) -> list[list[NeuronBlock]]:
    """Return all blocks of a model, those together that one pass over its stores should fill."""
    n_layers, d_mlp = stores[0].n_layers, stores[0].d_mlp
    blocks = [
        NeuronBlock(layer, low, min(low + CHUNK_UNITS, d_mlp), layer * d_mlp + low)
        for layer in range(n_layers)
        for low in range(0, d_mlp, CHUNK_UNITS)
    ]
    return [blocks] if any(map(runs_the_model, stores)) else [[block] for block in blocks]


def read_blocks(
    store: Store | LiveStore, blocks: Sequence[NeuronBlock]
) -> Iterator[tuple[int, int, Iterator[tuple[NeuronBlock, torch.Tensor]]]]:
    """Stream the activations of successive blocks in a store.

    Yields
    ------
    start, n_rows : int
        The rows of a chunk.
    parts : iterator of (NeuronBlock, Tensor of shape (n_rows, n_units))
        The values of each block there.
    """
    low, high = blocks[0].first, blocks[-1].first + blocks[-1].high - blocks[-1].low
    for start, layers in store.chunks(low, high):
        yield start, len(layers[0][1]), _cut(blocks, low, layers)


def _cut(
    blocks: Sequence[NeuronBlock], low: int, parts: list[tuple[int, torch.Tensor]]
) -> Iterator[tuple[NeuronBlock, torch.Tensor]]:
    """Yield the columns of each block in the parts, one per layer, of a chunk that begins with
    neuron `low`.
    """
    for offset, values in parts:
        for block in blocks:
            column = block.first - low - offset
            if 0 <= column < values.shape[1]:
                yield block, values[:, column : column + block.high - block.low]


def firing_thresholds(stores: Sequence[Store | LiveStore], firing_std: float | None) -> np.ndarray:
    """Return what the activation of every neuron exceeds where it fires.

    Parameters
    ----------
    stores : sequence of Store
        Shard stores of the model, in order.
    firing_std : float or None
        The threshold is the neuron's mean plus this many standard deviations; if None, it is 0.

    Returns
    -------
    ndarray of float64, shape (n_layers, d_mlp)
    """
    shape = (stores[0].n_layers, stores[0].d_mlp)
    if firing_std is None:
        return np.zeros(shape)
    moments = reduce(Moments.merge, map(whole_moments, stores))
    return (moments.mean + firing_std * moments.std).reshape(shape)


class Distribution:
    """What has been counted of a block: moments, and firing by class (of text, by domain).

    Parameters
    ----------
    thresholds : ndarray, shape (n_units,)
        What the activation of each unit exceeds where it fires.
    n_classes : int
        Number of classes.
    """

    def __init__(self, thresholds: np.ndarray, n_classes: int) -> None:
        self._thresholds = thresholds
        self._moments = HigherMoments.zeros((len(thresholds),))
        self._firing = np.zeros((n_classes, len(thresholds)), dtype=np.int64)

    def add(self, values: np.ndarray, of_row: np.ndarray) -> None:
        """Add the values (n_rows, n_units) of some positions, each of a class."""
        self._moments = self._moments.merge(HigherMoments.of(values))
        members = (np.arange(len(self._firing))[:, None] == of_row).astype(np.float32)
        self._firing += (members @ (values > self._thresholds).astype(np.float32)).astype(np.int64)

    def columns(self, totals: np.ndarray) -> dict[str, object]:
        """Return `columns.NEURON_COLUMNS` but for the names, of classes of so many positions."""
        moments, firing = self._moments, self._firing
        return {
            "activation_mean": moments.mean,
            "activation_variance": moments.variance,
            "activation_skewness": moments.skewness,
            "activation_kurtosis": moments.excess_kurtosis,
            "fraction_active": firing.sum(axis=0) / totals.sum(),
            "domain_information": mutual_information(firing, totals),
            "domain_firing": list((firing / np.maximum(totals, 1)[:, None]).T.astype(np.float32)),
        }


def mutual_information(firing: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return the mutual information, in bits, between firing and class: the plug-in estimate from
    counts.

    I(F; C) = Σ p(f, c) log2 [p(f, c) / (p(f) p(c))]. On N independent positions it is biased
    upwards by about (n_classes − 1) / (2 N ln 2).

    Parameters
    ----------
    firing : ndarray of int, shape (n_classes, n_units)
        Positions of each class at which each unit fires.
    totals : ndarray of int, shape (n_classes,)
        Positions of each class.
    """
    n = totals.sum()
    joint = np.stack([firing, totals[:, None] - firing]) / n
    independent = joint.sum(axis=1, keepdims=True) * (totals / n)[None, :, None]
    return rel_entr(joint, independent).sum(axis=(0, 1)) / np.log(2)


class TopList:
    """The highest values of each unit of a block, over samples that come one after the other.

    Attributes
    ----------
    value : ndarray, shape (n, n_units)
        The highest first; -inf where there were fewer samples.
    """

    def __init__(self, n: int, n_units: int, dtype: type[np.floating]) -> None:
        self.value = np.full((n, n_units), -np.inf, dtype=dtype)

    def insert(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Merge the values (n_samples, n_units) of further samples into the list.

        On ties those that are in the list already go first, then the earlier sample: both came
        before.

        Returns
        -------
        units : ndarray of int64, shape (n_changed,)
            The units whose list changes.
        order : ndarray of int64, shape (n, n_changed)
            What stands at each rank: below n, what stood at that rank; from n on, sample
            ``order - n``.
        """
        n = len(self.value)
        units = np.flatnonzero((values > self.value[-1]).any(axis=0))
        value = np.concatenate([self.value[:, units], values[:, units]])
        order = np.argsort(-value, axis=0, kind="stable")[:n]
        self.value[:, units] = np.take_along_axis(value, order, axis=0)
        return units, order


def kept_in(places: np.ndarray, units: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return what was noted of each rank in its new order, with anything where a sample is new.

    Parameters
    ----------
    places : ndarray, shape (n, n_units, ...)
        What is noted of each rank and unit.
    units, order : ndarray
        What `TopList.insert` returned.

    Returns
    -------
    ndarray, shape (n, n_changed, ...)
    """
    return places[np.minimum(order, len(places) - 1), units]
