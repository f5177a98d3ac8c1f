"""What units and matched pairs of the end of a training were at a step of it, from the stores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from rosetta.activations.reader import runs_the_model
from rosetta.alignment.pooling import strip_rows
from rosetta.correlation.aligned import AlignedPair
from rosetta.correlation.chosen_pairs import ChosenPairs, chosen_sums, correlate_chosen
from rosetta.correlation.plan import ROWS, Tile
from rosetta.correlation.resample import half_samples, sample_blocks
from rosetta.correlation.stream import Neurons, Reading, centred_blocks
from rosetta.correlation.sums import ColumnTotals
from rosetta.emergence.columns import FINAL_PAIR_COLUMNS, OWN_PAST_COLUMNS, OWN_R, R_HALVES
from rosetta.matching.mutual import PAIR_KEYS
from rosetta.models.devices import CPU
from rosetta.moments import HigherMoments


def own_past(pair: AlignedPair, pooling: str, model: str) -> pd.DataFrame:
    """Return r of every unit at a step with the same unit at the end, and its distribution.

    Parameters
    ----------
    pair : AlignedPair
        One model with itself: at a step of its training, and at the end.
    pooling : str
        Pooling of rows to positions.
    model : str
        What the table calls the model.

    Returns
    -------
    DataFrame
        `OWN_PAST_COLUMNS`. `own_r` is NaN of units that are dead at either time, skewness and
        excess kurtosis of those that are dead at the step.
    """
    d_mlp = pair.a.stores[0].d_mlp
    parts = []
    for low, high in _ranges(pair):
        every = np.arange(low, high)
        chosen = ChosenPairs(Tile(low, high, low, high), every, every)
        r, _, _ = correlate_chosen(pair, chosen, pooling)
        moments = _moments(pair, low, high, pooling)
        parts.append(
            pd.DataFrame(
                {
                    "model": model,
                    "layer": (every // d_mlp).astype(np.int32),
                    "unit": (every % d_mlp).astype(np.int32),
                    OWN_R: np.where(np.isfinite(r), r, np.nan),
                    "activation_variance": moments.variance,
                    "activation_skewness": moments.skewness,
                    "activation_kurtosis": moments.excess_kurtosis,
                },
                columns=OWN_PAST_COLUMNS,
            )
        )
    return pd.concat(parts, ignore_index=True)


def _ranges(pair: AlignedPair) -> Iterator[tuple[int, int]]:
    """Yield ranges of neurons to read at once: layers, and all where reading runs a model."""
    n, d_mlp = pair.a.n_neurons, pair.a.stores[0].d_mlp
    width = n if any(map(runs_the_model, (*pair.a.stores, *pair.b.stores))) else d_mlp
    for low in range(0, n, width):
        yield low, min(low + width, n)


def _moments(pair: AlignedPair, low: int, high: int, pooling: str) -> HigherMoments:
    """Return the moments of some units of the first side over the aligned positions, about their
    pilot means.
    """
    found = HigherMoments.zeros((high - low,))
    neurons = Neurons(pair.a, low, high)
    reading = Reading(pooling, torch.float32, ROWS)
    for block in centred_blocks(neurons, reading, ColumnTotals(high - low)):
        for strip in torch.split(block, strip_rows(CPU)):
            found = found.merge(HigherMoments.of(strip.numpy()))
    return found


def final_pairs(
    pair: AlignedPair, matches: pd.DataFrame, pooling: str, n_blocks: int
) -> pd.DataFrame:
    """Return r, at a step of a training, of the pairs of neurons that match at its end.

    Parameters
    ----------
    pair : AlignedPair
        Both models at the step.
    matches : DataFrame
        Matches at the end (`PAIR_KEYS`).
    pooling : str
        Pooling of rows to positions.
    n_blocks : int
        Blocks of samples, of which half-samples are made (`intervals.n_blocks`).

    Returns
    -------
    DataFrame
        `FINAL_PAIR_COLUMNS`: r on all samples, and a list of r on every half-sample; NaN where one
        of both neurons is dead. Ordered as `matches`.
    """
    d_a, d_b = pair.a.stores[0].d_mlp, pair.b.stores[0].d_mlp
    u = matches["layer_a"].to_numpy(np.int64) * d_a + matches["unit_a"].to_numpy(np.int64)
    v = matches["layer_b"].to_numpy(np.int64) * d_b + matches["unit_b"].to_numpy(np.int64)
    order = np.lexsort((v, u))
    blocks = sample_blocks(pair, n_blocks)
    chosen = ChosenPairs(Tile(0, pair.a.n_neurons, 0, pair.b.n_neurons), u[order], v[order])
    sums = chosen_sums(pair, chosen, pooling, blocks.of_position, max(blocks.n, 1))
    r = np.empty(len(order))
    r[order] = sums.correlations(pair.n_positions)
    halves = half_samples(blocks.n)
    on_halves = np.empty((len(order), len(halves)))
    for number, half in enumerate(halves):
        n = int(blocks.lengths[half].sum())
        on_halves[order, number] = sums.of(np.flatnonzero(half)).correlations(n)
    known = np.where(np.isfinite(r), r, np.nan)
    listed = list(np.where(np.isfinite(on_halves), on_halves, np.nan))
    found = matches[PAIR_KEYS].reset_index(drop=True)
    return found.assign(r=known, **{R_HALVES: listed})[FINAL_PAIR_COLUMNS]
