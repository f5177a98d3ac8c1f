"""Planted truth: stores of two models in which chosen neurons share a feature.

Texts are random, and the two tokenizations unrelated. A sharing neuron with ratio s reads
√(s/(1+s))·z + √(1/(1+s))·ε at an aligned span, with the feature z common to both models and ε its
own; all others read ε alone. Noise is drawn per token, scaled so that the mean over the tokens of a
span has the planted ratio.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from rosetta.activations.store import write_store
from rosetta.activations.variables import StoreDescription, StoreTokens
from rosetta.alignment.spans import TokenRanges, aligned_spans
from rosetta.models.neurons import NeuronShape
from rosetta.theory.allocation import predicted_correlation

TRUTH_COLUMNS = ["layer_a", "unit_a", "layer_b", "unit_b", "ratio", "expected_r"]
LONGEST_TOKENS = (4, 7)  # bytes, of either model
GROUP = 64  # documents made at once


@dataclass(frozen=True)
class PlantedStores:
    """What is planted.

    Attributes
    ----------
    shape : NeuronShape
        Neurons of either model.
    ratios : tuple of float
        Signal-to-interference ratio s of each sharing pair of neurons, the same on both sides.
    n_documents, document_bytes : int
        The texts.
    seed : int
        Of everything that is drawn.
    n_shards : int
        Stores per model.
    """

    shape: NeuronShape
    ratios: tuple[float, ...]
    n_documents: int = 100
    document_bytes: int = 200
    seed: int = 0
    n_shards: int = 2


def simulate_stores(folder: Path, planted: PlantedStores) -> pd.DataFrame:
    """Write the stores of both models to `folder`/a and `folder`/b, and return the truth.

    Returns
    -------
    DataFrame
        `TRUTH_COLUMNS`: the planted pairs; `expected_r` by Eq. 62 (Dravid 2026).
    """
    shape, n_shared = planted.shape, len(planted.ratios)
    places = [
        np.random.default_rng([planted.seed, side, 0]).permutation(shape.n_neurons)[:n_shared]
        for side in (0, 1)
    ]
    for side, name in enumerate("ab"):
        for shard in range(planted.n_shards):
            low, high = (planted.n_documents * (shard + i) // planted.n_shards for i in (0, 1))
            groups = [range(start, min(start + GROUP, high)) for start in range(low, high, GROUP)]
            write_store(
                folder / name / f"{shard}.json",
                _batches(planted, side, places[side], groups),
                _tokens(planted, side, range(low, high)),
                StoreDescription(
                    shape=shape,
                    dtype="float32",
                    shard=shard,
                    n_shards=planted.n_shards,
                    made_by={"model": f"planted-{name}", "seed": planted.seed},
                    place=f"planted-{name}",
                ),
            )
    ratios = np.array(planted.ratios)
    columns = [index for place in places for index in (place // shape.d_mlp, place % shape.d_mlp)]
    values = [*columns, ratios, predicted_correlation(ratios, ratios)]
    return pd.DataFrame(dict(zip(TRUTH_COLUMNS, values, strict=True)))


def _ranges(planted: PlantedStores, side: int, documents: range) -> TokenRanges:
    """Tokenize documents at random; a document's tokens depend on the seed, the side and its number
    only.
    """
    index, starts, ends = [], [], []
    for place, document in enumerate(documents):
        rng = np.random.default_rng([planted.seed, side, 1, document])
        cuts = np.cumsum(rng.integers(1, LONGEST_TOKENS[side] + 1, planted.document_bytes))
        edges = np.concatenate([[0], cuts[cuts < planted.document_bytes], [planted.document_bytes]])
        index.append(np.full(len(edges) - 1, place))
        starts.append(edges[:-1])
        ends.append(edges[1:])
    return TokenRanges(np.concatenate(index), np.concatenate(starts), np.concatenate(ends))


def _tokens(planted: PlantedStores, side: int, documents: range) -> StoreTokens:
    ranges = _ranges(planted, side, documents)
    as_int = [
        values.astype(np.int32)
        for values in (ranges.byte_start, ranges.byte_end, ranges.document_index)
    ]
    ids = np.arange(len(as_int[0]), dtype=np.int32)
    lengths = np.full(len(documents), planted.document_bytes, np.int64)
    return StoreTokens(ids, *as_int, np.array(documents, dtype=np.uint64), lengths)


def _batches(
    planted: PlantedStores, side: int, places: np.ndarray, groups: list[range]
) -> Iterator[torch.Tensor]:
    shape, ratios = planted.shape, np.array(planted.ratios)
    for documents in groups:
        spans = aligned_spans([_ranges(planted, i, documents) for i in (0, 1)], len(documents))
        lengths = spans.last[side] - spans.first[side]
        span_of_token = np.repeat(np.arange(len(spans)), lengths)
        own = np.random.default_rng([planted.seed, side, 2, documents.start])
        values = own.standard_normal((len(span_of_token), shape.n_neurons), dtype=np.float32)
        values *= np.sqrt(lengths[span_of_token])[:, None]
        common = np.random.default_rng([planted.seed, 3, documents.start])
        z = common.standard_normal((len(spans), len(ratios)), dtype=np.float32)[span_of_token]
        values[:, places] = (
            np.sqrt(ratios / (1 + ratios)) * z + np.sqrt(1 / (1 + ratios)) * values[:, places]
        )
        yield torch.from_numpy(values).view(-1, shape.n_layers, shape.d_mlp).transpose(0, 1)
