"""Matching a pair again on half-samples: what becomes of its matches there."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from rosetta.activations.folders import open_stores
from rosetta.config import Config
from rosetta.correlation.aligned import align_pair
from rosetta.correlation.neighbor_tables import PairFacts
from rosetta.correlation.neighbors import PairNeighbors
from rosetta.correlation.plan import Budget, fits_rematch, plan_tiles
from rosetta.correlation.products import resolve_precision
from rosetta.correlation.resample import (
    Blocks,
    Rematching,
    Replicate,
    Resampled,
    rematch,
    rematch_candidates,
    sample_blocks,
)
from rosetta.correlation.view import View
from rosetta.run.paths import Paths
from rosetta.run.stages import files


class HalfSamples(NamedTuple):
    """What half-samples found of a pair.

    Attributes
    ----------
    found : Resampled
        Correlations of the pair's matches, and the matches of each half-sample.
    blocks : Blocks
        The blocks of samples that were drawn.
    method : str
        How matches were found: `rematched` among all neurons, or among `candidates`; `none` if
        there are too few clusters of samples.
    """

    found: Resampled
    blocks: Blocks
    method: str


def match_half_samples(
    config: Config,
    paths: Paths,
    pair: str,
    lists: PairNeighbors,
    facts: PairFacts,
    matches: pd.DataFrame,
) -> HalfSamples:
    """Match a pair on half of its samples at a time, and correlate its matches there.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    pair : str
        Names of both models, joined.
    lists, facts : PairNeighbors, PairFacts
        The pair's neighbour lists: the candidates where memory does not hold all neurons.
    matches : DataFrame
        `rosetta.matching.mutual.MATCH_COLUMNS`: the pair's matches.
    """
    settings, k = config.correlation, config.matching.k
    u, v = _flat(matches, "a", facts.d_mlp_a), _flat(matches, "b", facts.d_mlp_b)
    precision = resolve_precision(settings.precision)
    stores_a, stores_b = map(open_stores, files.store_folders(config, paths, pair))
    view = replace(View.of(config), sample_table=files.sample_table(config, paths, pair))
    aligned = align_pair(stores_a, stores_b, view)
    blocks, pooling = sample_blocks(aligned, config.intervals.n_blocks), config.alignment.pooling
    if not blocks.n:
        return HalfSamples(Resampled(np.empty((len(u), 0)), []), blocks, "none")
    budget = Budget.of(settings, config.dask)
    asked = Rematching(aligned, pooling, blocks, k, u, v)
    if fits_rematch(aligned.size, budget, config.intervals, precision):
        found = rematch(asked, precision)
        return HalfSamples(found, blocks, "rematched")
    tiles = plan_tiles(aligned.size, budget).tiles
    found = rematch_candidates(asked, lists, tiles)
    return HalfSamples(found, blocks, "candidates")


def _flat(matches: pd.DataFrame, side: str, d_mlp: int) -> np.ndarray:
    """Return the matched neurons of a side, numbered through all layers."""
    layer, unit = (matches[f"{name}_{side}"].to_numpy(np.int64) for name in ("layer", "unit"))
    numbers: np.ndarray = layer * d_mlp + unit
    return numbers


def replicate_matches(found: Resampled, facts: PairFacts) -> pd.DataFrame:
    """Return the matches of each half-sample: column `half_sample`, and the first of matches."""
    nothing = Replicate(*(np.empty(0, kind) for kind in (np.int64, np.int64, float)))
    tables = [
        _match_table(part.u, part.v, part.r, facts).assign(half_sample=number)
        for number, part in enumerate(found.replicates or [nothing])
    ]
    return pd.concat(tables)


def _match_table(u: np.ndarray, v: np.ndarray, r: np.ndarray, facts: PairFacts) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model_a": facts.model_a,
            "layer_a": (u // facts.d_mlp_a).astype(np.int32),
            "unit_a": (u % facts.d_mlp_a).astype(np.int32),
            "model_b": facts.model_b,
            "layer_b": (v // facts.d_mlp_b).astype(np.int32),
            "unit_b": (v % facts.d_mlp_b).astype(np.int32),
            "r": r,
        }
    )
