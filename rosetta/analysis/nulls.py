"""Null distributions of the matched r, and what of the matches exceeds them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from rosetta.config import Config
from rosetta.config_controls import NULLS
from rosetta.matching import MATCH_COLUMNS
from rosetta.paths import Paths
from rosetta.tables import read_parquet

NULL_COLUMNS = ["seed", *MATCH_COLUMNS]
PLAIN = "plain"  # the statistic that counts all matches
STATISTICS = (PLAIN, *(f"above_{name}" for name in NULLS))


def null_threshold(null_r: np.ndarray, quantile: float) -> float:
    """Return the quantile of a null's matched r that a match has to exceed.

    Of n null matches it is the ⌈quantile·(n + 1)⌉-th smallest, which a further match of the null exceeds with a
    probability of at most 1 − quantile; the largest if n is too small for that; -inf if the null has no match.
    """
    n = len(null_r)
    return float(np.sort(null_r)[min(math.ceil(quantile * (n + 1)), n) - 1]) if n else -np.inf


def tail_probability(r: np.ndarray, null_r: np.ndarray) -> np.ndarray:
    """Return the empirical probability (1 + #{null ≥ r}) / (1 + n) that a null's match reaches each r."""
    ordered = np.sort(null_r)
    reaching = len(ordered) - np.searchsorted(ordered, r, side="left")
    return (1 + reaching) / (1 + len(ordered))


def read_nulls(config: Config, paths: Paths, pair: str) -> dict[str, pd.DataFrame]:
    """Return a pair's matches under every null model that the configuration has, by its name."""
    return {name: read_parquet(paths.null_matches(name, pair), NULL_COLUMNS) for name in config.controls.names}


def thresholds(nulls: dict[str, pd.DataFrame], quantile: float) -> dict[str, float]:
    """Return what r has to exceed, by statistic: `plain` (nothing), and `above_…` each null, its seeds pooled."""
    limits = {f"above_{name}": null_threshold(null["r"].to_numpy(), quantile) for name, null in nulls.items()}
    return {PLAIN: -np.inf, **limits}
