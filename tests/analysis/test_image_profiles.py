"""One pass over stores of images: statistics against definitions, top images against sorting."""

import numpy as np
import pandas as pd
import pytest
from helpers import random_ranges, save_image_stores, save_stores
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rosetta.activations import store
from rosetta.analysis import neuron_blocks
from rosetta.analysis.class_purity import chance_purity
from rosetta.analysis.columns import IMAGE_NEURON_COLUMNS, TOP_IMAGE_COLUMNS
from rosetta.analysis.image_profiles import ProfileSettings, profile_on_images
from rosetta.analysis.monosemanticity import monosemanticity
from rosetta.errors import StoreError

GRID = (2, 3)


def images_of(n, domains="xyz"):
    """A table in another order than the stores', with an image that they lack."""
    ids = np.arange(n + 1, dtype=np.uint64)[::-1]
    return pd.DataFrame({"id": ids, "domain": [domains[int(i) % len(domains)] for i in ids]})


def tops_by_sorting(values, n, score):
    """The n best images of each neuron, by sorting all of them in plain Python."""
    found = []
    for of_layer in values:
        for unit in range(values.shape[3]):
            maps = of_layer[:, :, unit].astype(np.float64)
            of_images = maps.mean(axis=1) if score == "mean" else maps.max(axis=1)
            ranked = sorted(range(len(maps)), key=lambda i, of=of_images: (-of[i], i))[:n]
            found += [(i, of_images[i], maps[i].tolist()) for i in ranked]
    return found


@settings(max_examples=8)  # each writes a store of many small chunks
@given(
    seed=st.integers(0, 10**6),
    n_shards=st.integers(1, 3),
    chunk=st.integers(1, 40),
    n=st.integers(1, 12),
    score=st.sampled_from(["mean", "max"]),
)
def test_top_images_are_those_of_sorting(seed, n_shards, chunk, n, score, tmp_path_factory):
    """Many ties, and images that reach over chunks."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-1, 2, size=(2, 10, 6, 3)).astype(np.float32)
    folder = tmp_path_factory.mktemp("stores")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "CHUNK_POSITIONS", chunk)
        patch.setattr(neuron_blocks, "CHUNK_UNITS", 2)
        stores = save_image_stores(folder / "b", values, GRID, n_shards=n_shards, dtype="float16")
        found = profile_on_images(stores, images_of(10), ProfileSettings(n, score)).top_images
    assert list(found.columns) == TOP_IMAGE_COLUMNS
    n = min(n, 10)
    expected = tops_by_sorting(values, n, score)
    assert found["image"].tolist() == [image for image, _, _ in expected]
    assert found["image_id"].tolist() == found["image"].tolist()
    assert found["score"].tolist() == [value for _, value, _ in expected]
    assert [one.tolist() for one in found["map"]] == [cells for _, _, cells in expected]
    assert found["rank"].tolist() == list(range(1, n + 1)) * 6
    assert found["domain"].tolist() == ["xyz"[image % 3] for image in found["image"]]
    neurons = found[["layer", "unit"]].drop_duplicates().values.tolist()
    assert neurons == [[layer, unit] for layer in range(2) for unit in range(3)]


def test_statistics_are_those_of_the_cells(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "CHUNK_POSITIONS", 50)
    rng = np.random.default_rng(1)
    values = (rng.gamma(1.0, size=(2, 30, 6, 4)) - 0.7).astype(np.float32)
    values[1, :, :, 3] = -0.25  # dead
    stores = save_image_stores(tmp_path / "b", values, GRID, n_shards=2)
    vectors = rng.normal(size=(30, 5))
    found = profile_on_images(
        stores, images_of(30), ProfileSettings(4), {"one": vectors, "two": vectors[:, :2]}
    )
    table = found.neurons
    assert list(table.columns) == IMAGE_NEURON_COLUMNS
    flat = values.transpose(1, 2, 0, 3).reshape(180, 8).astype(np.float64)
    np.testing.assert_allclose(table["activation_mean"], flat.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(table["activation_variance"], flat.var(axis=0), atol=1e-6)
    kurtosis = stats.kurtosis(flat[:, :7])
    np.testing.assert_allclose(table["activation_kurtosis"][:7], kurtosis, atol=1e-5)
    np.testing.assert_allclose(table["fraction_active"], (flat > 0).mean(axis=0))
    domain = np.repeat(np.arange(30) % 3, 6)
    for neuron in range(8):
        shares = [(flat[domain == d, neuron] > 0).mean() for d in range(3)]
        np.testing.assert_allclose(table["domain_firing"][neuron], shares, rtol=1e-6)
    firing = stats.entropy(
        [flat[:, 0].size - (flat[:, 0] > 0).sum(), (flat[:, 0] > 0).sum()], base=2
    )
    given_domain = [
        stats.entropy([(flat[domain == d, 0] <= 0).sum(), (flat[domain == d, 0] > 0).sum()], base=2)
        for d in range(3)
    ]
    assert table["domain_information"][0] == pytest.approx(firing - np.mean(given_domain))
    assert (found.classes, found.class_images) == (list("xyz"), [10, 10, 10])
    assert found.chance_purity == pytest.approx(chance_purity([10, 10, 10], 4))
    tops = found.top_images.groupby(["layer", "unit"])["domain"]
    purity = [names.value_counts().max() / 4 for _, names in tops]
    np.testing.assert_allclose(table["domain_purity"][:7], purity[:7])
    assert np.isnan(table["domain_purity"][7]), "the top images of a dead neuron are any"
    scores = np.concatenate(values.mean(axis=2, dtype=np.float64), axis=1)
    assert found.monosemanticity["encoder"].tolist() == ["one"] * 8 + ["two"] * 8
    assert found.monosemanticity["unit"].tolist() == list(range(4)) * 4
    for name, of in (("one", vectors), ("two", vectors[:, :2])):
        mine = found.monosemanticity[found.monosemanticity["encoder"] == name]
        expected = monosemanticity(scores, of)
        np.testing.assert_allclose(mine["monosemanticity"], expected, rtol=1e-6)


def test_firing_may_be_counted_from_the_spread(tmp_path):
    values = np.random.default_rng(2).normal(3.0, 1.0, size=(1, 40, 6, 2)).astype(np.float32)
    stores = save_image_stores(tmp_path / "b", values, GRID, n_shards=2)
    found = profile_on_images(stores, images_of(40), ProfileSettings(firing_std=1.5)).neurons
    flat = values.reshape(-1, 2)
    share = (flat > flat.mean(axis=0) + 1.5 * flat.std(axis=0)).mean(axis=0)
    np.testing.assert_allclose(found["fraction_active"], share)


def test_shards_do_not_matter(tmp_path):
    values = np.random.default_rng(3).normal(size=(1, 20, 6, 3)).astype(np.float32)
    tables = [
        profile_on_images(
            save_image_stores(tmp_path / f"m{n}", values, GRID, n_shards=n), images_of(20)
        )
        for n in (1, 3)
    ]
    for name in ("neurons", "top_images"):
        one, three = (getattr(found, name) for found in tables)
        columns = [column for column in one if one[column].dtype.kind in "iuf"]
        np.testing.assert_allclose(one[columns], three[columns], rtol=1e-9, atol=1e-12)


def test_what_does_not_belong_together_is_rejected(tmp_path):
    values = np.zeros((1, 5, 6, 2), np.float32) + np.arange(2, dtype=np.float32)
    stores = save_image_stores(tmp_path / "b", values, GRID)
    images = images_of(5)
    with pytest.raises(StoreError, match="hold image 0000000000000004, which the run lacks"):
        profile_on_images(stores, images[images["id"] != 4])
    with pytest.raises(StoreError, match="holds 5 images, and e was shown 4"):
        profile_on_images(stores, images, embeddings={"e": np.zeros((4, 2))})
    ranges = random_ranges(np.random.default_rng(0), [20])
    text = save_stores(tmp_path / "t", np.zeros((1, len(ranges[0]), 2), np.float32), ranges, 1)
    with pytest.raises(StoreError, match="holds no images"):
        profile_on_images(text, images)
