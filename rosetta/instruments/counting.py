"""Matches of an instrument, as arrays, and counts of them: thousands of small tables are counted.

Counts are those of `rosetta.analysis.group_counts.count_group`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd

from rosetta.analysis.group_counts import GroupCount

_UNITS = 2**32  # above any number of units, so that layer and unit are one number


@dataclass(frozen=True)
class Found:
    """What an instrument found of a pair on a half.

    Attributes
    ----------
    a, b : ndarray of int64, shape (n,)
        Neurons of either model, layer and unit as one number; below 0 of what lies in no layer.
    r : ndarray of float64, shape (n,)
        Scores.
    """

    a: np.ndarray
    b: np.ndarray
    r: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame) -> Found:
        """Return the rows of a table (`rosetta.instruments.measure.FOUND_COLUMNS`) as arrays."""
        a, b = (
            table[f"layer_{side}"].to_numpy(np.int64) * _UNITS + table[f"unit_{side}"].to_numpy()
            for side in "ab"
        )
        return cls(a, b, table["r"].to_numpy(float))

    def above(self, limit: float) -> Found:
        """Return what exceeds a score.

        Raises
        ------
        ValueError
            If the score is NaN: without a threshold nothing is known, which is not a count of 0.
        """
        if np.isnan(limit):
            raise ValueError("there is no threshold to exceed")
        kept = self.r > limit
        return Found(self.a[kept], self.b[kept], self.r[kept])


NOTHING = Found(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def anchors(parts: Sequence[Found]) -> np.ndarray:
    """Return the neurons of A that are matched in every comparison, each once."""
    shared: np.ndarray = reduce(np.intersect1d, [np.unique(part.a) for part in parts])
    return shared


def counted(parts: Sequence[Found]) -> GroupCount:
    """Count the matches of a pair, or the anchor neurons of a larger group; with their mean r."""
    if len(parts) == 1:
        return GroupCount(len(parts[0].r), _mean(parts[0].r))
    shared = anchors(parts)
    r = [part.r[np.isin(part.a, shared)] for part in parts]
    return GroupCount(len(shared), _mean(np.concatenate(r)))


def overlap(mine: np.ndarray, theirs: np.ndarray) -> float:
    """Return |a ∩ b| / |a ∪ b| of neurons; NaN if both are empty."""
    shared = len(np.intersect1d(mine, theirs))
    union = len(mine) + len(theirs) - shared
    return shared / union if union else float("nan")


def kept_share(mine: Found, theirs: Found) -> float:
    """Return the share of other matches that are found too; NaN if there are none."""
    pairs = set(zip(mine.a.tolist(), mine.b.tolist(), strict=True))
    found = [pair in pairs for pair in zip(theirs.a.tolist(), theirs.b.tolist(), strict=True)]
    return float(np.mean(found)) if found else float("nan")


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
