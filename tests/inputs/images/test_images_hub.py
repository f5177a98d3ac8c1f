"""Data sets in the format of the hub, from local folders: columns, class labels, errors."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageFeature
from image_sources import build, encoded, images_of, noise, write_folder

from rosetta.errors import ImageSourceError
from rosetta.inputs.images.image_sets import image_ids

ENCODED = [encoded(noise(i)) for i in range(4)]
FILES = {
    "cat/a.png": ENCODED[0],
    "cat/b.PNG": ENCODED[1],
    "dog_house/a.png": ENCODED[2],
    "dog_house/bad.png": b"no image",
}


def test_a_local_data_set_with_class_labels(tmp_path):
    features = Features(
        {
            "img": ImageFeature(),
            "label": ClassLabel(names=["truck", "car"]),
            "said": Value("string"),
        }
    )
    rows = {
        "img": [{"bytes": data, "path": None} for data in ENCODED],
        "label": [0, 1, 1, 0],
        "said": list("abcd"),
    }
    (tmp_path / "set").mkdir()
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "set" / "train.parquet")
    source = {"kind": "hub", "id": str(tmp_path / "set"), "image": "img", "caption": "said"}
    images = build(tmp_path / "out", images_of(source))["match"]
    table = images.table.sort_values("index")
    assert table["domain"].tolist() == ["truck", "car", "car", "truck"]
    assert table["label"].tolist() == [1, 0, 0, 1]
    assert table["caption"].tolist() == list("abcd")
    assert sorted(images.table["id"]) == sorted(image_ids(np.stack([noise(i) for i in range(4)])))


def test_a_data_set_without_labels_is_told(tmp_path):
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=["truck"])})
    rows = {"image": [{"bytes": ENCODED[0], "path": None}], "label": [-1]}
    (tmp_path / "set").mkdir()
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "set" / "train.parquet")
    with pytest.raises(ImageSourceError, match=r"images\.source\.label: .* is -1, not a class"):
        build(tmp_path / "out", images_of({"kind": "hub", "id": str(tmp_path / "set")}))


def test_a_folder_of_image_files_as_a_data_set(tmp_path):
    root = write_folder(tmp_path / "set", FILES)
    images = build(tmp_path / "out", images_of({"kind": "hub", "id": str(root)}))["match"]
    assert sorted(images.table["domain"]) == ["cat", "cat", "dog_house"]
    assert images.manifest["facts"]["counts"]["unidentified"] == 1


def test_a_data_set_that_is_not_there_is_told(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(ImageSourceError, match=r"^images\.source\.id: cannot read the dataset"):
        build(tmp_path / "out", images_of({"kind": "hub", "id": str(tmp_path / "set")}))
