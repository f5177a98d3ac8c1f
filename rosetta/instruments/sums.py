"""Sums of products of a pair, within both models and across, by blocks of samples, in one pass.

All instruments follow from them. Products of a block are summed and kept in float32, as for
half-samples (`rosetta.correlation.resample`); halves of the blocks are added in float64.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from rosetta.correlation.aligned import AlignedPair
from rosetta.correlation.plan import ROWS, PairSize, Tile
from rosetta.correlation.products import add_products, product_device
from rosetta.correlation.stream import Reading, cut_blocks, neurons_of
from rosetta.correlation.sums import ColumnSums
from rosetta.correlation.tiles import reduced, to_correlations
from rosetta.instruments.sizes import STRIP


@dataclass(frozen=True)
class BlockSums:
    """Sums over the positions of every block. Rows are shifted by pilot means.

    Attributes
    ----------
    cross : Tensor of float32, shape (n_blocks, D_A, D_B)
        Σ a b.
    within_a, within_b : Tensor of float32, shape (n_blocks, D, D), or None
        Σ a a and Σ b b, where they were asked for.
    columns_a, columns_b : list of ColumnSums
        Sums and sums of squares of every neuron.
    lengths : ndarray of int64, shape (n_blocks,)
        Positions of every block.
    """

    cross: torch.Tensor
    within_a: torch.Tensor | None
    within_b: torch.Tensor | None
    columns_a: list[ColumnSums]
    columns_b: list[ColumnSums]
    lengths: np.ndarray

    def correlations(self, half: np.ndarray) -> torch.Tensor:
        """Return Pearson r over the blocks of a half, float64 of shape (D_A, D_B).

        It is -inf where a neuron is dead.

        Parameters
        ----------
        half : ndarray of bool, shape (n_blocks,)
            Which blocks.
        """
        inside, n = np.flatnonzero(half), int(self.lengths[half].sum())
        r = torch.zeros(self.cross.shape[1:], dtype=torch.float64)
        for block in inside:
            r += self.cross[block]
        a, b = (
            reduced(ColumnSums.joined([columns[i] for i in inside]), n)
            for columns in (self.columns_a, self.columns_b)
        )
        to_correlations(r, a, b, n)
        return r


def block_sums(
    parts: Iterable[tuple[int, torch.Tensor, torch.Tensor]],
    size: PairSize,
    n_blocks: int,
    precision: str,
    *,
    within: bool,
) -> BlockSums:
    """Return the sums of every block.

    Parameters
    ----------
    parts : iterable of (int, Tensor, Tensor)
        Block, rows of A and rows of B, as `rosetta.correlation.stream.cut_blocks` yields them.
    size : PairSize
        Neurons of both sides.
    n_blocks : int
        How many blocks there are.
    precision : {'float32', 'bfloat16', 'float64'}
        What is multiplied.
    within : bool
        Whether sums within the models are wanted.
    """
    device, shape = product_device(precision), (size.n_a, size.n_b)
    cross = torch.zeros((n_blocks, *shape), device=device)
    inner = [torch.zeros((n_blocks, n, n), device=device) for n in shape] if within else []
    columns = [[ColumnSums(n) for _ in range(n_blocks)] for n in shape]
    lengths = np.zeros(n_blocks, np.int64)
    for block, *rows in parts:
        lengths[block] += len(rows[0])
        for sums, side in zip(columns, rows, strict=True):
            sums[block].add_rows(side)
        a, b = (side.to(device) for side in rows)
        add_products(cross[block], a, b, precision)
        for total, side in zip(inner, (a, b), strict=bool(inner)):
            _add_within(total[block], side, precision)
    of_a, of_b = map(_whole, inner) if within else (None, None)
    return BlockSums(cross.cpu(), of_a, of_b, columns[0], columns[1], lengths)


def _whole(total: torch.Tensor) -> torch.Tensor:
    """Return symmetric matrices, of which cells on and to the right of the diagonal are known."""
    for block in total:
        block.copy_(block.triu() + block.triu(1).T)
    return total.cpu()


def _add_within(total: torch.Tensor, rows: torch.Tensor, precision: str) -> None:
    """Add the products of rows with themselves, on the diagonal and to the right of it."""
    for low in range(0, len(total), STRIP):
        strip = slice(low, low + STRIP)
        add_products(total[strip, low:], rows[:, strip], rows[:, low:], precision)


@dataclass(frozen=True)
class ReadPair:
    """A pair whose positions are dealt into blocks.

    Attributes
    ----------
    pair : AlignedPair
        The aligned stores under a view.
    pooling, precision : str
        How rows become positions, and what is multiplied.
    block : ndarray of int64, shape (n_positions,)
        Block of each position, in the order in which they are read.
    n_blocks : int
        How many blocks there are.
    """

    pair: AlignedPair
    pooling: str
    precision: str
    block: np.ndarray
    n_blocks: int

    def parts(self, labels: np.ndarray) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
        """Yield (label, rows of A, rows of B); `labels` has one number per position."""
        size = self.pair.size
        neurons = neurons_of(self.pair, Tile(0, size.n_a, 0, size.n_b))
        dtype = torch.float64 if self.precision == "float64" else torch.float32
        return cut_blocks(*neurons, Reading(self.pooling, dtype, ROWS), labels)


def read_sums(
    read: ReadPair, chosen: np.ndarray | None = None
) -> tuple[BlockSums, tuple[torch.Tensor, torch.Tensor]]:
    """Return the sums of a pair, with those within the models, and the rows of chosen positions.

    Parameters
    ----------
    read : ReadPair
        What is read.
    chosen : ndarray of bool, shape (n_positions,), optional
        Positions whose rows are kept.

    Returns
    -------
    sums : BlockSums
        Of all positions.
    rows : (Tensor, Tensor)
        Rows of A and of B, shape (n_chosen, D), in the same order of positions.
    """
    n = read.n_blocks
    kept: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    labels = read.block if chosen is None else read.block + n * chosen

    def parts() -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
        for label, a, b in read.parts(labels):
            if label >= n:
                kept[0].append(a.clone())
                kept[1].append(b.clone())
            yield label % n, a, b

    sums = block_sums(parts(), read.pair.size, n, read.precision, within=True)
    rows = tuple(
        torch.cat([torch.empty((0, width)), *side])
        for side, width in zip(kept, (read.pair.a.n_neurons, read.pair.b.n_neurons), strict=True)
    )
    return sums, (rows[0], rows[1])
