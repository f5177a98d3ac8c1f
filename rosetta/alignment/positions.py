"""The seam of modalities: an aligned position is a fixed weighted mean of a few stored rows.

A modality says which rows of a store make each position, and with which weights. For text a
position is a run of tokens of equal weights (`rosetta.alignment.spans`). For images it is a cell of
a common grid: four stored cells with the weights of bilinear interpolation
(`rosetta.alignment.grids`). Correlation sees only what stands here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch


@dataclass(frozen=True)
class AlignedPositions(ABC):
    """Which stored rows, with which weights, make each aligned position of one shard of one model.

    Row numbers are those of the store. Position i of one model stands for the same part of a sample
    (of a document or an image) as position i of the other.

    Attributes
    ----------
    sample : ndarray of int, shape (n_positions,)
        Sample of each position, counted within the shard, non-decreasing.
    """

    sample: np.ndarray

    def __len__(self) -> int:
        return len(self.sample)

    @property
    def place(self) -> np.ndarray:
        """Place of each position in its sample, ascending in each, shape (n_positions,).

        Positions of two samples that are exchanged for each other meet where their places are
        equal. By default it is their number in the sample.
        """
        number: np.ndarray = np.arange(len(self)) - np.searchsorted(self.sample, self.sample)
        return number

    @property
    @abstractmethod
    def begin(self) -> np.ndarray:
        """First row that each position needs, shape (n_positions,)."""

    @property
    @abstractmethod
    def end(self) -> np.ndarray:
        """Row after the last that each position needs, shape (n_positions,)."""

    @abstractmethod
    def some(self, which: slice | np.ndarray) -> Self:
        """Return some of the positions, in order."""

    @abstractmethod
    def counted_from(self, row: int) -> Self:
        """Return the same positions with rows counted from `row`, for values that begin there."""

    @abstractmethod
    def holding(self, marks: np.ndarray) -> np.ndarray:
        """Return which positions need a marked row; `marks` is bool of shape (n_rows,)."""

    @abstractmethod
    def pool_into(
        self, out: torch.Tensor, values: torch.Tensor, which: slice, pooling: str
    ) -> None:
        """Pool rows to positions, in the precision of `out`.

        Equal rows must give their value exactly, so that neurons without variance stay without.

        Parameters
        ----------
        out : Tensor, shape (n_which, n_units)
            Where the positions go.
        values : Tensor, shape (n_rows, n_units)
            Stored rows; row 0 is the one that rows are counted from.
        which : slice
            Which positions.
        pooling : str
            'mean' for the weighted mean. A modality may know other statistics of the same rows.
        """


@dataclass(frozen=True)
class StoredRows:
    """What the rows of one store stand for.

    Attributes
    ----------
    sample : ndarray of int, shape (n_rows,)
        Sample of each row, counted within the shard, non-decreasing.
    content : ndarray of bool, shape (n_rows,)
        Rows that stand for a part of their sample. The others (special tokens) belong to no
        position.
    in_order : bool
        Whether a sample's rows are read one after the other, as tokens are. Cells of an image are
        seen at once, and none of them is the first.
    """

    sample: np.ndarray
    content: np.ndarray
    in_order: bool = True

    @property
    def begins_sample(self) -> np.ndarray:
        """Whether each row is the first content of its sample that is read, shape (n_rows,)."""
        found = np.zeros(len(self.sample), bool)
        if not self.in_order:
            return found
        rows = np.flatnonzero(self.content)
        found[rows[np.diff(self.sample[rows], prepend=-1) != 0]] = True
        return found


@dataclass(frozen=True)
class AlignedShard:
    """One shard of two models, aligned.

    Attributes
    ----------
    a, b : AlignedPositions
        As many positions of either model.
    rows_a, rows_b : StoredRows
        What their stored rows stand for.
    sample_ids : ndarray of uint64, shape (n_samples,)
        Ids of the shard's samples, also of those without positions.
    """

    a: AlignedPositions
    b: AlignedPositions
    rows_a: StoredRows
    rows_b: StoredRows
    sample_ids: np.ndarray

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.sample_ids)
