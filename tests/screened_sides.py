"""Sides of aligned positions, as screening takes them."""

import numpy as np
from helpers import random_ranges, save_stores

from rosetta.correlation.aligned import align_pair


def as_side(folder, values, n_shards=1):
    """Store values (n, units) at one byte per position and return the pair's side and the values as
    stored.
    """
    n = len(values)
    at = np.arange(n, dtype=np.int32)
    per_document = n // 10
    ranges = (at, at % per_document, at % per_document + 1, at // per_document)
    stores = save_stores(folder, values[None].astype(np.float32), ranges, 10, n_shards=n_shards)
    return align_pair(stores, stores).a


def planted_pair(
    folder,
    seed,
    *,
    n=200,
    n_shared=200,
    n_bytes=6000,
    noise=(0.3, 1.0),
    sparse=0.1,
    n_shards=2,
    names=("a", "b"),
):
    """Two stores whose first `n_shared` neurons, shuffled in B, share sparse features.

    `names` are those of the models' folders within `folder`.
    """
    rng = np.random.default_rng(seed)
    lengths = [n_bytes // 10] * 10
    order = rng.permutation(n)
    features = rng.exponential(size=(n_bytes, n)) * (rng.random((n_bytes, n)) < sparse)
    features[:, n_shared:] = 0
    scale = rng.uniform(*noise, size=n)
    stores = []
    for name, columns, max_token in zip(names, (np.arange(n), order), (2, 3), strict=True):
        ranges = random_ranges(rng, lengths, max_token=max_token, truncate=False)
        at = ranges[1] + ranges[3].astype(int) * lengths[0]
        values = features[at][:, columns] + scale[columns] * 0.3 * rng.normal(size=(len(at), n))
        values = values.astype(np.float32)[None]
        stores.append(
            save_stores(folder / name, values.reshape(1, len(at), n), ranges, 10, n_shards=n_shards)
        )
    return stores
