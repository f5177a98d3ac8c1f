"""Maps of neurons over images, against stores whose values are known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rosetta.activations.folders import open_stores
from rosetta.activations.store import write_store
from rosetta.activations.variables import StoreCells, StoreDescription
from rosetta.analysis.neuron_maps import neuron_maps, top_images
from rosetta.models.neurons import NeuronShape

GRID, N_IMAGES, SHAPE = (2, 3), 7, NeuronShape(2, 5)
# By layer, position and unit; integers are exact in float16.
VALUES = np.arange(2 * N_IMAGES * 6 * 5, dtype=np.float32).reshape(2, N_IMAGES * 6, 5)


@pytest.fixture
def stores(tmp_path: Path):
    for shard, images in enumerate((slice(0, 4), slice(4, 7))):
        rows = slice(6 * images.start, 6 * images.stop)
        ids = np.arange(images.start, images.stop, dtype=np.uint64)
        write_store(
            tmp_path / f"{shard}.json",
            [torch.from_numpy(VALUES[:, rows])],
            StoreCells(image_ids=ids, grid=GRID, image_size=8),
            StoreDescription(SHAPE, "float32", shard, 2, {"model": "m"}, "m"),
        )
    return open_stores(tmp_path)


@pytest.mark.parametrize("neuron", [(0, 0), (1, 4), (1, 2)])
def test_a_map_holds_a_neuron_over_the_cells_of_every_image(stores, neuron):
    layer, unit = neuron
    expected = VALUES[layer, :, unit].reshape(N_IMAGES, *GRID)
    np.testing.assert_array_equal(neuron_maps(stores, layer, unit), expected)


def test_top_images_are_those_of_the_highest_mean():
    maps = np.zeros((5, 2, 2), np.float32)
    maps[3, 0, 0], maps[1], maps[4, 1, 1] = 9.0, 2.0, 9.0
    assert top_images(maps, 3).tolist() == [3, 4, 1]  # of equal means the first comes first
