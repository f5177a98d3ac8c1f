"""The exact judge: which factor of drawn images, or which two together, explain a neuron best.

What a drawn image shows is known, so what a neuron fires on can be told without a model that looks
at pictures. A neuron is compared with the map of every value of a factor, and of every two values
of different factors (`rosetta.inputs.images.factors`), over all cells of all images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd

from rosetta.activations.store import Store
from rosetta.analysis.columns import FACTOR_COLUMNS
from rosetta.analysis.neuron_blocks import NeuronBlock, passes, read_blocks
from rosetta.inputs.images.factors import FactorMaps
from rosetta.moments import Moments
from rosetta.progress import bar

MIN_IMAGES = 10  # that show a value, or two together, below which they explain nothing
CHANCE_QUANTILE = 0.99  # over neurons, which the explained variance of an explained one exceeds
# Stored values are rounded: a value that lies on a threshold is not to fall below it for that.
_ROUNDING = 1e-5  # standard deviations


def explain_by_factors(
    stores: Sequence[Store], maps: FactorMaps, seed: int, label: str = ""
) -> pd.DataFrame:
    """Explain all neurons of a model by the factors of the images that it is shown.

    The best explanation is the map with the highest correlation with the neuron; of equal ones that
    of a single value. A map that goes against the neuron explains nothing. Chance is the best of
    the same maps when the images are permuted: each neuron is compared with what other images show
    at the same cells, so a neuron that only knows places is explained no better than by chance.

    Explained variance is the squared correlation. For the intersection over union, a cell belongs
    to the explanation if this covers half of it or more; and the neuron fires at it if its value is
    at least the one that the regression on the explanation gives a cell of which it covers half. So
    it is 1 for a neuron that rises with the covered share, whatever its scale.

    Parameters
    ----------
    stores : sequence of Store
        Shard stores of the model, in order.
    maps : FactorMaps
        Of the images of the stores, in their order, on the model's grid.
    seed : int
        Of the permutation.
    label : str
        Name on the progress bar.

    Returns
    -------
    DataFrame
        `FACTOR_COLUMNS`. `factor_2` and `value_2` are empty if one value explains the neuron best;
        all four are for a neuron that never changes, whose numbers are NaN, and for one that no map
        goes with, whose numbers are 0. `is_explained` tells whether the explained variance is above
        the `CHANCE_QUANTILE` quantile, over the model's neurons, of what chance gives them.
    """
    order = np.random.default_rng(seed).permutation(len(maps.shares))
    of_chance = maps.of_images(order)
    moments = reduce(Moments.merge, (store.moments() for store in stores))
    tables = []
    of_stores = passes(stores)
    for blocks in bar(of_stores, total=len(of_stores), label=label, unit="pass"):
        for block in blocks:
            neurons = _Neurons.of(stores, block, moments)
            best, chance = _best(neurons, (maps, of_chance))
            iou, iou_chance = _ious(neurons, (best, chance))
            tables.append(_table(block, maps, best, (chance.variance, iou, iou_chance)))
    table = pd.concat(tables, ignore_index=True)
    by_chance = table["explained_variance_chance"]
    limit = by_chance.quantile(CHANCE_QUANTILE)  # of the neurons that change
    return table.assign(is_explained=table["explained_variance"] > limit)[FACTOR_COLUMNS]


@dataclass(frozen=True)
class _Neurons:
    """A block of neurons, standardised: mean 0 and variance 1 over all cells; 0 if dead."""

    stores: Sequence[Store]
    block: NeuronBlock
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, stores: Sequence[Store], block: NeuronBlock, moments: Moments) -> _Neurons:
        flat = slice(block.first, block.first + block.high - block.low)
        std = moments.std[flat]
        return cls(stores, block, moments.mean[flat], np.where(std > 0, 1 / (std + (std == 0)), 0))

    def images(self, n_cells: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Stream whole images: their numbers, and values (n_images, n_cells, n_units)."""
        rest, seen = np.empty((0, len(self.mean))), 0
        for store in self.stores:
            for _, _, parts in read_blocks(store, [self.block]):
                for _, part in parts:
                    values = (part.double().numpy() - self.mean) * self.scale
                    rows = np.concatenate([rest, values])
                    n_whole = len(rows) // n_cells
                    rest = rows[n_whole * n_cells :]
                    images = rows[: n_whole * n_cells].reshape(n_whole, n_cells, -1)
                    yield slice(seen, seen + n_whole), images
                    seen += n_whole


@dataclass(frozen=True)
class _Best:
    """The best explanation of each neuron of a block.

    Attributes
    ----------
    maps : FactorMaps
        What it is one of.
    number : ndarray of int64, shape (n_units,)
        Which map.
    r : ndarray of float64, shape (n_units,)
        Its correlation with the neuron; NaN of a dead neuron, 0 if no map goes with it.
    """

    maps: FactorMaps
    number: np.ndarray
    r: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """The share of the neuron's variance that it explains."""
        return np.square(self.r)


def _best(neurons: _Neurons, several: tuple[FactorMaps, ...]) -> list[_Best]:
    """Return the best explanations by each of several maps, from one pass.

    The product of neurons and maps over the cells of an image is a sum over its three regions, so
    the products with the regions come first.
    """
    n_images, n_cells, n_regions = several[0].shares.shape
    sums = [np.zeros((len(neurons.mean), len(maps.pairs))) for maps in several]
    for images, values in neurons.images(n_cells):
        for total, maps in zip(sums, several, strict=True):
            some = maps.of_images(images)
            by_region = some.shares.swapaxes(1, 2) @ values  # (n, n_regions, n_units)
            within = some.in_regions()
            flat = len(values) * n_regions
            total += by_region.reshape(flat, -1).T @ within.reshape(flat, -1)
    found = []
    for total, maps in zip(sums, several, strict=True):
        r = total / (n_images * n_cells) / np.sqrt(maps.moments[1])
        number = r.argmax(axis=1)
        highest = np.maximum(np.take_along_axis(r, number[:, None], axis=1)[:, 0], 0)
        found.append(_Best(maps, number, np.where(neurons.scale > 0, highest, np.nan)))
    return found


def _ious(neurons: _Neurons, several: list[_Best]) -> list[np.ndarray]:
    """Return the intersection over union of neurons and explanations, from one pass."""
    n_cells = several[0].maps.shares.shape[1]
    counts = np.zeros((len(several), 2, len(neurons.mean)), dtype=np.int64)
    half = [_value_at_half(best) - _ROUNDING for best in several]
    unique = [np.unique(best.number, return_inverse=True) for best in several]
    for images, values in neurons.images(n_cells):
        for both, best, limit, (used, which) in zip(counts, several, half, unique, strict=True):
            some = best.maps.of_images(images)
            covered = some.shares @ some.in_regions(used) >= 0.5 - _ROUNDING
            fires, explained = values >= limit, covered[:, :, which]
            both += [np.sum(fires & explained, (0, 1)), np.sum(fires | explained, (0, 1))]
    found = [both[0] / np.maximum(both[1], 1) for both in counts]
    return [np.where(best.r > 0, iou, best.r) for best, iou in zip(several, found, strict=True)]


def _value_at_half(best: _Best) -> np.ndarray:
    """Return the standardised value that the regression on the explanation gives a cell of which
    it covers half.
    """
    mean, variance = (of[best.number] for of in best.maps.moments)
    return best.r * (0.5 - mean) / np.sqrt(variance)


def _table(
    block: NeuronBlock, maps: FactorMaps, best: _Best, others: tuple[np.ndarray, ...]
) -> pd.DataFrame:
    names = np.array([*maps.names, ("", "", "", "")], dtype=object)
    told = names[np.where(best.r > 0, best.number, len(names) - 1)].T
    columns = dict(zip(("factor", "value", "factor_2", "value_2"), told, strict=True))
    chance, iou, iou_chance = others
    return pd.DataFrame(
        {
            **block.names,
            **columns,
            "explained_variance": best.variance,
            "iou": iou,
            "explained_variance_chance": chance,
            "iou_chance": iou_chance,
        }
    )
