"""The null model `permutation`: the positions of the second model are permuted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch

from rosetta.correlation.plan import WINDOW


def permuted(
    blocks: Iterator[torch.Tensor], n_positions: int, rows: int, seed: int
) -> Iterator[torch.Tensor]:
    """Yield blocks of the same shapes with their rows permuted (Dravid 2026, App. C.3).

    Rows move within windows of whole blocks, of near equal length and at most `WINDOW` rows (one
    block if that is more), so a set of up to `WINDOW` positions is permuted as a whole. The corpus
    is in random order, so a window is a random sample of it. The permutation depends on the seed,
    the window and the number of positions only.
    """
    n_blocks = -(-n_positions // rows)
    n_windows = -(-n_blocks // max(1, WINDOW // rows))
    edges = [min(i * n_blocks // n_windows * rows, n_positions) for i in range(n_windows + 1)]
    for number, (low, high) in enumerate(pairwise(edges)):
        order = torch.from_numpy(np.random.default_rng([seed, number]).permutation(high - low))
        block = next(blocks)
        window = torch.empty((high - low, block.shape[1]), dtype=block.dtype)
        filled = len(block)
        window[:filled] = block
        while filled < high - low:
            block = next(blocks)
            window[filled : filled + len(block)] = block
            filled += len(block)
        for start in range(0, high - low, rows):
            yield window[order[start : start + rows]]
