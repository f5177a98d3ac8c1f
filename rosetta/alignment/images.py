"""Alignment of two models' stores of images, cell by cell on a common grid, and what a table of an
image set says of its images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rosetta.activations.position_checks import check_same_images
from rosetta.activations.reader import StoreReader
from rosetta.activations.variables import StoreCells
from rosetta.alignment.grids import Cells, Corners, canonical_grid
from rosetta.alignment.positions import AlignedShard, StoredRows
from rosetta.alignment.samples import SampleFacts, SampleTable
from rosetta.config.alignment import Grid
from rosetta.storage.digests import name64


def align_shard(a: StoreReader, b: StoreReader, grid: Grid) -> AlignedShard:
    """Align one shard of two models, whose cells are resampled to one of their grids.

    Both may have seen the images at different sizes, and be captured at different steps.

    Parameters
    ----------
    a, b : StoreReader
        The shard of either model.
    grid : {'larger', 'smaller', 'anchor'}
        Which grid (`rosetta.alignment.grids.canonical_grid`).

    Raises
    ------
    StoreError
        If the stores do not hold the same images in the same order.
    """
    cells_a, cells_b = StoreCells.of(a), StoreCells.of(b)
    check_same_images(cells_a, cells_b, (str(a.path), str(b.path)))
    common = canonical_grid(cells_a.grid, cells_b.grid, grid)
    n_images, n_cells = len(cells_a.image_ids), common[0] * common[1]
    sample = np.repeat(np.arange(n_images, dtype=np.int32), n_cells)  # one array for both sides
    cell = np.tile(np.arange(n_cells, dtype=np.int32), n_images)
    side_a, side_b = (
        Cells(sample, cell, Corners.between(cells.grid, common)) for cells in (cells_a, cells_b)
    )
    return AlignedShard(side_a, side_b, _rows(cells_a), _rows(cells_b), cells_a.image_ids)


def stored_rows(store: StoreReader) -> StoredRows:
    """Return what the rows of a store of images stand for."""
    return _rows(StoreCells.of(store))


def _rows(cells: StoreCells) -> StoredRows:
    sample = np.repeat(np.arange(len(cells.image_ids), dtype=np.int32), cells.n_cells)
    return StoredRows(sample, cells.counted, in_order=False)


def sample_facts(ids: np.ndarray, table: Path | None) -> SampleFacts:
    """Return the facts of images: their domains are the labels, and each is a cluster of its own.

    Images of all labels are exchanged for each other, so that what survives is place alone.

    Parameters
    ----------
    ids : ndarray of uint64, shape (n_images,)
        Images of the stores.
    table : Path, optional
        Table of an image set: Parquet with the columns `id` and `domain`.

    Raises
    ------
    StoreError
        If the table lacks an image, or is none of images.
    """
    names = np.array([name64(i) for i in ids.tolist()], dtype=str)
    if table is None:
        return SampleFacts(np.full(len(names), ""), names, across_labels=True)
    found = SampleTable(table, ("domain",), "image", "the table of the image set").rows_of(ids)
    return SampleFacts(found["domain"].to_numpy(str), names, across_labels=True)
