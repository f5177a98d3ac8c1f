"""Files that a corpus is read from: what is read, what is left out and named, and what a column's
name means.
"""

import gzip
import json

import pandas as pd
import pytest
import zstandard

from rosetta.config import parse_config
from rosetta.config.corpus import HubSource
from rosetta.inputs.text.build import build_corpus, read_split
from rosetta.inputs.text.records import left_out, source_files
from rosetta.inputs.text.size import estimate_size
from rosetta.run.paths import Paths
from rosetta.storage.manifests import read_manifest


def lines(*names: str) -> bytes:
    return "".join(json.dumps({"text": f"the text of {name}"}) + "\n" for name in names).encode()


def corpus_of(folder, **source):
    base = {"models": {"m": {"path": "x"}, "n": {"path": "y"}}, "ladders": {"l": [["m", "n"]]}}
    content = {
        "source": {"kind": "files", "path": str(folder), **source},
        "min_document_bytes": 5,
        "splits": {"train": 0.0, "match": 1.0, "pool": 0.0, "heldout": 0.0},
    }
    return parse_config({**base, "corpus": content}).corpus


def hub(folder, domain) -> HubSource:
    return HubSource(kind="hub", id=str(folder), domain=domain)


def build(tmp_path, corpus) -> tuple[pd.DataFrame, dict]:
    paths = Paths(tmp_path / "results")
    build_corpus(corpus, paths, {})
    return read_split(paths, "match"), read_manifest(paths.corpus_manifest, "corpus")


def long_window(data: bytes, window_log: int) -> bytes:
    settings = zstandard.ZstdCompressionParameters(window_log=window_log, enable_ldm=True)
    packing = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    return packing.compress(data) + packing.flush()


def test_every_file_of_a_folder_is_read_or_named(tmp_path, capsys):
    folder = tmp_path / "c"
    (folder / ".ipynb_checkpoints").mkdir(parents=True)
    (folder / "deep").mkdir()
    read = {
        "a.jsonl": lines("a"),
        "b.json.gz": gzip.compress(lines("b")),
        "c.jsonl.gz": gzip.compress(lines("c")),
        "d.ndjson": lines("d"),
        "E.JSONL": lines("e"),
        "deep/f.JSON.ZST": zstandard.compress(lines("f")),
        "g.json": lines("g"),
    }
    others = {
        "array.json": json.dumps([{"text": "in an array"}]).encode(),
        "empty.json": b"",
        "pretty.json": json.dumps({"text": "over lines"}, indent=2).encode(),
        "notes.txt": b"not a record",
        "t.csv": b"text\nhello\n",
    }
    hidden = {
        "._a.jsonl": b"\x00\x05\x16\x07",
        ".ipynb_checkpoints/a-checkpoint.jsonl": lines("hidden"),
    }
    for name, data in {**read, **others, **hidden}.items():
        (folder / name).write_bytes(data)
    documents, manifest = build(tmp_path, corpus_of(folder))
    assert sorted(documents["text"]) == [f"the text of {name}" for name in "abcdefg"]
    assert manifest["left_out"] == sorted(others)
    said = capsys.readouterr().err
    assert "warning: corpus.source.path: not read in" in said
    assert all(name in said for name in others)
    assert not any(name in said for name in hidden)
    assert {str(path.relative_to(folder)) for path in source_files(str(folder))} == set(read)
    assert estimate_size(corpus_of(folder)).n_documents == pytest.approx(len(read))


def test_nothing_is_said_where_nothing_is_left_out(tmp_path, capsys):
    (tmp_path / "c.jsonl").write_bytes(lines("a", "b"))
    assert left_out(str(tmp_path)) == left_out(str(tmp_path / "c.jsonl")) == []
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("padded.jsonl.gz", gzip.compress(lines("a", "b")) + bytes(1000)),
        ("members.jsonl.gz", gzip.compress(lines("a")) + gzip.compress(lines("b"))),
        ("frames.jsonl.zst", zstandard.compress(lines("a")) + zstandard.compress(lines("b"))),
        (
            "skippable.jsonl.zst",
            b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + zstandard.compress(lines("a", "b")),
        ),
        ("long.jsonl.zst", long_window(lines("a", "b"), 28)),
    ],
    ids=lambda value: (
        value if isinstance(value, str) else ""
    ),  # bytes hold the time, and workers name tests alike
)
def test_archives_as_tools_write_them_are_read(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    documents, _ = build(tmp_path, corpus_of(tmp_path / name))
    assert sorted(documents["text"]) == ["the text of a", "the text of b"]


def test_large_archives_are_read_whole(tmp_path):
    """More than one chunk, packed and unpacked, in frames that end anywhere in a chunk."""
    texts = [f"{i} " + "x" * (i * 37 % 900) for i in range(3000)]
    data = [json.dumps({"text": text}).encode() + b"\n" for text in texts]
    frames = [zstandard.compress(b"".join(data[at : at + 700])) for at in range(0, len(data), 700)]
    (tmp_path / "c.jsonl.zst").write_bytes(b"".join(frames))
    documents, manifest = build(tmp_path, corpus_of(tmp_path / "c.jsonl.zst"))
    assert manifest["counts"]["duplicate"] == 0
    assert sorted(documents["text"]) == sorted(
        texts[i] for i in range(3000) if len(texts[i].strip()) >= 5
    )


@pytest.mark.parametrize(
    ("record", "column"),
    [
        ({"meta.set": "right"}, "meta.set"),
        ({"meta.set": "right", "meta": {"set": "wrong"}}, "meta.set"),
        ({"meta": {"set": "right"}}, "meta.set"),
        ({"meta": {"set.kind": "right"}}, "meta.set.kind"),
        ({"meta.set": {"kind": "right"}, "meta": {"other": 1}}, "meta.set.kind"),
        ({"meta": {"set": {"kind": "right"}}, "meta.set": {"other": 1}}, "meta.set.kind"),
    ],
)
@pytest.mark.parametrize("kind", ["files", "hub"])
def test_a_dot_in_a_columns_name_is_a_dot_first(tmp_path, record, column, kind):
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / "c.jsonl").write_text(json.dumps({"text": "long enough", **record}) + "\n")
    corpus = corpus_of(folder, domain=column)
    if kind == "hub":
        corpus = corpus.model_copy(update={"source": hub(folder, column)})
    documents, _ = build(tmp_path, corpus)
    assert documents["domain"].tolist() == ["right"]


@pytest.mark.parametrize("column", ["label", "meta.set"])
@pytest.mark.parametrize(
    "labels",
    [
        ["2024-01-01", "2024-02-30", "2023-12-31"],
        ["2024-01-01", "2024-01-02", "2023-12-31"],
        ["2024-01-01T10:00:00", "2024-01-01 10:00:00", "2024-01-01T10:00:00Z"],
        ["12:30:00", "007", "1e3"],
        [7, 8, 9],
        [True, False, None],
        ["2024-01-01", 7, 2.5],
        ["é", "\u2028", "a\0b"],
        [None, "2024-01-01", "x"],
    ],
)
def test_labels_are_what_the_file_says_from_files_and_hub_alike(tmp_path, labels, column):
    folder = tmp_path / "c"
    folder.mkdir()
    records = [
        {"text": f"the text of record {i}", "label": label, "meta": {"set": label, "other": i}}
        for i, label in enumerate(labels)
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    from_files = build(tmp_path / "files", corpus_of(folder, domain=column))[0]
    streamed = corpus_of(folder).model_copy(update={"source": hub(folder, column)})
    from_hub = build(tmp_path / "hub", streamed)[0]
    pd.testing.assert_frame_equal(from_files, from_hub)
    expected = {
        record["text"]: "" if label is None else str(label)
        for record, label in zip(records, labels, strict=True)
    }
    assert dict(from_hub[["text", "domain"]].itertuples(index=False)) == expected
