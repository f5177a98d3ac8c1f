"""What a neuron does on images: maps of its activations over the cells of its model's grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rosetta.activations.reader import StoreReader
from rosetta.errors import StoreError


def neuron_maps(stores: Sequence[StoreReader], layer: int, unit: int) -> np.ndarray:
    """Return a neuron's activations on the images of shard stores.

    Parameters
    ----------
    stores : sequence of StoreReader
        Shard stores of one model that sees images, in order.
    layer, unit : int
        The neuron.

    Returns
    -------
    ndarray of float32, shape (n_images, height, width)
        On the cells of the model's own grid.

    Raises
    ------
    StoreError
        If the stores are not of images.
    """
    if stores[0].modality != "images":
        raise StoreError(f"{stores[0].path}: holds no images, so its neurons have no maps.")
    flat = layer * stores[0].d_mlp + unit
    rows = [
        parts[0][1][:, 0].float().numpy()
        for store in stores
        for _, parts in store.chunks(flat, flat + 1)
    ]
    height, width = stores[0].manifest["holds"]["grid"]
    return np.concatenate(rows).reshape(-1, height, width)


def top_images(maps: np.ndarray, n: int) -> np.ndarray:
    """Return the images with the highest mean over all cells, the highest first.

    Of equal means the first image comes first.

    Parameters
    ----------
    maps : ndarray, shape (n_images, height, width)
        `neuron_maps`.
    n : int
        How many.

    Returns
    -------
    ndarray of int64, shape (n,)
        Their numbers.
    """
    scores = maps.mean(axis=(1, 2), dtype=np.float64)
    order: np.ndarray = np.argsort(-scores, kind="stable")[:n]
    return order
