"""Sides of aligned positions, as screening takes them."""

import numpy as np
from helpers import save_stores

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
