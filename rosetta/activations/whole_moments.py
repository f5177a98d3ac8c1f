"""The moments of all neurons over a whole store, written or live."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from rosetta.activations.reader import StoreReader, runs_the_model
from rosetta.moments import Moments


def whole_moments(store: StoreReader) -> Moments:
    """Return the moments of every neuron over the positions that count, (n_layers · d_mlp,).

    Of a live store by a pass of their own: those that it tells are of its first batch only.
    """
    if not runs_the_model(store):
        return store.moments()
    rows = np.flatnonzero(store.positions().counted)
    moments = Moments.zeros((store.n_layers * store.d_mlp,))
    for start, parts in store.chunks(0, store.n_layers * store.d_mlp):
        low, high = np.searchsorted(rows, [start, start + len(parts[0][1])])
        values = [part[rows[low:high] - start].float().numpy() for _, part in parts]
        moments = moments.merge(Moments.of(np.concatenate(values, axis=1)))
    return moments


def dead_neurons(stores: Sequence[StoreReader]) -> np.ndarray:
    """Return the flat indices of a model's neurons that have one value at all positions that
    count.
    """
    moments = reduce(Moments.merge, map(whole_moments, stores))
    return np.flatnonzero(moments.m2 == 0)
