"""Cells of a grid that two models' cells are resampled to (method, section 2).

Grids are laid over the same square image, so that cell (i, j) of an H × W grid has its centre at
((i + 1/2)/H, (j + 1/2)/W). A cell of another grid is the bilinear interpolation of the four cells
whose centres lie around its own; beyond the outer centres the outer cells go on. That is what
`torch.nn.functional.interpolate` does with `align_corners=False`, downwards without antialiasing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from rosetta.alignment.pooling import strip_rows
from rosetta.alignment.positions import AlignedPositions
from rosetta.config.alignment import Grid, check_pooling


def canonical_grid(a: tuple[int, int], b: tuple[int, int], choice: Grid) -> tuple[int, int]:
    """Return the grid that two models' cells are resampled to.

    Grids are compared as wholes, by their number of cells, so that one side is never resampled:
    of 8 × 6 and 6 × 9 the larger is 6 × 9, and not 8 × 9. Of grids with as many cells it is the
    first.

    Parameters
    ----------
    a, b : tuple of int
        Rows and columns of the first and the second model's grid.
    choice : {'larger', 'smaller', 'anchor'}
        Which of them; the anchor is the first model of a pair.
    """
    if choice == "anchor":
        return a
    more = b[0] * b[1] - a[0] * a[1]
    return b if (more > 0 if choice == "larger" else more < 0) else a


@dataclass(frozen=True)
class Corners:
    """The four cells of one grid around every cell of another, and how near it is to each.

    A cell's value is (1−y)·((1−x)·v₀ + x·v₁) + y·((1−x)·v₂ + x·v₃).

    Attributes
    ----------
    n_source : int
        Cells per image of the grid that is stored.
    cells : ndarray of int64, shape (4, n_cells)
        Stored cells v₀ to v₃, counted in the image: above left and right, below left and right.
    down, right : ndarray of float64, shape (n_cells,)
        Weights y and x.
    """

    n_source: int
    cells: np.ndarray
    down: np.ndarray
    right: np.ndarray

    @classmethod
    def between(cls, source: tuple[int, int], target: tuple[int, int]) -> Corners:
        """Return where the cells of `target` lie among those of `source`, both (H, W)."""
        rows, columns = (_between(n, m) for n, m in zip(source, target, strict=True))
        down, right = np.meshgrid(rows[2], columns[2], indexing="ij")
        cells = [
            row[:, None] * source[1] + column[None, :] for row in rows[:2] for column in columns[:2]
        ]
        return cls(
            source[0] * source[1],
            np.stack([cell.ravel() for cell in cells]),
            down.ravel(),
            right.ravel(),
        )

    @property
    def coincide(self) -> bool:
        """Whether every cell is a stored one, as those of the same grid are."""
        return not (self.down.any() or self.right.any())


def _between(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which of n cells in a row lie around each of m, and how far it is from the first.

    Where the centre falls on that of a cell, or beyond the outer ones, both are the same cell.
    """
    centre = np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1)
    first = np.floor(centre).astype(np.int64)
    weight = centre - first
    return first, first + (weight > 0), weight


@dataclass(frozen=True)
class Cells(AlignedPositions):
    """Positions of images: the cells of a grid, each made of the stored cells around it.

    Attributes
    ----------
    cell : ndarray of int, shape (n_positions,)
        Which cell of the grid, counted in the image row by row.
    corners : Corners
        The stored cells around each cell of the grid.
    origin : int
        Row of the store that rows are counted from.
    """

    cell: np.ndarray
    corners: Corners
    origin: int = 0

    @property
    def place(self) -> np.ndarray:
        """The cell of each position: cells keep their place when images are exchanged."""
        return self.cell

    @property
    def begin(self) -> np.ndarray:
        """First row that each position needs, shape (n_positions,)."""
        return self._rows(0)

    @property
    def end(self) -> np.ndarray:
        """Row after the last that each position needs, shape (n_positions,)."""
        return self._rows(3) + 1

    def some(self, which: slice | np.ndarray) -> Cells:
        """Return some of the positions, in order."""
        return replace(self, sample=self.sample[which], cell=self.cell[which])

    def counted_from(self, row: int) -> Cells:
        """Return the same positions with rows counted from `row`, for values that begin there."""
        return replace(self, origin=self.origin + row)

    def holding(self, marks: np.ndarray) -> np.ndarray:
        """Return which positions need a marked row; `marks` is bool of shape (n_rows,)."""
        found: np.ndarray = marks[self._rows(0)]
        for corner in (1, 2, 3):
            found |= marks[self._rows(corner)]
        return found

    def pool_into(
        self, out: torch.Tensor, values: torch.Tensor, which: slice, pooling: str
    ) -> None:
        """Interpolate stored cells, in the precision of `out`; the weighted mean is all there is.

        Each step is a + w·(b − a), which equal rows leave as they are.

        Raises
        ------
        ConfigError
            If the pooling is not the mean.
        """
        check_pooling(pooling, "images")
        wanted, at_once = self.some(which), strip_rows(out.device)
        if self.corners.coincide:
            rows = wanted._rows(0)
            for low in range(0, len(rows), at_once):
                out[low : low + at_once].copy_(_taken(values, rows[low : low + at_once]))
            return
        corners = torch.from_numpy(np.stack([wanted._rows(corner) for corner in range(4)]))
        down, right = (
            torch.from_numpy(weights[wanted.cell]).to(out.device, out.dtype)[:, None]
            for weights in (self.corners.down, self.corners.right)
        )
        for low in range(0, len(wanted), at_once):
            strip = slice(low, low + at_once)
            above, above_right, below, below_right = (
                _picked(values, rows).to(out.dtype) for rows in corners[:, strip]
            )
            above.lerp_(above_right, right[strip])
            below.lerp_(below_right, right[strip])
            torch.lerp(above, below, down[strip], out=out[strip])

    def _rows(self, corner: int) -> np.ndarray:
        first = self.sample.astype(np.int64) * self.corners.n_source - self.origin
        rows: np.ndarray = first + self.corners.cells[corner][self.cell]
        return rows


def _taken(values: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
    """Return some rows, without a copy where they follow each other."""
    first = int(rows[0])
    consecutive = np.array_equal(rows, np.arange(first, first + len(rows)))
    if consecutive:
        return values[first : first + len(rows)]
    return _picked(values, torch.from_numpy(rows))


def _picked(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Return a copy of some rows; several times as fast as indexing is."""
    return torch.index_select(values, 0, rows.to(values.device))
