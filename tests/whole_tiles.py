"""All correlations of a tile at once, as the package itself never holds them."""

import torch

from rosetta.correlation.stream import neurons_of
from rosetta.correlation.tiles import correlate_neurons


def all_r(correlations):
    """Return r of all neurons of a tile."""
    n_a, _ = correlations.products.shape
    return torch.cat([r for _, r in correlations.strips([slice(0, n_a)])])


def correlate_tile(pair, tile, pooling, precision):
    """Return r of a tile's neurons, and which of either side are dead."""
    (found,) = correlate_neurons(*neurons_of(pair, tile), pooling, precision)
    return all_r(found), found.a.dead.numpy(), found.b.dead.numpy()


def tile_neighbors(pair, tile, pooling, precision, k):
    """Return the neighbour lists of a tile's neurons, in their own ranges."""
    (found,) = correlate_neurons(*neurons_of(pair, tile), pooling, precision)
    return found.nearest(k, tile.a_low, tile.b_low)
