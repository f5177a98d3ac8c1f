"""Pooling and correlation of stores by their definitions, in NumPy float64."""

import numpy as np
import torch

from rosetta.alignment.spans import aligned_spans
from rosetta.alignment.text import token_ranges


def pooled_reference(stores, spans, side, pooling):
    """Pool by the definition, in float64."""
    rows = []
    for store, shard in zip(stores, spans, strict=True):
        layers = [store.activations(i, slice(None), slice(None)) for i in range(store.n_layers)]
        values = (
            torch.cat(layers, dim=1)
            .double()
            .numpy()[store.read("byte_end") > store.read("byte_start")]
        )
        reduce = getattr(np, pooling)
        rows += [
            reduce(values[low:high], axis=0)
            for low, high in zip(shard.first[side], shard.last[side], strict=True)
        ]
    return np.array(rows)


def pooled_sides(stores_a, stores_b, pooling):
    """Pool the positions that two models share, by the definition."""
    spans = [
        aligned_spans(
            [token_ranges(a.positions()), token_ranges(b.positions())], len(a.read("document_ids"))
        )
        for a, b in zip(stores_a, stores_b, strict=True)
    ]
    return [
        pooled_reference(stores, spans, i, pooling) for i, stores in enumerate((stores_a, stores_b))
    ]


def reference(stores_a, stores_b, pooling):
    a, b = pooled_sides(stores_a, stores_b, pooling)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.corrcoef(a.T, b.T)[: a.shape[1], a.shape[1] :]
    r[np.ptp(a, axis=0) == 0] = -np.inf
    r[:, np.ptp(b, axis=0) == 0] = -np.inf
    return r
