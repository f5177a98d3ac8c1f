"""Images that cannot be used are rejected by file, record and fix; odd ones of every kind simply
work, from the check to the sets of a run.
"""

import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from commands import assert_rejected, run_here, tree
from image_sources import encoded, noise, write_folder
from PIL import Image

from rosetta.inputs.images.image_sets import ImageSet

PNG = [encoded(noise(number)) for number in range(6)]
GREY = encoded(noise(7)[..., 0])
PALETTE = encoded(Image.fromarray(noise(8)).quantize(4))
BOMB = encoded(np.zeros((200, 200), np.uint8))
ODD = {
    "cat/grey.png": GREY,
    "cat/palette.png": PALETTE,
    "cat/bomb.png": BOMB,
    "cat/dot.png": encoded(np.full((1, 1, 3), 9, np.uint8)),
    "dog/line.png": encoded(np.full((1, 20_000, 3), 7, np.uint8)),
    "dog/tall.png": encoded(np.full((20_000, 1, 3), 5, np.uint8)),
    "dog/again.bmp": encoded(noise(7)[..., 0], "BMP"),
    "dog/no image.png": b"once upon a time",
}
# Names that mean something to a shell, a page, a table, a path or a log.
HOSTILE = [
    "a, b",
    "<Script>alert(1)&amp;",
    "é 東",
    "-rf",
    "~",
    "*",
    "$(touch ran)",
    "c\nd",
    "x" * 250,
]


def write_run(folder, source, **images):
    """Write the configuration of a run that matches models of the zoo on all images of a source."""
    section = {"source": source, "size": 8, "splits": {"train": 0.0, "match": 1.0, "heldout": 0.0}}
    recipe = {"hub": "somebody/model", "revision": "main", "modality": "images"}
    config = {
        "images": {**section, **images},
        "models": {"m": recipe, "n": {**recipe, "hub": "somebody/else"}},
        "ladders": {"l": [["m", "n"]]},
        "activations": {"n_shards": 1, "batch_size": 8},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(config))


def built(folder):
    """Check the configuration as a run does, and make the images; return the set to match on."""
    for command in (["check", "--configfile", "run.yaml", "--out", "whole.yaml"], IMAGES):
        done = run_here(*command, folder=folder)
        assert done.code == 0, done.err
    return ImageSet(folder / "results" / "images" / "match.json")


IMAGES = ["images", "--config", "run.yaml"]
FOLDER = {"kind": "folder", "path": "in"}
HEAD = r"images\.source\.path: "
# Files of a folder, and what is said of it before any job.
EARLY = {
    "a class without image": (
        {"cat/a.png": PNG[0], "dog/a.txt": b""},
        HEAD + r"the class in/dog has",
    ),
    "an image without class": (
        {"cat/a.png": PNG[0], "b.png": PNG[1]},
        HEAD + r"in/b\.png lies in no",
    ),
    "no image": ({"cat/a.txt": b"x"}, HEAD + r"in holds no image file"),
    "only hidden ones": ({".cat/a.png": PNG[0]}, HEAD + r"in holds no image file"),
    "a wildcard": (
        {"{cat}/a.png": PNG[0]},
        HEAD + r"in/\{cat\}/a\.png has '\{' in its name, .*Rename",
    ),
    "a variable": (
        {"c/<stage>.png": PNG[0]},
        HEAD + r"in/c/<stage>\.png has '<stage>' in its name",
    ),
    "bytes in a class": (
        {b"c\xff/a.png": PNG[0]},
        HEAD + r"the name of in/c\\xff is not UTF-8\. Rename",
    ),
    "bytes in a file": (
        {b"c/\xff.png": PNG[0]},
        HEAD + r"the name of in/c/\\xff\.png is not UTF-8",
    ),
}


def write_bytes_folder(root, files):
    for name, data in files.items():
        path = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(data)


@pytest.mark.parametrize(("files", "message"), EARLY.values(), ids=EARLY)
def test_a_bad_folder_is_rejected_before_any_job(tmp_path, files, message):
    write_bytes_folder(tmp_path / "in", files)
    write_run(tmp_path, FOLDER)
    before = tree(tmp_path)
    assert_rejected(run_here("check", "--configfile", "run.yaml", folder=tmp_path), message)
    assert tree(tmp_path) == before


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    write_folder(tmp_path / "in", {"cat/a.png": PNG[0], "dog/a.png": PNG[1]})
    write_run(tmp_path, FOLDER)
    plain = os.scandir

    def scandir(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)  # root may read everything
    assert_rejected(run_here("check", "--configfile", "run.yaml", folder=tmp_path), r"in/dog: Perm")


def write_table(folder, **columns):
    pa.parquet.write_table(pa.table({"image": PNG, **columns}), folder / "in.parquet")
    write_run(folder, {"kind": "files", "path": "in.parquet"})


def of(key):
    return rf"images\.source\.{key}: column '{key}' in record 1 of in\.parquet "


LABELS = ["a", "b"] * 3
# Columns of a table, and what is said of it when its images are read.
RECORDS = {
    "a label missing": ({"label": ["a", None, *LABELS[2:]]}, of("label") + "is None, not a class"),
    "a label of -1": ({"label": [0, -1, 1, 2, 3, 4]}, of("label") + "is -1, not a class"),
    "a label that is empty": (
        {"label": ["a", "", *LABELS[2:]]},
        of("label") + "is '', not a class",
    ),
    "labels of floats": ({"label": [0.5] * 6}, r"label: column 'label' in record 0 .* is 0\.5"),
    "labels of bytes": ({"label": [b"a"] * 6}, r"label: column 'label' in record 0 .* is b'a'"),
    "nothing but null": (
        {"label": LABELS, "image": pa.array([None] * 6, pa.binary())},
        r"images\.source: holds no usable image \(rejected: \{'empty': 6\}\)",
    ),
    "a class with no image": (
        {"label": ["a"] * 5 + ["b"], "image": [*PNG[:5], b""]},
        r"images\.source: no image of the class 'b' was accepted",
    ),
}


@pytest.mark.parametrize(("columns", "message"), RECORDS.values(), ids=RECORDS)
def test_a_bad_table_is_rejected_by_column_and_record(tmp_path, columns, message):
    write_table(tmp_path, **columns)
    assert_rejected(run_here(*IMAGES, folder=tmp_path), message)
    assert not list(tmp_path.rglob("match.json"))


# What a record names in place of an image, and what is said of it.
NAMED = {
    "a pipe": ("pipe", r"names pipe, which cannot be read \(.*pipe is not a file"),
    "a device": ("/dev/zero", r"names /dev/zero, which cannot be read \(.*zero is not a file"),
    "a folder": (".", r"names \., which cannot be read \(.*is not a file"),
    "no zip": ("zip://a.png::run.yaml", r"names zip:\S+, which cannot be read \(.*not a zip"),
    "no tar": ("tar://a.png::run.yaml", r"names tar:\S+, which cannot be read \("),
    "a null byte": ("a\0b", r"names a\S+, which cannot be read \(.*Give the file, or its bytes"),
    "an address": ("https://x.org/a.png", r"names https:\S+, which is neither .* Download"),
    "a number": (5, r"holds int, not the bytes of an image file\. Name a column of images"),
}


@pytest.mark.parametrize(("path", "said"), NAMED.values(), ids=NAMED)
def test_a_file_that_a_record_names_and_cannot_be_read_is_told(tmp_path, path, said):
    os.mkfifo(tmp_path / "pipe")
    write_table(tmp_path, image=[{"bytes": None, "path": path}] * 6, label=LABELS)
    where = r"images\.source\.image: column 'image' in record 0 of in\.parquet "
    assert_rejected(run_here(*IMAGES, folder=tmp_path), where + said)


def test_odd_images_are_converted_or_rejected_and_counted(tmp_path):
    write_folder(tmp_path / "in", ODD)
    write_run(tmp_path, FOLDER, max_pixels=30_000)
    facts = built(tmp_path).manifest["facts"]
    assert {name: n for name, n in facts["counts"].items() if n} == {
        "accepted": 5,
        "duplicate": 1,
        "too_many_pixels": 1,
        "unidentified": 1,
    }
    assert {name: n for name, n in facts["converted"].items() if n} == {
        "grey": 2,
        "palette": 1,
        "far_from_square": 2,
    }
    assert facts["of_several_classes"] == 1


def test_hostile_names_of_classes_and_files_are_only_text(tmp_path):
    files = {f"{name}/{name}.png": encoded(noise(i)) for i, name in enumerate(HOSTILE)}
    write_folder(tmp_path / "in", files)
    write_run(tmp_path, FOLDER)
    found = built(tmp_path)
    assert sorted(found.table["domain"]) == found.manifest["facts"]["classes"] == sorted(HOSTILE)
    assert sorted(found.table["source"]) == sorted(files)
    labels = ["../x", "/etc/passwd", "a\0b", "{x}", "<stage>", "x" * 100_000]
    write_table(tmp_path, label=labels)
    assert sorted(built(tmp_path).table["domain"]) == sorted(labels)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("in", "in.parquet", "run.yaml", "whole.yaml", "results")
    }


def test_links_pipes_and_hidden_files_are_left_out_and_named(tmp_path):
    write_folder(tmp_path / "in", {"cat/a.png": PNG[0], "cat/.b.png": PNG[1], ".git/c.png": PNG[2]})
    write_folder(tmp_path / "far", {"dog/a.png": PNG[3], "one.png": PNG[4]})
    cat = tmp_path / "in" / "cat"
    (cat / "linked.png").symlink_to(tmp_path / "far" / "one.png")
    (cat / "folder").symlink_to(tmp_path / "far" / "dog")
    (cat / "again").symlink_to(tmp_path / "in")
    (cat / "gone.png").symlink_to("/nowhere.png")
    (cat / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(cat / "pipe.png")
    write_run(tmp_path, FOLDER)
    found = built(tmp_path)
    assert sorted(found.table["source"]) == ["cat/a.png", "cat/linked.png"]
    left_out = ["again", "folder", "gone.png", "pipe.png", "zero.png"]
    assert found.manifest["facts"]["left_out"] == [f"cat/{name}" for name in left_out]
    (tmp_path / "in" / "dog").symlink_to(tmp_path / "far" / "dog")
    said = (
        r"images\.source\.path: the class in/dog is a link, which is not followed\. Put the folder"
    )
    assert_rejected(run_here("check", "--configfile", "run.yaml", folder=tmp_path), said)


def test_a_label_for_each_image_is_counted_at_once(tmp_path):
    """As a column of ids has them, which somebody names by mistake."""
    n = 2_000
    rng = np.random.default_rng(0)
    images = [encoded(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8), "BMP") for _ in range(n)]
    pd.DataFrame({"image": images, "label": range(n)}).to_parquet(tmp_path / "in.parquet")
    write_run(tmp_path, {"kind": "files", "path": "in.parquet"}, size=4)
    facts = built(tmp_path).manifest["facts"]
    assert set(facts["images_per_class"].values()) == {1}
    assert len(facts["classes"]) == n
