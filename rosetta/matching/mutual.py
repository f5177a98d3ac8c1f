"""Matches and Rosetta Neurons (method, section 3; Dravid 2026, section 3.3)."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pandas as pd

from rosetta.correlation.neighbor_tables import PairFacts
from rosetta.correlation.neighbors import Neighbors, PairNeighbors
from rosetta.errors import ConfigError

MATCH_COLUMNS = [
    "model_a",
    "layer_a",
    "unit_a",
    "model_b",
    "layer_b",
    "unit_b",
    "r",
    "rank_a",
    "rank_b",
    "margin_a",
    "margin_b",
]
PAIR_KEYS = ["layer_a", "unit_a", "layer_b", "unit_b"]  # which neurons a match is of
# What controls and resampling tell of each match; NaN where they were not made.
NOTE_COLUMNS = ["r_ci_low", "r_ci_high", "p_permutation", "p_documents", "p_untrained"]


def mutual_matches(neighbors: PairNeighbors, facts: PairFacts, k: int) -> pd.DataFrame:
    """Return the mutual k-nearest neighbours of a pair.

    (u, v) is a match if and only if v is among u's k most similar neurons of B and u among v's k
    most similar of A.

    Returns
    -------
    DataFrame
        `MATCH_COLUMNS`, ordered by (layer_a, unit_a, rank_a). `rank_a` is v's rank among u's
        neighbours, from 1; `margin_a` is r minus u's correlation with its first neighbour beyond
        the k nearest (NaN if it has none): with k = 1, the margin to the runner-up. `rank_b`,
        `margin_b` likewise from v's side.
    """
    u, rank_a = np.nonzero(neighbors.a.index[:, :k] >= 0)
    v = neighbors.a.index[u, rank_a]
    back = neighbors.b.index[v, :k] == u[:, None]
    mutual = back.any(axis=1)
    u, v, rank_a, rank_b = u[mutual], v[mutual], rank_a[mutual], back[mutual].argmax(axis=1)
    r = neighbors.a.r[u, rank_a]
    return pd.DataFrame(
        {
            "model_a": facts.model_a,
            "layer_a": (u // facts.d_mlp_a).astype(np.int32),
            "unit_a": (u % facts.d_mlp_a).astype(np.int32),
            "model_b": facts.model_b,
            "layer_b": (v // facts.d_mlp_b).astype(np.int32),
            "unit_b": (v % facts.d_mlp_b).astype(np.int32),
            "r": r,
            "rank_a": (rank_a + 1).astype(np.int16),
            "rank_b": (rank_b + 1).astype(np.int16),
            "margin_a": r - _runner_up(neighbors.a, u, k),
            "margin_b": r - _runner_up(neighbors.b, v, k),
        },
        columns=MATCH_COLUMNS,
    )


def _runner_up(neighbors: Neighbors, neurons: np.ndarray, k: int) -> np.ndarray:
    found = np.full(len(neurons), np.nan)
    if neighbors.r.shape[1] > k:
        found[:] = neighbors.r[neurons, k]
    return found


ROSETTA_COLUMNS = ["model_anchor", "layer_anchor", "unit_anchor", "model", "layer", "unit", "r"]


def check_comparisons(matches: list[pd.DataFrame]) -> None:
    """Check that tables of matches are of one anchor, with each other model once.

    Raises
    ------
    ConfigError
        If there is none, they have different anchors, or a model is compared twice.
    """
    if not matches:
        raise ConfigError(
            "no table of matches is given. Give those of the anchor with each other model."
        )
    named = {name for table in matches for name in table["model_a"].unique()}
    if len(named) > 1:
        raise ConfigError(
            f"the tables have different anchors ({', '.join(sorted(named))}); model_a must be "
            "the same."
        )
    others = [name for table in matches for name in table["model_b"].unique()]
    if len(set(others)) < len(others):
        raise ConfigError(
            f"the tables compare with {', '.join(others)}; give the matches with each model once."
        )


def rosetta_neurons(matches: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the Rosetta Neurons of a group from its (anchor, other) matches.

    An anchor neuron counts if it is matched in every comparison.

    Parameters
    ----------
    matches : list of DataFrame
        Tables of `mutual_matches`, all with the anchor as model a.

    Returns
    -------
    DataFrame
        `ROSETTA_COLUMNS`: one row per anchor neuron and partner, ordered by anchor neuron, then by
        comparison.
    """
    keys = [pd.MultiIndex.from_frame(table[["layer_a", "unit_a"]]) for table in matches]
    shared = reduce(lambda a, b: a.intersection(b), [key.unique() for key in keys])
    kept = [
        table[key.isin(shared)].assign(comparison=number)
        for number, (table, key) in enumerate(zip(matches, keys, strict=True))
    ]
    rows = pd.concat(kept).sort_values(
        ["layer_a", "unit_a", "comparison", "rank_a"], ignore_index=True
    )
    renamed = {
        "model_a": "model_anchor",
        "layer_a": "layer_anchor",
        "unit_a": "unit_anchor",
        "model_b": "model",
        "layer_b": "layer",
        "unit_b": "unit",
    }
    return rows.rename(columns=renamed)[ROSETTA_COLUMNS]
