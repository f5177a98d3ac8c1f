"""The null model `permutation`: the positions of the second model are permuted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch

from rosetta.correlation.plan import WINDOW


def window_edges(n_positions: int, rows: int) -> list[int]:
    """Return where windows of positions begin, and where the last one ends.

    Windows are of whole blocks of `rows` positions, of near equal length and of at most `WINDOW`
    positions (one block if that is more): 5 blocks of 4,096 make windows of 2 and 3 blocks.
    """
    n_blocks = -(-n_positions // rows)
    n_windows = -(-n_blocks // max(1, WINDOW // rows))
    return [min(i * n_blocks // n_windows * rows, n_positions) for i in range(n_windows + 1)]


def in_orders(
    blocks: Iterator[torch.Tensor],
    n_positions: int,
    rows: int,
    seeds: Sequence[int | None],
    first: int = 0,
) -> Iterator[torch.Tensor]:
    """Yield each block of rows once per seed: as it is (None), or permuted (Dravid 2026, App. C.3).

    Rows move within windows (`window_edges`), so a set of up to `WINDOW` positions is permuted as a
    whole. The corpus is in random order, so a window is a random sample of it. The permutation
    depends on the seed, the window and the number of positions only.

    Parameters
    ----------
    blocks : iterator of Tensor, shape (rows, n_units)
        Rows in order; the last block may be shorter.
    n_positions, rows : int
        Rows in all, and of a block.
    seeds : sequence of int or None
        Orders wanted. Blocks of the same rows follow each other: with the seeds (None, 7), the
        first block, its rows permuted, the second block, its rows permuted.
    first : int
        Position that `blocks` begins with, the edge of a window.
    """
    if tuple(seeds) == (None,):
        yield from blocks
        return
    for number, (low, high) in enumerate(pairwise(window_edges(n_positions, rows))):
        if low < first:
            continue
        orders = [_order(seed, number, high - low) for seed in seeds]
        block = next(blocks)
        window = block.new_empty((high - low, block.shape[1]))
        filled = len(block)
        window[:filled] = block
        while filled < high - low:
            block = next(blocks)
            window[filled : filled + len(block)] = block
            filled += len(block)
        for start in range(0, high - low, rows):
            here = slice(start, start + rows)
            for order in orders:  # copies, so that no window outlives the next one's beginning
                yield window[here].clone() if order is None else window[order[here]]
        del window  # or the next one would lie beside it


def _order(seed: int | None, window: int, length: int) -> torch.Tensor | None:
    if seed is None:
        return None
    return torch.from_numpy(np.random.default_rng([seed, window]).permutation(length))
