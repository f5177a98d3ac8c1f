"""Counts of a group's matches: of a pair, or of anchor neurons matched in every comparison."""

from __future__ import annotations

from typing import NamedTuple

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
    """Count the Rosetta Neurons of a group from its matches (see `group_keys`)."""
    r = tables[0]["r"] if len(tables) == 1 else rosetta_neurons(tables)["r"]
    return GroupCount(len(group_keys(tables)), float(r.mean()))


def jaccard(a: pd.Index, b: pd.Index) -> float:
    """Return |a ∩ b| / |a ∪ b|; NaN if both are empty."""
    shared = len(a.intersection(b))
    union = len(a) + len(b) - shared
    return shared / union if union else float("nan")
