"""What drawn images show in each cell of a grid: values of their factors, alone or in twos.

An image has three regions: the background, the first object and the second. Within a region every
factor has one value, so the map of a value, the share of each cell that shows it, is a sum of the
regions' shares. So is the map of two values together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import lcm

import numpy as np

from rosetta.inputs.images.drawing import factor_maps
from rosetta.inputs.images.image_sets import ImageSet
from rosetta.inputs.images.scenes import (
    BACKGROUNDS,
    COLOURS,
    COLUMNS,
    ROWS,
    SHAPES,
    SIZES,
    TEXTURES,
    Scenes,
    draw_scenes,
)

REGIONS = ("background", "first", "second")
# By factor, the names of its values. `row` and `column` say where the object of a cell has its
# centre, `on` what background lies behind that object.
FACTORS: dict[str, tuple[str, ...]] = {
    "region": ("background", "object"),
    "object": ("first", "second"),
    "shape": SHAPES,
    "texture": TEXTURES,
    "colour": tuple(COLOURS),
    "size": SIZES,
    "row": ROWS,
    "column": COLUMNS,
    "background": BACKGROUNDS,
    "on": BACKGROUNDS,
    "n_objects": ("one", "two"),
}
VALUES = [(factor, value) for factor, values in FACTORS.items() for value in values]
_AT_ONCE = 256  # images whose pixels are held together


def scenes_of(images: ImageSet, n_images: int) -> Scenes | None:
    """Return what the first images of a set show; None if they were not drawn from factors."""
    facts = images.manifest.get("facts", {})
    source = facts.get("source", {})
    if source.get("kind") != "procedural":
        return None
    indices = images.table["index"].to_numpy()[:n_images]
    return draw_scenes(facts["seed"], indices, source["two_objects"])


@dataclass(frozen=True)
class FactorMaps:
    """Maps of factors over the cells of images.

    Attributes
    ----------
    shares : ndarray of float64, shape (n_images, n_cells, 3)
        Share of each cell that each of `REGIONS` takes.
    shown : ndarray of bool, shape (n_images, 3, len(VALUES))
        Whether a region has a value.
    pairs : ndarray of int64, shape (n_maps, 2)
        The maps: two of `VALUES` that a region has together, or one of them twice for that alone.
        Values alone come first.
    """

    shares: np.ndarray
    shown: np.ndarray
    pairs: np.ndarray

    @classmethod
    def of(cls, scenes: Scenes, size: int, grid: tuple[int, int], min_images: int) -> FactorMaps:
        """Return the maps of scenes on a model's grid.

        Scenes look alike at any size, so they are drawn with whole pixels per cell.

        Parameters
        ----------
        scenes : Scenes
            What the images show.
        size : int
            Their side in pixels.
        grid : (int, int)
            Rows and columns of cells.
        min_images : int
            A value, or two together, have a map if so many images show them, or all images. Two
            have none that are seen wherever one of them is: every disc is an object. What covers
            all cells alike has none either.
        """
        shares, shown = _region_shares(scenes, size, grid), _values_shown(scenes)
        some = cls(shares, shown, _pairs(shares, shown, min(min_images, len(shares))))
        return cls(shares, shown, some.pairs[some.moments[1] > 1e-12])

    def of_images(self, images: slice | np.ndarray) -> FactorMaps:
        """Return the maps of some images."""
        return FactorMaps(self.shares[images], self.shown[images], self.pairs)

    @property
    def names(self) -> list[tuple[str, str, str, str]]:
        """By map: factor, value, second factor, its value; the last two are empty for one value."""
        return [
            (*VALUES[first], *(VALUES[second] if second != first else ("", "")))
            for first, second in self.pairs.tolist()
        ]

    def in_regions(self, maps: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return whether each region belongs to some maps, float64 (n_images, 3, n_maps)."""
        first, second = self.pairs[maps].T
        return (self.shown[:, :, first] & self.shown[:, :, second]).astype(np.float64)

    @cached_property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of each map over the cells of all images, float64 (n_maps,)."""
        n_positions = self.shares.shape[0] * self.shares.shape[1]
        total, squares = np.zeros((2, len(self.pairs)))
        for low in range(0, len(self.shares), _AT_ONCE):
            some = self.of_images(slice(low, low + _AT_ONCE))
            within = some.in_regions()
            total += np.einsum("nr,nrf->f", some.shares.sum(axis=1), within)
            gram = np.einsum("ncr,ncs->nrs", some.shares, some.shares)
            squares += np.einsum("nrs,nrf,nsf->f", gram, within, within, optimize=True)
        mean = total / n_positions
        return mean, squares / n_positions - mean**2


def _region_shares(scenes: Scenes, size: int, grid: tuple[int, int]) -> np.ndarray:
    height, width = grid
    step = lcm(height, width)
    side = step * -(-size // step)
    n_images = len(scenes.label)
    shares = np.empty((n_images, height * width, len(REGIONS)))
    for low in range(0, n_images, _AT_ONCE):
        some = slice(low, min(low + _AT_ONCE, n_images))
        region = factor_maps(scenes.part(some), side)["object"]
        cells = region.reshape(-1, height, side // height, width, side // width)
        for number in range(len(REGIONS)):
            covered = (cells == number).mean(axis=(2, 4))
            shares[some, :, number] = covered.reshape(-1, height * width)
    return shares


def _values_shown(scenes: Scenes) -> np.ndarray:
    """Return whether each region has each value, bool (n_images, 3, len(VALUES))."""
    n_images, none = len(scenes.label), np.int64(-1)
    codes: dict[str, list[np.ndarray | np.int64]] = {
        "region": [np.int64(0), np.int64(1), np.int64(1)],
        "object": [none, np.int64(0), np.int64(1)],
        "background": [scenes.background, none, none],
        "on": [none, scenes.background, scenes.background],
        "n_objects": [scenes.has_second.astype(np.int64)] * 3,
    }
    for factor in ("shape", "texture", "colour", "size", "row", "column"):
        codes[factor] = [none, getattr(scenes.first, factor), getattr(scenes.second, factor)]
    columns = []
    for factor, values in FACTORS.items():
        code = np.stack([np.broadcast_to(of, n_images) for of in codes[factor]], axis=1)
        columns.append(code[:, :, None] == np.arange(len(values)))
    return np.concatenate(columns, axis=2)


def _pairs(shares: np.ndarray, shown: np.ndarray, min_images: int) -> np.ndarray:
    """Return the values, and pairs of values of different factors, that have a map."""
    seen = shown & (shares.sum(axis=1) > 0)[:, :, None]
    regions = seen.reshape(-1, len(VALUES)).astype(np.float32)
    together = regions.T @ regions  # of how many regions both are
    alone = np.diag(together)
    kept = [(v, v) for v in range(len(VALUES)) if seen[:, :, v].any(axis=1).sum() >= min_images]
    for v, w in combinations(range(len(VALUES)), 2):
        implied = together[v, w] in (alone[v], alone[w])
        if VALUES[v][0] == VALUES[w][0] or implied or together[v, w] < min_images:
            continue
        if (seen[:, :, v] & seen[:, :, w]).any(axis=1).sum() >= min_images:
            kept.append((v, w))
    return np.array(kept, dtype=np.int64).reshape(-1, 2)
