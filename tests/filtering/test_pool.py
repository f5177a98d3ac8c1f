"""The pool loses and doubles no document."""

import json
import resource
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from filter_pools import make_pool

from rosetta.config import Corpus, FilesSource
from rosetta.errors import CorpusError, PlanError, StoreError
from rosetta.filtering import pool_shards
from rosetta.filtering.pool_documents import Fresh, known_names, thinned
from rosetta.inputs.text.build import build_corpus, read_split
from rosetta.inputs.text.documents import Text
from rosetta.inputs.text.records import file_texts
from rosetta.run.paths import FilterPaths, Paths
from rosetta.storage.digests import hash64


@pytest.mark.parametrize("n_shards", [1, 3, 40])
def test_the_pool_holds_every_new_text_once(tmp_path, n_shards):
    where = FilterPaths(tmp_path)
    texts, counts = make_pool(where, n_shards=n_shards)
    assert counts == {"accepted": 199, "blank": 1, "unencodable": 1, "duplicate": 39, "known": 2}
    held = pd.concat([pool_shards.read_shard(where, shard) for shard in range(n_shards)])
    assert Counter(held["text"]) == Counter(text.text for text in texts)
    assert (held["id"] == [hash64(text) for text in held["text"]]).all()
    assert dict(zip(held["text"], held["source"], strict=True)) == {
        text.text: text.source for text in texts
    }


def test_long_documents_are_not_held_back(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_shards, "BUFFERED_BYTES", 1)
    monkeypatch.setattr(pool_shards, "MIN_GROUP_BYTES", 300)
    where = FilterPaths(tmp_path)
    texts = [Text(f"{i:0100d}", "", "") for i in range(10)]
    pool_shards.write_pool(Fresh().documents(texts), where, 1, {}, {})
    groups = pq.ParquetFile(where.pool_shard(0)).metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [3, 3, 3, 1]
    assert pool_shards.read_shard(where, 0)["text"].tolist() == [text.text for text in texts]


def test_more_shards_than_open_files(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = len(list(Path("/proc/self/fd").iterdir())) + 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
    try:
        where = FilterPaths(tmp_path)
        make_pool(where, n_shards=low + 1)
        assert pool_shards.n_shards(where) == low + 1
        with pytest.raises(PlanError, match="shards of a pool are more files than may be open"):
            pool_shards.write_pool([], where, hard, {}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_texts_whose_pieces_are_held_out_stay_out_of_the_pool(tmp_path):
    texts = [
        "".join(f"line {i} of text {n} is {(n * 37 + i) ** 3}\n" for i in range(20))
        for n in range(60)
    ]
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    splits = {"train": 0.4, "match": 0.2, "pool": 0.2, "heldout": 0.2}
    source = FilesSource(kind="files", path=str(file))
    paths = Paths(tmp_path / "results")
    build_corpus(Corpus(source=source, max_document_bytes=100, splits=splits), paths, {})
    pieces = [text for split in ("match", "heldout") for text in read_split(paths, split)["text"]]
    kept = list(Fresh(known_names(paths)).documents(file_texts(source)))
    assert 0 < len(kept) < len(texts)
    assert not any(piece in document.text for document in kept for piece in pieces)


def test_an_altered_shard_is_rejected(tmp_path):
    where = FilterPaths(tmp_path)
    make_pool(where)
    where.pool_shard(1).write_bytes(where.pool_shard(0).read_bytes())
    with pytest.raises(StoreError, match=r"1\.parquet: not what was written here"):
        pool_shards.read_shard(where, 1)


def test_an_empty_pool_is_rejected(tmp_path):
    with pytest.raises(CorpusError, match="holds no document with text"):
        pool_shards.write_pool([], FilterPaths(tmp_path), 2, {}, {})
    assert not (tmp_path / "pool").exists()


def test_thinning_leaves_the_share_and_every_other_document():
    rng = np.random.default_rng(0)
    texts = ["é" * int(n) for n in rng.integers(5, 50, size=400)]
    ids = np.arange(400, dtype=np.uint64)
    documents = pd.DataFrame({"id": ids, "text": texts, "domain": np.where(ids % 2, "a", "b")})
    kept = thinned(documents, "a", 0.1, seed=3)
    size = kept["text"].str.encode("utf-8").str.len()
    share = size[kept["domain"] == "a"].sum() / size.sum()
    assert 0.09 < share <= 0.1
    assert (kept["domain"] == "b").sum() == 200
    pd.testing.assert_frame_equal(thinned(documents[::-1], "a", 0.1, 3).sort_values("id"), kept)
    assert len(thinned(documents, "a", 0.9, 3)) == 400, "thinned, never filled up"
