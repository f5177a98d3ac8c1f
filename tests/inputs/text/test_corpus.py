import ast
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import rosetta.inputs.text.size
from rosetta.config import Corpus, parse_config
from rosetta.errors import ConfigError, CorpusError, StoreError
from rosetta.inputs.text.build import build_corpus, read_split, shard_bounds, source_texts
from rosetta.inputs.text.documents import Cleaner, Text, cluster_of, cut
from rosetta.inputs.text.environment import docstring_prose, without_docstrings
from rosetta.inputs.text.size import estimate_size
from rosetta.inputs.text.steps import corpus_step
from rosetta.run.paths import Paths
from rosetta.storage.digests import hash64
from rosetta.storage.manifests import read_manifest

SPLITS = ("train", "match", "pool", "heldout")
RECORDS = [
    {"text": f"document {i} says {'word ' * (i % 7)}{i * i}", "meta": {"set": f"d{i % 3}"}}
    for i in range(300)
]


def corpus_of(**changes) -> Corpus:
    base = {"models": {"m": {"path": "x"}, "n": {"path": "y"}}, "ladders": {"l": [["m", "n"]]}}
    return parse_config({**base, "corpus": {"min_document_bytes": 5, **changes}}).corpus


def build(tmp_path, corpus) -> tuple[Paths, dict[str, pd.DataFrame]]:
    paths = Paths(tmp_path)
    build_corpus(corpus, paths, {})
    return paths, {split: read_split(paths, split) for split in SPLITS}


def write_jsonl(path, records=RECORDS):
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(zstandard.ZstdCompressor().compress(data) if path.suffix == ".zst" else data)
    return str(path)


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.zst", "parquet"])
def test_local_files_are_read_whole_with_domains(tmp_path, suffix):
    path = tmp_path / f"c.{suffix}"
    if suffix == "parquet":
        pd.DataFrame(RECORDS).to_parquet(path)
    else:
        write_jsonl(path)
    source = {"kind": "files", "path": str(path), "text": "text", "domain": "meta.set"}
    _, splits = build(tmp_path, corpus_of(source=source))
    everything = pd.concat(splits.values())
    assert sorted(everything["text"]) == sorted(record["text"] for record in RECORDS)
    domains = {record["text"]: record["meta"]["set"] for record in RECORDS}
    assert all(domains[row.text] == row.domain for row in everything.itertuples())


def test_a_hub_dataset_in_a_local_folder_is_streamed(tmp_path):
    (tmp_path / "data").mkdir()
    pd.DataFrame(RECORDS).to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    source = {"kind": "hub", "id": str(tmp_path / "data"), "split": "train", "domain": "meta.set"}
    _, splits = build(tmp_path / "results", corpus_of(source=source))
    assert sum(map(len, splits.values())) == len(RECORDS)
    with pytest.raises(
        CorpusError, match=r"corpus\.source\.text: no column 'body'.*it has: text, meta"
    ):
        build(tmp_path / "results", corpus_of(source={**source, "text": "body"}))
    with pytest.raises(CorpusError, match=r"corpus\.source\.id"):
        build(tmp_path / "results", corpus_of(source={**source, "split": "nope"}))


def test_a_compressed_hub_dataset_is_streamed(tmp_path):
    """What the dependency on zstandard is for: `datasets` does not require it itself."""
    (tmp_path / "data").mkdir()
    write_jsonl(tmp_path / "data" / "train.jsonl.zst")
    _, splits = build(
        tmp_path / "results", corpus_of(source={"kind": "hub", "id": str(tmp_path / "data")})
    )
    assert sorted(pd.concat(splits.values())["text"]) == sorted(
        record["text"] for record in RECORDS
    )


def test_splits_do_not_depend_on_other_documents_or_their_order(tmp_path):
    whole = {"kind": "files", "path": write_jsonl(tmp_path / "a.jsonl")}
    half = {"kind": "files", "path": write_jsonl(tmp_path / "a2.jsonl", RECORDS[:150])}
    _, first = build(tmp_path / "1", corpus_of(source=whole))
    paths, again = build(tmp_path / "2", corpus_of(source=whole))
    for split in SPLITS:
        pd.testing.assert_frame_equal(first[split], again[split])
        assert first[split]["id"].is_monotonic_increasing
        assert first[split]["id"].tolist() == first[split]["text"].map(hash64).tolist()
    ids = [id_ for table in first.values() for id_ in table["id"]]
    assert len(ids) == len(set(ids)) == 300
    _, fewer = build(tmp_path / "3", corpus_of(source=half))
    where = {id_: split for split, table in first.items() for id_ in table["id"]}
    moved = {id_ for split, table in fewer.items() for id_ in table["id"] if where[id_] != split}
    assert sum(map(len, fewer.values())) == 150
    assert not moved
    shares = [len(first[split]) / 300 for split in SPLITS]
    np.testing.assert_allclose(shares, [0.78, 0.06, 0.10, 0.06], atol=0.06)
    manifest = read_manifest(paths.corpus_manifest, "corpus")
    assert manifest["splits"]["match"]["documents"] == len(first["match"])


def test_duplicates_and_near_duplicates_are_dropped_and_counted():
    lines = [f"this is line number {i} of the licence\n" for i in range(10)]
    licence = "".join(lines)
    other_year = "copyright of somebody else entirely\n" + licence
    half_new = "".join(lines[:4]) + "".join(f"a wholly different sentence {i}\n" for i in range(6))
    texts = [
        Text(t, "", f"s{i}")
        for i, t in enumerate(
            [licence, licence, other_year, half_new, "tiny", "lone \ud800 surrogate"]
        )
    ]
    cleaner = Cleaner(min_bytes=10, max_bytes=None)
    assert [d.text for d in cleaner.documents(texts)] == [licence, half_new]
    assert cleaner.counts == {
        "accepted": 2,
        "unencodable": 1,
        "short": 1,
        "duplicate": 1,
        "near_duplicate": 1,
    }


def informative_lines(text: str) -> set[str]:
    return {
        line
        for line in ("".join(line.lower().split()) for line in text.splitlines())
        if len(line) >= 12
    }


def test_no_document_has_most_of_its_lines_from_another_split(tmp_path):
    """The leak that matters: the same header or licence in train and match.

    What `Cleaner` promises: at most half of a document's lines stand in those accepted before it,
    pieces of its own text aside, which share its split.
    """
    source = {
        "kind": "environment",
        "bytes_per_domain": 60_000,
        "domains": ["licence", "python", "arithmetic"],
    }
    corpus = corpus_of(source=source, max_document_bytes=400, min_document_bytes=64)
    _, splits = build(tmp_path, corpus)
    split_of_id = {id_: split for split, table in splits.items() for id_ in table["id"]}
    cleaner = Cleaner(corpus.min_document_bytes, corpus.max_document_bytes)
    accepted = list(cleaner.documents(source_texts(corpus)))
    assert {document.id for document in accepted} == set(split_of_id)
    assert cleaner.counts["near_duplicate"] > 0, "something was there to be dropped"
    earlier = {split: set() for split in SPLITS}
    repeats = 0
    for document in accepted:
        lines = informative_lines(document.text)
        elsewhere = set().union(
            *(earlier[split] for split in SPLITS if split != split_of_id[document.id])
        )
        assert len(lines & elsewhere) <= len(lines) * 0.5
        repeats += bool(lines & elsewhere)
        earlier[split_of_id[document.id]] |= lines
    assert repeats > 0
    sources = [set(table["source"]) for table in splits.values()]
    assert len(set().union(*sources)) == sum(map(len, sources)), "a source is in one split only"
    domains = set(pd.concat(splits.values())["domain"])
    assert domains == {"licence", "python", "arithmetic"}


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.zst", "parquet"])
@pytest.mark.parametrize("sample", [300_000, 10**9], ids=["sampled", "whole"])
def test_the_size_of_local_files_is_that_of_their_text(tmp_path, monkeypatch, suffix, sample):
    """Not that of the file: compressed it is smaller, with other columns larger."""
    monkeypatch.setattr(rosetta.inputs.text.size, "SAMPLE", sample)
    rng = np.random.default_rng(0)
    records = [
        {
            "meta": {"text": rng.bytes(int(rng.integers(10, 400))).hex()},
            "other": "x" * 600,
            "text": "not this one",
        }
        for _ in range(8000)
    ]
    for part in range(2):
        path = tmp_path / f"{part}.{suffix}"
        half = records[part::2]
        pd.DataFrame(half).to_parquet(
            path, row_group_size=300
        ) if suffix == "parquet" else write_jsonl(path, half)
    source = {"kind": "files", "path": str(tmp_path), "text": "meta.text"}
    size = estimate_size(corpus_of(source=source))
    n_bytes = sum(len(record["meta"]["text"]) for record in records)
    assert size.n_documents == pytest.approx(8000, rel=0.1)
    assert size.n_bytes == pytest.approx(n_bytes, rel=0.1)
    if sample == 10**9 and suffix != "parquet":
        assert size.n_documents == pytest.approx(8000, rel=1e-12)
        assert size.n_bytes == pytest.approx(n_bytes, rel=1e-12)
    pieces = estimate_size(corpus_of(source=source, max_document_bytes=100))
    assert (pieces.document_bytes, pieces.n_bytes) == (100, pytest.approx(size.n_bytes))
    assert estimate_size(corpus_of(source=source, max_documents=7)).n_documents == 7


def test_a_file_that_cannot_be_sampled_is_named(tmp_path):
    for name in ("c.jsonl.zst", "c.parquet"):
        (tmp_path / name).write_bytes(b"not what its suffix says")
        with pytest.raises(CorpusError, match=rf"{name}: cannot be read"):
            estimate_size(corpus_of(source={"kind": "files", "path": str(tmp_path / name)}))


@given(
    text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300),
    size=st.integers(16, 64),
)
def test_cutting_loses_nothing_and_keeps_the_limit(text, size):
    pieces = list(cut(text, size))
    assert "".join(pieces) == text
    assert all(len(piece.encode()) <= size for piece in pieces)


@given(n=st.integers(0, 50), shards=st.integers(1, 9))
def test_shards_cover_every_document_once(n, shards):
    bounds = [shard_bounds(n, shards, i) for i in range(shards)]
    assert [i for low, high in bounds for i in range(low, high)] == list(range(n))


def test_docstrings_leave_the_code_and_become_prose():
    prose = (
        "This function adds two numbers together and then gives the sum back to whoever "
        "asked for it."
    )
    docstring = f'"""Short.\n\n    {prose}\n\n    >>> f(1, 2)\n    3\n    """'
    code = f'"""Module."""\n\ndef f(a, b):\n    {docstring}\n    return a + b\n'
    assert without_docstrings(code) == "...\n\ndef f(a, b):\n    ...\n    return a + b\n"
    assert docstring_prose(code) == prose
    assert without_docstrings("def broken(:\n") == ""
    assert (
        without_docstrings('x = 1\n\x0c\ndef f():\n    """Gone."""\n')
        == "x = 1\n\x0c\ndef f():\n    ...\n"
    )


NESTED = '''
"""0"""
if True:
    def of_if():
        """1"""
else:
    for _ in ():
        async def of_for():
            """2"""
    else:
        class OfElse:
            """3"""
            def method(self):
                """4"""
                "no docstring"
try:
    with open("x"):
        def of_with():
            """5"""
            return lambda: "no docstring"
except* OSError:
    def of_handler():
        """6"""
finally:
    while True:
        def of_while():
            """7"""
match 1:
    case 1:
        def of_case():
            """8"""
'''


def test_docstrings_are_found_wherever_python_has_some():
    left = without_docstrings(NESTED)
    assert left.count("...") == 9
    assert left.count('"') == 3 * 2
    everywhere = [
        node
        for node in ast.walk(ast.parse(left))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert len(everywhere) == 9
    assert not any(map(ast.get_docstring, everywhere))


@pytest.mark.parametrize(
    ("content", "source", "message"),
    [
        ("", {}, "holds no document"),
        ('{"text": "a"}\n{"text"\n', {}, r"c\.jsonl:2: not JSON"),
        (
            '{"body": "abc"}\n',
            {},
            r"corpus\.source\.text: no column 'text' in record 0.*it has: body",
        ),
        ('{"text": 3}\n', {}, "holds int in record 0, not text"),
        (
            '{"text": "abc", "meta": {}}\n',
            {"domain": "meta.set"},
            r"corpus\.source\.domain: no column 'meta\.set'",
        ),
        ('{"text": "abc"}\n' * 3, {}, "holds no document of at least 5 bytes"),
        ("\x00\xff", {}, "not UTF-8|cannot be read"),
    ],
)
def test_bad_corpora_are_rejected_by_name(tmp_path, content, source, message):
    from rosetta.inputs.text.records import check_files

    (tmp_path / "c.jsonl").write_bytes(content.encode("latin-1"))
    corpus = corpus_of(source={"kind": "files", "path": str(tmp_path / "c.jsonl"), **source})

    def check_and_build():
        check_files(corpus.source, corpus.min_document_bytes)
        build(tmp_path / "r", corpus)

    with pytest.raises(CorpusError, match=message):
        check_and_build()


def test_an_empty_match_split_is_rejected_by_its_key(tmp_path):
    splits = {"train": 0.999999, "match": 0.000001, "pool": 0.0, "heldout": 0.0}
    source = {"kind": "files", "path": write_jsonl(tmp_path / "c.jsonl")}
    with pytest.raises(CorpusError, match=r"corpus\.splits\.match: no document"):
        build(tmp_path / "r", corpus_of(source=source, splits=splits))


def test_gzip_under_another_name_is_rejected(tmp_path):
    import gzip

    (tmp_path / "c.jsonl.zst").write_bytes(gzip.compress(b'{"text": "abc"}\n'))
    with pytest.raises(CorpusError, match="cannot be read"):
        build(
            tmp_path / "r",
            corpus_of(source={"kind": "files", "path": str(tmp_path / "c.jsonl.zst")}),
        )


def test_a_truncated_archive_is_rejected(tmp_path):
    whole = Path(write_jsonl(tmp_path / "c.jsonl.zst")).read_bytes()
    (tmp_path / "c.jsonl.zst").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorpusError, match=r"Truncated"):
        build(
            tmp_path / "r",
            corpus_of(source={"kind": "files", "path": str(tmp_path / "c.jsonl.zst")}),
        )


def test_an_altered_split_is_found(tmp_path):
    paths, _ = build(
        tmp_path, corpus_of(source={"kind": "files", "path": write_jsonl(tmp_path / "a.jsonl")})
    )
    data = bytearray(paths.split("match").read_bytes())
    data[len(data) // 2] ^= 1
    paths.split("match").write_bytes(bytes(data))
    with pytest.raises(StoreError, match=r"match\.parquet: not what was written here"):
        read_split(paths, "match")


def test_a_domain_without_a_category_is_told_before_any_model_reads(tmp_path):
    source = {"kind": "files", "path": write_jsonl(tmp_path / "a.jsonl"), "domain": "meta.set"}
    content = {"models": {"x": {"path": "x"}, "y": {"path": "y"}}, "ladders": {"l": [["x", "y"]]}}
    content |= {"corpus": {"source": source, "min_document_bytes": 1}}
    corpus_step(parse_config(content), Paths(tmp_path / "every domain by itself"))
    own = {"specialization": {"categories": {"d0": "x", "d1": "x"}}}
    with pytest.raises(ConfigError, match=r"specialization\.categories: has no category for 'd2'"):
        corpus_step(parse_config(content | own), Paths(tmp_path / "own"))


@pytest.mark.parametrize(
    ("source", "cluster"),
    [
        ("torch/_dynamo/guards.py#12", "torch/_dynamo/guards.py"),
        ("torch/_dynamo/guards.py", "torch/_dynamo/guards.py"),
        ("val.jsonl.zst:17", "val.jsonl.zst:17"),
        ("notes on c#.md#3", "notes on c#.md"),
        ("notes on c#", "notes on c#"),
        ("", ""),
    ],
)
def test_the_parts_of_a_source_are_one_cluster(source, cluster):
    assert cluster_of(source) == cluster
