"""Selectivity in vocabulary space (method, section 8; Dravid 2026, section 5.1)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch

from rosetta.analysis.columns import VOCABULARY_COLUMNS
from rosetta.moments import HigherMoments
from rosetta.progress import bar

# Cosines held at once: 8,192 tokens × 1,024 neurons are 64 MiB in float64.
TOKENS_AT_ONCE = 8192
UNITS_AT_ONCE = 1024


def vocabulary_kurtosis(weights: torch.Tensor, directions: torch.Tensor) -> np.ndarray:
    """Return the excess kurtosis of cosines of output weights with all unembeddings.

    The products are float32, the moments float64, and |V| × neurons cosines never exist at once.

    Parameters
    ----------
    weights : Tensor, shape (n_units, d_model)
        Output weight vectors.
    directions : Tensor, shape (|V|, d_model)
        Unembedding vectors. Zero vectors have no direction and are excluded.

    Returns
    -------
    ndarray of float64, shape (n_units,)
        Population excess kurtosis; NaN for a zero weight vector, or where all cosines are equal.
    """
    directions = _unit_vectors(directions.float())
    directions = directions[directions.any(dim=1)]
    weights = _unit_vectors(weights.float())
    kurtosis = np.empty(len(weights))
    for low in range(0, len(weights), UNITS_AT_ONCE):
        units = weights[low : low + UNITS_AT_ONCE]
        moments = HigherMoments.zeros((len(units),))
        for start in range(0, len(directions), TOKENS_AT_ONCE):
            cosines = directions[start : start + TOKENS_AT_ONCE] @ units.T
            moments = moments.merge(HigherMoments.of(cosines.numpy()))
        kurtosis[low : low + UNITS_AT_ONCE] = moments.excess_kurtosis
    kurtosis[~weights.any(dim=1).numpy()] = np.nan
    return kurtosis


def vocabulary_table(
    weights: Iterable[torch.Tensor], directions: torch.Tensor, n_layers: int, place: str
) -> pd.DataFrame:
    """Return `VOCABULARY_COLUMNS` of a model's neurons from its layers' output weights."""
    layers = []
    for layer, part in enumerate(bar(weights, total=n_layers, label=place, unit="layer")):
        kurtosis = vocabulary_kurtosis(part, directions)
        units = np.arange(len(part), dtype=np.int32)
        layers.append(
            pd.DataFrame({"layer": np.int32(layer), "unit": units, "excess_kurtosis": kurtosis})
        )
    return pd.concat(layers, ignore_index=True)[VOCABULARY_COLUMNS]


def _unit_vectors(vectors: torch.Tensor) -> torch.Tensor:
    norms = vectors.norm(dim=1, keepdim=True)
    return vectors / torch.where(norms > 0, norms, torch.ones_like(norms))
