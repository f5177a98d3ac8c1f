"""Which stores can be aligned."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rosetta.alignment.samples import SampleFacts
from rosetta.alignment.stores import ALIGNMENTS, Alignment, align_stores, facts_of_samples, rows_of
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
    classes = Alignment(
        lambda a, b, grid: (a.path, b.path, grid),
        lambda ids, _: SampleFacts(ids % 10, ids // 10),
        lambda store: store.path,
    )
    monkeypatch.setitem(ALIGNMENTS, "images", classes)
    pair = [store("a", "images")], [store("b", "images")]
    assert align_stores(*pair) == [(Path("a/0.zarr"), Path("b/0.zarr"), "larger")]
    facts = facts_of_samples(pair[0], np.array([31, 57]), None)
    assert (facts.labels.tolist(), facts.clusters.tolist()) == ([1, 7], [3, 5])
    assert rows_of(pair[0][0]) == Path("a/0.zarr")


def test_documents_of_which_nothing_is_known_are_alone():
    facts = facts_of_samples([store("a")], np.array([1, 2**64 - 1], np.uint64), None)
    assert facts.labels.tolist() == ["", ""]
    assert facts.clusters.tolist() == ["0000000000000001", "f" * 16]
