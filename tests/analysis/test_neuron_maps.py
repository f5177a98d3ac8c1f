"""Maps of neurons over images, against stores whose values are known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import save_image_stores

from rosetta.activations import store
from rosetta.activations.folders import open_stores
from rosetta.activations.store import Store, write_store
from rosetta.activations.variables import StoreCells, StoreDescription
from rosetta.analysis import neuron_maps as neuron_maps_module
from rosetta.analysis import points
from rosetta.analysis.columns import PARTNER_IMAGE_COLUMNS
from rosetta.analysis.image_profiles import ProfileSettings, profile_on_images
from rosetta.analysis.neuron_maps import (
    image_scores,
    maps_on,
    neuron_maps,
    partner_images,
    top_images,
)
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


def test_maps_of_several_neurons_are_read_on_images_of_their_own(stores):
    layer, unit = np.array([1, 0, 1]), np.array([4, 2, 0])
    images = np.array([[6, 0], [3, 4], [5, 5]])
    found = maps_on(stores, layer, unit, images)
    assert found.shape == (3, 2, *GRID)
    for i, (of_layer, of_unit) in enumerate(zip(layer, unit, strict=True)):
        whole = neuron_maps(stores, of_layer, of_unit)
        np.testing.assert_array_equal(found[i], whole[images[i]])


def test_only_chunks_that_hold_a_map_are_read_and_each_once(tmp_path, monkeypatch):
    """Chunks of eight positions and images of six cells: image 1 lies in two chunks."""
    monkeypatch.setattr(store, "CHUNK_POSITIONS", 8)
    for module in (points, neuron_maps_module, store):
        monkeypatch.setattr(module, "CHUNK_UNITS", 2)
    monkeypatch.setattr(points, "CHUNK_POSITIONS", 8)
    values = np.arange(2 * 8 * 6 * 5, dtype=np.float32).reshape(2, 8, 6, 5)
    stores = save_image_stores(tmp_path / "b", values, GRID, n_shards=2)
    read = []
    whole = Store.activations

    def noted(self, layer, rows, units):
        read.append((self.path.stem, layer, rows.start // 8, units.start // 2))
        assert rows.stop <= 8 * (rows.start // 8 + 1)
        assert units.stop <= 2 * (units.start // 2 + 1)
        return whole(self, layer, rows, units)

    monkeypatch.setattr(Store, "activations", noted)
    found = maps_on(stores, np.array([1, 1, 0]), np.array([3, 2, 4]), np.array([[1], [1], [7]]))
    np.testing.assert_array_equal(found[0, 0].ravel(), values[1, 1, :, 3])
    np.testing.assert_array_equal(found[1, 0].ravel(), values[1, 1, :, 2])
    np.testing.assert_array_equal(found[2, 0].ravel(), values[0, 7, :, 4])
    # Image 7 is the fourth of shard 1, whose cells 18 to 23 lie in the chunk of rows 16 to 23.
    assert sorted(read) == [("0", 1, 0, 1), ("0", 1, 1, 1), ("1", 0, 2, 2)]


@pytest.mark.parametrize("score", ["mean", "max"])
@pytest.mark.parametrize("n_positions", [4, 6, 8, 100])
def test_values_of_images_are_those_of_their_maps(tmp_path, monkeypatch, n_positions, score):
    """Of images of six cells in chunks of other sizes, so that these end within an image."""
    monkeypatch.setattr(store, "CHUNK_POSITIONS", n_positions)
    for module in (neuron_maps_module, store):
        monkeypatch.setattr(module, "CHUNK_UNITS", 2)
    values = np.random.default_rng(0).normal(size=(2, 9, 6, 5)).astype(np.float32)
    stores = save_image_stores(tmp_path / "b", values, GRID, n_shards=3)
    layer, unit = np.array([1, 0, 1, 1]), np.array([3, 4, 0, 2])
    found = image_scores(stores, layer, unit, score)
    expected = getattr(values[layer, :, :, unit], score)(axis=2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert image_scores(stores, layer[:0], unit[:0], score).shape == (0, 9)


@pytest.mark.parametrize("score", ["mean", "max"])
def test_partners_are_read_on_the_top_images_of_the_matched_neurons(tmp_path, score):
    rng = np.random.default_rng(0)
    values = {
        name: rng.normal(size=(2, 9, int(np.prod(grid)), 3)).astype(np.float32)
        for name, grid in (("a", (2, 3)), ("b", (2, 2)))
    }
    stores = (
        save_image_stores(tmp_path / "a", values["a"], (2, 3)),
        save_image_stores(tmp_path / "b", values["b"], (2, 2), n_shards=3),
    )
    images = pd.DataFrame({"id": np.arange(9, dtype=np.uint64), "domain": "x"})
    asked = ProfileSettings(2, score)
    tops = tuple(profile_on_images(one, images, asked).top_images for one in stores)
    neurons = {"layer_a": [0, 1], "unit_a": [2, 0], "layer_b": [1, 1], "unit_b": [1, 2]}
    matches = pd.DataFrame({"model_a": "a", "model_b": "b", **neurons, "r": [0.5, 0.6]})
    found = partner_images(matches, tops, stores, score)
    assert list(found.columns) == PARTNER_IMAGE_COLUMNS
    assert found["model"].tolist() == ["a"] * 4 + ["b"] * 4
    assert found["rank"].tolist() == [1, 2] * 4
    for row in found.itertuples():
        own, partner = (0, 1) if row.model == "a" else (1, 0)
        top = tops[own]
        mine = top[(top["layer"] == row.layer) & (top["unit"] == row.unit)]
        assert row.image == mine["image"].tolist()[row.rank - 1]
        other = values[row.partner][row.partner_layer, row.image, :, row.partner_unit]
        np.testing.assert_array_equal(row.partner_map, other)
        expected = other.mean(dtype=np.float64) if score == "mean" else other.max()
        assert row.partner_score == pytest.approx(expected)
        assert row.partner == "ab"[partner]
    assert len(partner_images(matches[:0], tops, stores)) == 0
