"""Stores of images: what they tell, what is rejected with which message, and the example of the
specification.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import random_ranges, save_image_stores, save_stores
from store_breakages import (
    chunk_of,
    flipped,
    held,
    in_manifest,
    put,
    rejected,
    replaced,
    signed,
    top_level,
)

import rosetta
from rosetta.activations.folders import open_stores
from rosetta.activations.layout import KIND
from rosetta.activations.store import Store
from rosetta.errors import ConfigError, StoreError
from rosetta.storage.manifests import read_manifest
from rosetta.storage.names import digest_path

N_IMAGES, N_UNITS = 6, 5
GRIDS = {"a": (4, 3), "b": (2, 5)}
IDS = np.array([5, 2**64 - 1, 9, 2, 77, 11], np.uint64)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    rng = np.random.default_rng(0)
    for name, (height, width) in GRIDS.items():
        values = rng.normal(size=(2, N_IMAGES, height * width, N_UNITS)).astype(np.float32)
        save_image_stores(folder / name, values, GRIDS[name], IDS, n_shards=2, dtype="float16")
    return folder


@pytest.fixture
def pair(original, tmp_path):
    """Two models with two good shard stores of images each, a (4 × 3 cells) and b (2 × 5)."""
    return Path(shutil.copytree(original, tmp_path / "pair"))


def test_a_store_of_images_says_what_it_is(pair):
    path = pair / "a" / "1.json"
    told = json.loads(path.read_text())
    assert told["modality"] == "images"
    wanted = {"n_positions": 36, "n_images": 3, "grid": [4, 3], "image_size": 32, "step": "last"}
    assert {key: told["holds"][key] for key in wanted} == wanted
    assert not {"n_documents", "n_with_bytes", "n_left_out"} & set(told["holds"])
    assert read_manifest(pair / "b" / "0.json", KIND)["holds"]["step"] is None
    store = Store(path)
    assert store.modality == "images"
    assert dict(store.group.attrs) == {
        "rosetta_store": 3,
        "modality": "images",
        "n_layers": 2,
        "d_mlp": 5,
        "dtype": "float16",
        "grid": [4, 3],
        "image_size": 32,
    }
    cells = store.positions()
    assert (cells.grid, cells.image_size, cells.step) == ((4, 3), 32, "last")
    assert cells.image_ids.tolist() == IDS[3:].tolist()
    assert cells.counted.all()
    assert store.n_samples == 3


def test_moments_are_over_all_cells(pair):
    store = open_stores(pair / "a")[0]
    rows = np.concatenate(
        [store.activations(i, slice(None), slice(None)).double().numpy() for i in (0, 1)], axis=1
    )
    moments = store.moments()
    assert moments.count == len(rows) == 36
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(moments.m2, rows.var(axis=0) * len(rows), rtol=1e-10)


def test_positions_are_cells_row_by_row(pair):
    store = rosetta.ModelStore(pair / "a")
    assert store.n_samples == N_IMAGES
    assert "72 positions of 6 images" in repr(store)
    table = store.positions()
    assert list(table) == ["image", "row", "column"]
    assert table["image"].tolist() == np.repeat(IDS, 12).tolist()
    assert table["row"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3] * N_IMAGES
    assert table["column"].tolist() == [0, 1, 2] * 4 * N_IMAGES


def test_checking_prints_what_stores_of_images_hold(pair, rosetta_main):
    code, said, _ = rosetta_main("store", "check", pair / "a")
    assert code == 0
    assert (
        "0.json: shard 0 of 2, 2 × 5 neurons (0 dead), float16, 36 cells (4 × 3) of 3 images of "
        "32 px, step last, "
    ) in said
    _, of_b, _ = rosetta_main("store", "check", pair / "b")
    assert "30 cells (2 × 5) of 3 images of 32 px, " in of_b


def of_other_shards(**holds):
    return lambda folder: in_manifest(folder / "1.json", **holds)


BREAKAGES = {
    "special tokens among the cells": (
        held(n_positions=39),
        r"holds\.n_positions: 39, but 3 images of 4 × 3 cells \(holds\.grid\) have 36\. "
        "Store the cells alone",
    ),
    "wrong grid": (held(grid=[4, 4]), r"holds\.n_positions: 36, but 3 images of 4 × 4 cells"),
    "no grid": (held(grid=None), r"0\.json: holds\.grid: Field required"),
    "grid of one number": (held(grid=[12]), r"holds\.grid: List should have at least 2 items"),
    "grid of nothing": (held(grid=[0, 3]), r"holds\.grid\.0: .* greater than 0"),
    "no size": (held(image_size=None), r"holds\.image_size: Field required"),
    "no number of images": (held(n_images=None), r"holds\.n_images: Field required"),
    "documents": (top_level(modality="text"), r"holds\.n_with_bytes: Field required"),
    "step of another kind": (held(step=3), r"holds\.step: Input should be a valid string"),
    "turned grid": (
        held(grid=[3, 4]),
        r"attribute grid is \[4, 3\], but should be \[3, 4\]",
    ),
    "attribute": (
        signed(lambda group: group.attrs.update(modality="text")),
        r"attribute modality is text, but should be images",
    ),
    "twice": (put("image_ids", 2, 5), r"0\.zarr: image_ids: 5 is there more than once\. .* image "),
    "twice in shards": (put("image_ids", 2, 5, shard=1), r"a: image_ids: 5 is there more than"),
    "no ids": (replaced("image_ids", delete=True), r"has no array image_ids"),
    "ids of documents": (
        signed(lambda group: group.create_array("document_ids", shape=(1,), dtype="uint64")),
        r"array document_ids is not registered",
    ),
    "missing chunk": (lambda folder: chunk_of(folder).unlink(), r"activations/1/c/0/0: missing"),
    "corrupt chunk": (flipped, r"activations/1/c/0/0: damaged"),
    "nan": (put("activations/1", (5, 2), np.nan), r"neuron L1/U2 reads nan on a position that"),
    "wrong mean": (put("mean", (1, 3), 9), r"mean of neuron L1/U3 is 9"),
    "shards of two steps": (of_other_shards(step="first"), r"1\.zarr: holds\.step is first, but"),
    "shards of two sizes": (
        lambda folder: (
            of_other_shards(image_size=64)(folder),
            signed(lambda group: group.attrs.update(image_size=64), shard=1)(folder),
        ),
        r"1\.zarr: holds\.image_size is 64, but 32 in 0\.zarr",
    ),
}


@pytest.mark.parametrize(("breakage", "message"), BREAKAGES.values(), ids=BREAKAGES)
def test_wrong_stores_of_images_are_rejected(pair, rosetta_main, breakage, message):
    breakage(pair / "a")
    rejected(rosetta_main("store", "check", pair / "a"), message)


def matching(folder, a="a", b="b"):
    return "match", "--a", folder / a, "--b", folder / b, "--out", folder / "m.parquet"


def test_stores_of_images_are_matched(pair, rosetta_main):
    assert rosetta_main(*matching(pair))[0] == 0
    found = pd.read_parquet(pair / "m.parquet")
    by_api = rosetta.match(pair / "a", pair / "b")
    pd.testing.assert_frame_equal(found[list(by_api)], by_api, check_dtype=False)
    assert len(found) > 0
    assert rosetta.correlate(pair / "a", pair / "b", k=2).n_positions == N_IMAGES * 12
    smaller = rosetta.correlate(pair / "a", pair / "b", k=2, grid="smaller")
    assert smaller.n_positions == N_IMAGES * 10
    with pytest.raises(ConfigError, match="grid: input should be 'larger', 'smaller' or 'anchor'"):
        rosetta.correlate(pair / "a", pair / "b", k=2, grid="both")


@pytest.mark.parametrize("pooling", ["max", "median"])
def test_images_know_only_the_mean(pair, rosetta_main, pooling):
    message = rf"alignment\.pooling: {pooling} is not defined for images, .* only mean\. Set it to"
    rejected(rosetta_main(*matching(pair), "--pooling", pooling), message)
    with pytest.raises(ConfigError, match=message):
        rosetta.correlate(pair / "a", pair / "b", k=2, pooling=pooling)


PAIRS = {
    "another image": (
        put("image_ids", 1, 70),
        r"a/0\.zarr and .*b/0\.zarr hold different images: the id of image 1 is "
        r"18446744073709551615 in one and 70 in the other\. Show both models the same images",
    ),
    "another order": (
        put("image_ids", [0, 1, 2], np.array([5, 9, 2**64 - 1], np.uint64)),
        r"hold the same images in another order: the id of image 1 is 18446744073709551615 in one "
        "and 9 in the other",
    ),
}


@pytest.mark.parametrize(("breakage", "message"), PAIRS.values(), ids=PAIRS)
def test_stores_of_other_images_are_rejected(pair, rosetta_main, breakage, message):
    breakage(pair / "b")
    assert rosetta_main("store", "check", pair / "b")[0] == 0, "alone it is right"
    rejected(rosetta_main(*matching(pair)), message)


def test_fewer_images_and_texts_are_rejected(pair, rosetta_main):
    values = np.ones((2, 4, 12, N_UNITS), np.float32)
    save_image_stores(pair / "few", values, (4, 3), IDS[:4], n_shards=2)
    rejected(
        rosetta_main(*matching(pair, b="few")), r"hold different images: 3 of them and 2\. Show"
    )
    ranges = random_ranges(np.random.default_rng(0), [9] * 6)
    texts = np.ones((2, len(ranges[0]), N_UNITS), np.float32)
    save_stores(pair / "texts", texts, ranges, 6, n_shards=2)
    rejected(rosetta_main(*matching(pair, b="texts")), r"stores of two modalities")


def test_shards_of_two_modalities_are_rejected(pair):
    ranges = random_ranges(np.random.default_rng(0), [9] * 6)
    texts = np.ones((2, len(ranges[0]), N_UNITS), np.float32)
    made_by = {"model": "a"}
    save_stores(pair / "texts", texts, ranges, 6, n_shards=2, dtype="float16", made_by=made_by)
    shutil.rmtree(pair / "a" / "1.zarr")
    digest_path(pair / "a" / "1.json").unlink()
    for name in ("1.json", "1.zarr"):
        shutil.move(pair / "texts" / name, pair / "a" / name)
    with pytest.raises(StoreError, match=r"1\.zarr: is of text, but 0\.zarr of images"):
        open_stores(pair / "a")
