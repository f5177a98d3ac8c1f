"""Selectivity in vocabulary space (method, section 8; Dravid 2026, section 5.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from rosetta.moments import HigherMoments
from rosetta.progress import bar

# Cosines held at once: 8,192 tokens × 1,024 neurons are 64 MiB in float64.
TOKENS_AT_ONCE = 8192
UNITS_AT_ONCE = 1024
N_TOKENS = 10  # that a neuron promotes, and that it suppresses


class Extremes(NamedTuple):
    """The unembedding vectors whose cosines with a neuron's output weights are the most extreme.

    Attributes
    ----------
    row : Tensor of int64, shape (n, n_units)
        Which of the vectors, the most extreme first.
    cosine : Tensor of float32, shape (n, n_units)
        Their cosines.
    """

    row: torch.Tensor
    cosine: torch.Tensor

    def merge(self, row: torch.Tensor, cosines: torch.Tensor, n: int, sign: int) -> Extremes:
        """Return the n most extreme of these and of further vectors (n_vectors, n_units)."""
        row = torch.cat([self.row, row[:, None].expand(cosines.shape)])
        cosine = torch.cat([self.cosine, cosines])
        top = (sign * cosine).topk(min(n, len(cosine)), dim=0).indices
        return Extremes(row.gather(0, top), cosine.gather(0, top))

    @classmethod
    def none(cls, n_units: int) -> Extremes:
        """Return the extremes of no vector."""
        return cls(torch.empty(0, n_units, dtype=torch.int64), torch.empty(0, n_units))


class Written(NamedTuple):
    """What neurons write to the vocabulary.

    Attributes
    ----------
    excess_kurtosis : ndarray of float64, shape (n_units,)
        Of the cosines with all vectors; NaN for a zero weight vector, or where all are equal.
    promoted, suppressed : Extremes
        The vectors of highest and of lowest cosine.
    """

    excess_kurtosis: np.ndarray
    promoted: Extremes
    suppressed: Extremes


def written_tokens(weights: torch.Tensor, directions: torch.Tensor, n_tokens: int) -> Written:
    """Return the excess kurtosis and the extremes of cosines of output weights with unembeddings.

    The products are float32, the moments float64, and |V| × neurons cosines never exist at once.

    Parameters
    ----------
    weights : Tensor, shape (n_units, d_model)
        Output weight vectors.
    directions : Tensor, shape (|V|, d_model)
        Unembedding vectors. Zero vectors have no direction and are excluded.
    n_tokens : int
        How many extremes; all vectors where they are fewer.
    """
    directions = _unit_vectors(directions.float())
    rows = torch.nonzero(directions.any(dim=1))[:, 0]
    directions, weights = directions[rows], _unit_vectors(weights.float())
    parts = []
    for low in range(0, len(weights), UNITS_AT_ONCE):
        units = weights[low : low + UNITS_AT_ONCE]
        moments = HigherMoments.zeros((len(units),))
        promoted = suppressed = Extremes.none(len(units))
        for start in range(0, len(directions), TOKENS_AT_ONCE):
            cosines = directions[start : start + TOKENS_AT_ONCE] @ units.T
            moments = moments.merge(HigherMoments.of(cosines.numpy()))
            of = rows[start : start + TOKENS_AT_ONCE]
            if n_tokens:
                promoted = promoted.merge(of, cosines, n_tokens, 1)
                suppressed = suppressed.merge(of, cosines, n_tokens, -1)
        parts.append((moments.excess_kurtosis, promoted, suppressed))
    kurtosis = np.concatenate([part[0] for part in parts])
    kurtosis[~weights.any(dim=1).numpy()] = np.nan
    sides = (_joined([part[side] for part in parts]) for side in (1, 2))
    return Written(kurtosis, *sides)


def vocabulary_table(
    weights: Iterable[torch.Tensor],
    directions: torch.Tensor,
    n_layers: int,
    place: str,
    tokens: Sequence[str] = (),
) -> pd.DataFrame:
    """Return what a model's neurons write to the vocabulary, from its layers' output weights.

    Parameters
    ----------
    weights : iterable of Tensor, each of shape (d_mlp, d_model)
        Output weight vectors of every layer.
    directions : Tensor, shape (|V|, d_model)
        Unembedding vectors.
    n_layers : int
        How many layers there are.
    place : str
        Name on the progress bar.
    tokens : sequence of str, optional
        The text of every unembedding vector's token.

    Returns
    -------
    DataFrame
        `VOCABULARY_COLUMNS`; with `tokens` also `WRITTEN_COLUMNS`: the `N_TOKENS` tokens that each
        neuron promotes and suppresses most, and their cosines. None of a zero weight vector.
    """
    layers = []
    for layer, part in enumerate(bar(weights, total=n_layers, label=place, unit="layer")):
        written = written_tokens(part, directions, N_TOKENS if len(tokens) else 0)
        units = np.arange(len(part), dtype=np.int32)
        columns: dict[str, Any] = {"layer": np.int32(layer), "unit": units}
        columns["excess_kurtosis"] = written.excess_kurtosis
        if len(tokens):
            columns |= _named(written, part.any(dim=1).numpy(), tokens)
        layers.append(pd.DataFrame(columns))
    return pd.concat(layers, ignore_index=True)


def _joined(parts: list[Extremes]) -> Extremes:
    """Return the extremes of successive units."""
    if not parts:
        return Extremes.none(0)
    return Extremes(*(torch.cat(field, dim=1) for field in zip(*parts, strict=True)))


def _named(written: Written, writes: np.ndarray, tokens: Sequence[str]) -> dict[str, list]:
    """Return `WRITTEN_COLUMNS`; empty lists for neurons that write nothing."""
    columns: dict[str, list] = {}
    for name in ("promoted", "suppressed"):
        extremes: Extremes = getattr(written, name)
        rows, cosines = extremes.row.T.tolist(), extremes.cosine.T.numpy()
        columns[name] = [
            [tokens[row] for row in mine] if any_ else []
            for mine, any_ in zip(rows, writes, strict=True)
        ]
        columns[f"{name}_cosine"] = [
            mine if any_ else mine[:0] for mine, any_ in zip(cosines, writes, strict=True)
        ]
    return columns


def _unit_vectors(vectors: torch.Tensor) -> torch.Tensor:
    norms = vectors.norm(dim=1, keepdim=True)
    return vectors / torch.where(norms > 0, norms, torch.ones_like(norms))
