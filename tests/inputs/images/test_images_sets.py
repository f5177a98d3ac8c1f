"""Image sets: they read back as they were written, are whole or absent, and tell damage."""

import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import zarr
from commands import assert_rejected, run_here

from rosetta.errors import StoreError
from rosetta.inputs.images import image_sets
from rosetta.inputs.images.image_sets import COLUMNS, ImageSet, image_ids, write_image_set
from rosetta.storage.damage import DamageError
from rosetta.storage.manifests import read_manifest, write_manifest

N, SIZE = 37, 12
PIXELS = np.random.default_rng(1).integers(0, 256, (N, SIZE, SIZE, 3), dtype=np.uint8)


def table_of(pixels=PIXELS) -> pd.DataFrame:
    n = len(pixels)
    return pd.DataFrame(
        {
            "id": image_ids(pixels),
            "label": np.arange(n) % 5,
            "domain": [f"class {i % 5}" for i in range(n)],
            "caption": [f"number {i}" for i in range(n)],
            "source": [f"somewhere#{i}" for i in range(n)],
            "index": np.arange(n),
        }
    )


def batches_of(pixels, *lengths):
    """Yield the images in batches of some lengths, the rest in one."""
    low = 0
    for n in (*lengths, len(pixels) - sum(lengths)):
        yield pixels[low : low + n]
        low += n


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "images" / "match.json"
    write_image_set(path, table_of(), [PIXELS], made_by={"stage": "test"}, facts={"split": "match"})
    return path


def test_a_set_reads_back_as_it_was_written(path):
    images = ImageSet(path)
    assert (images.n_images, images.size) == (N, SIZE)
    assert images.manifest["made_by"] == {"stage": "test"}
    assert images.manifest["facts"] == {"split": "match"}
    assert {name: str(images.table[name].dtype) for name in COLUMNS} == {
        name: str(table_of().astype(COLUMNS)[name].dtype) for name in COLUMNS
    }
    pd.testing.assert_frame_equal(images.table, table_of().astype(COLUMNS))
    np.testing.assert_array_equal(images.pixels(0, N), PIXELS)
    np.testing.assert_array_equal(images.pixels(5, 9), PIXELS[5:9])
    assert images.pixels(3, 3).shape == (0, SIZE, SIZE, 3)


def test_ids_are_hashes_of_the_pixels():
    for image, found in zip(PIXELS[:4], image_ids(PIXELS[:4]), strict=True):
        data = bytes(int(v) for v in image.reshape(-1))
        assert found == int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
    strided = np.asfortranarray(PIXELS[:4])
    np.testing.assert_array_equal(image_ids(strided), image_ids(PIXELS[:4]))


@pytest.mark.parametrize("lengths", [(), (1, 1, 1), (36,), (0, 20), (16, 16)])
def test_batches_change_nothing(tmp_path, path, lengths, monkeypatch):
    monkeypatch.setattr(image_sets, "CHUNK_BYTES", 4 * SIZE * SIZE * 3)
    monkeypatch.setattr(image_sets, "CHUNKS_PER_SHARD", 2)
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    write_image_set(first, table_of(), [PIXELS], made_by={})
    write_image_set(second, table_of(), batches_of(PIXELS, *lengths), made_by={})
    assert read_manifest(first, "images") == read_manifest(second, "images")
    array = zarr.open_array(second.with_suffix("") / "pixels.zarr", mode="r")
    assert (array.chunks[0], array.shards[0]) == (4, 8)
    np.testing.assert_array_equal(ImageSet(second).pixels(0, N), PIXELS)
    np.testing.assert_array_equal(ImageSet(second).pixels(7, 9), PIXELS[7:9])


def test_pixels_tell_the_ids_of_a_table_without(tmp_path):
    path = tmp_path / "a.json"
    write_image_set(path, table_of().drop(columns="id"), batches_of(PIXELS, 10), made_by={})
    np.testing.assert_array_equal(ImageSet(path).table["id"], image_ids(PIXELS))


def test_a_set_may_hold_no_image(tmp_path):
    path = tmp_path / "heldout.json"
    write_image_set(path, table_of(PIXELS[:0]), [PIXELS[:0]], made_by={})
    images = ImageSet(path)
    assert (images.n_images, images.size, len(images.table)) == (0, SIZE, 0)
    assert images.pixels(0, 0).shape == (0, SIZE, SIZE, 3)


def test_pixels_are_read_when_they_are_asked_for(path, monkeypatch):
    read = []
    plain = image_sets.read_whole

    def watched(function, *rest):
        read.append(rest)
        return plain(function, *rest)

    monkeypatch.setattr(image_sets, "read_whole", watched)
    images = ImageSet(path)
    shutil.rmtree(images.path / "pixels.zarr" / "c")
    opened = len(read)
    images.pixels(0, 1)  # what is not there is empty to Zarr: opening again is what finds it
    assert len(read) == opened + 1
    with pytest.raises(DamageError, match="missing"):
        ImageSet(path)


BAD = {
    "a column less": (table_of().drop(columns="caption"), [PIXELS], r"lacks .*caption"),
    "a row less": (table_of()[1:], [PIXELS], "more images than the 36 rows"),
    "an image less": (table_of(), [PIXELS[1:]], "36 images for the 37 rows"),
    "no batch": (table_of(), [], "0 images for the 37 rows"),
    "floats": (table_of(), [PIXELS / 255], "float64 .*give uint8"),
    "no square": (table_of(), [PIXELS[:, 1:]], r"\(37, 11, 12, 3\)"),
    "grey": (table_of(), [PIXELS[..., :1]], r"\(37, 12, 12, 1\)"),
    "two sizes": (table_of(), [PIXELS[:9], PIXELS[9:, 1:, 1:]], r"\(28, 11, 11, 3\)"),
    "an id twice": (table_of().assign(id=7), [PIXELS], "has an id twice"),
}


@pytest.mark.parametrize(("table", "batches", "message"), BAD.values(), ids=BAD)
def test_what_does_not_fit_is_not_written(tmp_path, table, batches, message):
    path = tmp_path / "a.json"
    write_image_set(path, table_of(PIXELS[:3]), [PIXELS[:3]], made_by={})
    with pytest.raises(StoreError, match=message):
        write_image_set(path, table, batches, made_by={})
    # The older set is untouched, or gone: its folder, to be replaced, is without a manifest.
    assert not path.exists() or ImageSet(path).n_images == 3
    assert [p for p in tmp_path.iterdir() if p.suffix == ".tmp"] == []


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]


FILES = ["table.parquet", "pixels.zarr/zarr.json", "pixels.zarr/c/0/0/0/0"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_damage_is_told_with_the_file_and_the_fix(path, name, damage, capsys):
    file = path.with_suffix("") / name
    data = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(flipped(data) if damage == "flipped" else data[:-7])
    with pytest.raises(DamageError, match=r"damaged|truncated|missing") as caught:
        ImageSet(path).pixels(0, N)
    assert str(path.with_suffix("")) in str(caught.value)
    assert "Make it again" in str(caught.value)
    assert caught.value.piece == path
    assert_rejected(run_here("verify", path.parent, folder=path.parent), rf"{name}: ")


def test_a_whole_set_is_verified(path):
    done = run_here("verify", path.parent, folder=path.parent)
    assert done.code == 0, done.err


def test_a_damaged_manifest_is_told(path):
    path.write_text(path.read_text().replace("37", "36"))
    with pytest.raises(DamageError, match=r"match\.json"):
        ImageSet(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format_version", 9, "format_version is 9; this version reads 1"),
        ("kind", "activations", "describes a 'activations', not a 'images'"),
        ("holds", {"n_images": 5, "size": SIZE}, r"shape \(37, 12, 12, 3\), but should be \(5, "),
    ],
)
def test_a_manifest_that_says_something_else_is_rejected(path, key, value, message):
    content = json.loads(path.read_text())
    content.pop("manifest_digest")
    write_manifest(path, {**content, key: value})
    with pytest.raises(StoreError, match=message):
        ImageSet(path)


def test_arrays_of_other_programs_need_checksums(path):
    folder = path.with_suffix("")
    shutil.rmtree(folder / "pixels.zarr")
    array = zarr.create_array(
        folder / "pixels.zarr",
        shape=PIXELS.shape,
        dtype="uint8",
        chunks=(8, SIZE, SIZE, 3),
        compressors=None,
        dimension_names=image_sets.DIMENSIONS,
    )
    array[...] = PIXELS
    content = json.loads(path.read_text())
    content.pop("manifest_digest")
    write_manifest(path, {**content, "files": image_sets.describe_files(folder)})
    with pytest.raises(StoreError, match=r"checksums False, but should be True.*docs/images\.md"):
        ImageSet(path)


def test_a_set_takes_the_place_of_an_older_one(path):
    fewer = PIXELS[:4, :8, :8]
    write_image_set(path, table_of(fewer), [fewer], made_by={})
    images = ImageSet(path)
    assert (images.n_images, images.size) == (4, 8)
    np.testing.assert_array_equal(images.pixels(0, 4), fewer)
