"""Spearman's correlation: Pearson's of exact ranks.

Ranks are over all positions that are looked at, ties at their mean. So the value of a half is
Pearson's r of these ranks on its positions, not of ranks within the half. All positions of a neuron
have to be in memory at once: 8 bytes per value of both models, which limits the instrument. Ranks
are multiplied in float32, or in float64 where that is asked for: bfloat16 tells 256 of them apart.
"""

from __future__ import annotations

import numpy as np
import torch

from rosetta.instruments.sums import BlockSums, ReadPair, block_sums

_STRIP = 64  # columns that are ranked at once


def rank_sums(read: ReadPair) -> BlockSums:
    """Return the sums across the models of every block, of ranks scaled to (−1/2, 1/2)."""
    labels, of_a, of_b = [], [], []
    for label, a, b in read.parts(read.block):
        labels.append(label)
        of_a.append(a.clone())
        of_b.append(b.clone())
    lengths = [len(rows) for rows in of_a]
    sides = [torch.cat(rows) for rows in (of_a, of_b)]
    del of_a, of_b
    for side in sides:
        to_ranks(side)
    parts = zip(labels, *(torch.split(side, lengths) for side in sides), strict=True)
    precision = "float64" if read.precision == "float64" else "float32"
    return block_sums(parts, read.pair.size, read.n_blocks, precision, within=False)


def to_ranks(rows: torch.Tensor) -> None:
    """Replace the values of every column by their ranks, ties at their mean, in place.

    Parameters
    ----------
    rows : Tensor, shape (n, D)
        Becomes (rank − (n + 1)/2) / n, with ranks from 1.
    """
    from scipy.stats import rankdata  # takes a second to import

    n = len(rows)
    for low in range(0, rows.shape[1], _STRIP):
        strip = rows[:, low : low + _STRIP]
        ranks = rankdata(strip.numpy(), axis=0).astype(np.float64)
        strip.copy_(torch.from_numpy((ranks - (n + 1) / 2) / n))
