"""Counts of a group's matches: of a pair, or of anchor neurons matched in every comparison."""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import numpy as np
import pandas as pd

from rosetta.matching.mutual import PAIR_KEYS, rosetta_neurons


class GroupCount(NamedTuple):
    """Number of Rosetta Neurons of a group, and their matches' mean r (NaN if none)."""

    matches: int
    mean_r: float


def group_keys(tables: list[pd.DataFrame]) -> pd.MultiIndex:
    """Return what a group counts: matches of a pair, anchor neurons of a larger group.

    Parameters
    ----------
    tables : list of DataFrame
        Matches of the anchor with each other model, or some of them.
    """
    if len(tables) == 1:
        return pd.MultiIndex.from_frame(tables[0][PAIR_KEYS])
    neurons = rosetta_neurons(tables)
    return pd.MultiIndex.from_frame(neurons[["layer_anchor", "unit_anchor"]].drop_duplicates())


def count_group(tables: list[pd.DataFrame]) -> GroupCount:
    """Count the Rosetta Neurons of a group from its matches: as many as `group_keys` has.

    Half-samples and settings ask for thousands of counts, so no table is made on the way.
    """
    if len(tables) == 1:
        return GroupCount(len(tables[0]), float(tables[0]["r"].mean()))
    anchors = [_anchors(table) for table in tables]
    shared = reduce(np.intersect1d, anchors)
    r = [
        table["r"].to_numpy(float)[np.isin(of_table, shared)]
        for table, of_table in zip(tables, anchors, strict=True)
    ]
    return GroupCount(len(shared), float(np.concatenate(r).mean()) if len(shared) else np.nan)


def _anchors(table: pd.DataFrame) -> np.ndarray:
    """Return one number per row that tells the anchor neuron: its unit, and its layer above."""
    return (table["layer_a"].to_numpy(np.int64) << 32) + table["unit_a"].to_numpy(np.int64)


def jaccard(a: pd.Index, b: pd.Index) -> float:
    """Return |a ∩ b| / |a ∪ b|; NaN if both are empty."""
    shared = len(a.intersection(b))
    union = len(a) + len(b) - shared
    return shared / union if union else float("nan")
