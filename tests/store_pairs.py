"""Pairs of stores with random activations, and their neighbour lists by brute force."""

import numpy as np
from helpers import random_ranges, save_stores

import rosetta.activations.store
import rosetta.correlation.pairs
import rosetta.correlation.plan
import rosetta.correlation.tiles

DOCUMENTS = [40, 1, 25, 0, 60, 33, 7]


def planted(rng, n_positions, n_layers, d_mlp, dtype):
    """Activations with sparse, quiet, loud, shifted and dead neurons among plain ones."""
    values = rng.normal(size=(n_layers, n_positions, d_mlp)).astype(np.float32)
    values[0, :, 0] = 0.25  # dead
    if d_mlp > 3:
        values[0, :, 1] *= 1e-3  # quiet
        values[0, :, 2] = values[0, :, 2] * 0.1 + 30  # far from zero
        values[-1, :, 3] *= rng.random(n_positions) < 0.05  # sparse
    return values


def use_small_chunks(patch):
    """Make chunks and runs of rows so small that tiny stores have many of both."""
    patch.setattr(rosetta.activations.store, "CHUNK_POSITIONS", 16)
    patch.setattr(rosetta.activations.store, "CHUNK_UNITS", 4)
    patch.setattr(rosetta.correlation.tiles, "ROWS", 10)


def make_pair(folder, seed, shape_a, shape_b, n_shards, dtype, special=True, documents=DOCUMENTS):
    rng = np.random.default_rng(seed)
    stores = []
    for name, (n_layers, d_mlp), max_token in (("a", shape_a, 4), ("b", shape_b, 7)):
        ranges = random_ranges(
            rng, documents, max_token=max_token, special=special and name == "a", truncate=False
        )
        values = planted(rng, len(ranges[0]), n_layers, d_mlp, dtype)
        stores.append(
            save_stores(
                folder / name, values, ranges, len(documents), n_shards=n_shards, dtype=dtype
            )
        )
    return stores


def brute_force_neighbors(r, k):
    order = [
        sorted(np.flatnonzero(np.isfinite(row)), key=lambda j, row=row: (-row[j], j))[:k]
        for row in r
    ]
    return [[int(j) for j in row] for row in order]
