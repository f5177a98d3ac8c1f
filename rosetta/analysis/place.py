"""How much of the correlation of two matched neurons place alone makes, cell by cell.

All images share a grid, so neurons that tell where a cell lies are correlated whatever the images
show. Let m(c) be the mean of a neuron over all images at cell c, and μ and σ its mean and standard
deviation over all positions. If every image of the second model were exchanged for another, in all
ways in turn, the mean of r would be

    r_place = mean over c of (m_a(c) − μ_a)·(m_b(c) − μ_b) / (σ_a·σ_b),

whose terms are a map of where place alone correlates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from rosetta.activations.store import CHUNK_UNITS, Store
from rosetta.alignment.grids import Corners, canonical_grid
from rosetta.analysis.columns import PLACE_COLUMNS
from rosetta.analysis.neuron_maps import grid_of
from rosetta.analysis.points import groups_of
from rosetta.config.alignment import Grid
from rosetta.matching.mutual import PAIR_KEYS

IMAGES_AT_A_TIME = 256  # resampled together


class CellMeans(NamedTuple):
    """Moments of some neurons on a grid, in float64.

    Attributes
    ----------
    by_cell : ndarray, shape (n, n_cells)
        Means over all images.
    mean, std : ndarray, shape (n,)
        Over all images and cells.
    """

    by_cell: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def cell_means(
    stores: Sequence[Store], layer: np.ndarray, unit: np.ndarray, grid: tuple[int, int]
) -> CellMeans:
    """Return the moments of some neurons with their cells resampled to a grid.

    Only chunks that hold such a neuron are read, each of them once.

    Parameters
    ----------
    stores : sequence of Store
        Shard stores of one model that sees images, in order.
    layer, unit : ndarray of int, shape (n,)
        The neurons.
    grid : tuple of int
        Rows and columns of cells.

    Raises
    ------
    StoreError
        If the stores are not of images.
    """
    corners = Corners.between(grid_of(stores), grid)
    n_cells = grid[0] * grid[1]
    total, squares = np.zeros((len(layer), n_cells)), np.zeros(len(layer))
    n_images = 0
    for store in stores:
        n_images += store.n_samples
        for some in groups_of(layer, unit // CHUNK_UNITS):
            units, low = unit[some], int(unit[some].min())
            across = slice(low, int(units.max()) + 1)
            for first in range(0, store.n_samples, IMAGES_AT_A_TIME):
                images = slice(first, min(first + IMAGES_AT_A_TIME, store.n_samples))
                rows = slice(images.start * corners.n_source, images.stop * corners.n_source)
                read = store.activations(int(layer[some[0]]), rows, across).double().numpy()
                cells = read[:, units - low].reshape(-1, corners.n_source, len(units))
                shown = _resampled(cells, corners)
                total[some] += shown.sum(axis=0).T
                squares[some] += (shown**2).sum(axis=(0, 1))
    mean = total.sum(axis=1) / (n_images * n_cells)
    variance = squares / (n_images * n_cells) - mean**2
    return CellMeans(total / n_images, mean, np.sqrt(np.maximum(variance, 0)))


def _resampled(cells: np.ndarray, corners: Corners) -> np.ndarray:
    """Return (n_images, n_cells, n) of (n_images, n_source, n), by bilinear interpolation."""
    if corners.coincide:  # not only on the same grid: 3 × 3 cells have the centres of 9 of 9 × 9
        return cells[:, corners.cells[0]]
    above_left, above_right, below_left, below_right = (cells[:, one] for one in corners.cells)
    down, right = corners.down[:, None], corners.right[:, None]
    above = above_left + right * (above_right - above_left)
    below = below_left + right * (below_right - below_left)
    return above + down * (below - above)


def place_correlations(
    matches: pd.DataFrame, stores: tuple[Sequence[Store], Sequence[Store]], choice: Grid
) -> tuple[pd.DataFrame, tuple[int, int]]:
    """Return what place alone makes of every match, and the grid of its maps.

    All cells count, also those that exclusions leave out of r.

    Parameters
    ----------
    matches : DataFrame
        Of `matching.mutual_matches`.
    stores : (sequence of Store, sequence of Store)
        Shard stores of both models.
    choice : {'larger', 'smaller', 'anchor'}
        Grid that cells are resampled to (`alignment.grids.canonical_grid`).

    Returns
    -------
    table : DataFrame
        `columns.PLACE_COLUMNS`. `place_map` has the terms of all cells, row by row.
    grid : tuple of int
        Their rows and columns.

    Raises
    ------
    StoreError
        If the stores are not of images.
    """
    a, b = stores
    grid = canonical_grid(grid_of(a), grid_of(b), choice)
    sides = []
    for side, of_side in zip("ab", stores, strict=True):
        neurons = (matches[f"{name}_{side}"].to_numpy(np.int64) for name in ("layer", "unit"))
        found = cell_means(of_side, *neurons, grid)
        std = np.where(found.std > 0, found.std, np.inf)
        sides.append((found.by_cell - found.mean[:, None]) / std[:, None])
    maps = sides[0] * sides[1]
    table = matches[[*PAIR_KEYS, "r"]].assign(
        r_place=maps.mean(axis=1), place_map=list(maps.astype(np.float32))
    )
    return table[PLACE_COLUMNS], grid
