"""Which stores can be aligned."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from rosetta.alignment.stores import ALIGN, align_stores
from rosetta.errors import StoreError


def store(name, modality="text"):
    return SimpleNamespace(path=Path(name) / "0.zarr", modality=modality)


def test_stores_of_two_modalities_are_rejected():
    with pytest.raises(StoreError, match=r"two modalities .*a/0\.zarr: text, b/0\.zarr: images"):
        align_stores([store("a")], [store("b", "images")])


def test_other_numbers_of_shards_are_rejected():
    with pytest.raises(StoreError, match=r"a has 1 shards, b has 2"):
        align_stores([store("a")], [store("b"), store("b")])


def test_the_modality_chooses_how_shards_are_aligned(monkeypatch):
    monkeypatch.setitem(ALIGN, "images", lambda a, b: (a.path, b.path))
    pair = [store("a", "images")], [store("b", "images")]
    assert align_stores(*pair) == [(Path("a/0.zarr"), Path("b/0.zarr"))]
