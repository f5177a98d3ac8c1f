"""Corpora that cannot be read are rejected by file, record and fix; text of every kind that is text
simply works.
"""

import bz2
import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
import zstandard
from commands import assert_rejected, run_here, tree
from helpers import save_tiny_model

from rosetta.activations.folders import open_stores
from rosetta.inputs.text import records
from rosetta.storage.manifests import read_manifest

GOOD = b'{"text": "a document that is long enough", "domain": "a"}\n'
OTHER = b'{"text": "and another one, of another kind", "domain": "b"}\n'
EMPTY = b'{"text": ""}\n'


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def long_zstd(data: bytes, window_log: int = 28) -> bytes:
    """Pack as `zstd --long=28` does, without the size of the content, so that the whole window
    counts.
    """
    settings = zstandard.ZstdCompressionParameters(window_log=window_log, enable_ldm=True)
    packing = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    return packing.compress(data) + packing.flush()


def parquet(**columns) -> bytes:
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def write_run(folder, name, data, *, domain=None, model=None):
    """Write a corpus of one file and the configuration of a run on it, all of whose text is matched
    on.
    """
    if data is not None:
        (folder / name).write_bytes(data)
    other = {"hub": "somebody/model", "revision": "main"}
    recipe = {"path": model} if model else {**other, "hub": "somebody/else"}
    config = {
        "corpus": {
            "source": {"kind": "files", "path": name, **({"domain": domain} if domain else {})},
            "min_document_bytes": 8,
            "splits": {"train": 0.0, "match": 1.0, "pool": 0.0, "heldout": 0.0},
        },
        "models": {"m": recipe, "n": other},
        "ladders": {"l": [["m", "n"]]},
        "activations": {"n_shards": 1, "sequence_length": 32},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(config))


HEAD = r"corpus\.source\."
# Name and content of a file, and what is said of it before any job.
EARLY = {
    "empty": (
        "c.jsonl",
        b"",
        HEAD + r"path: c\.jsonl holds no document of at least 8 bytes. .* or lower",
    ),
    "blank lines": ("c.jsonl", b"\n\n  \n", HEAD + r"path: c\.jsonl holds no document"),
    "a million empty documents": (
        "c.jsonl.zst",
        zstd(EMPTY * 10**6),
        HEAD + r"path: .* holds no document",
    ),
    "nothing but null": ("c.jsonl", b'{"text": null}\n' * 3, HEAD + r"path: .* holds no document"),
    "binary": ("c.jsonl", bytes(range(256)) * 9, r"c\.jsonl:1: not JSON|c\.jsonl:2: not"),
    "invalid UTF-8": (
        "c.jsonl",
        b'{"text": "caf\xe9"}\n',
        r"c\.jsonl:1: not UTF-8 .*Convert the file to UTF-8",
    ),
    "UTF-16": ("c.jsonl", GOOD.decode().encode("utf-16"), r"c\.jsonl:1: not UTF-8"),
    "plain text": (
        "c.jsonl",
        b"Once upon a time",
        r"c\.jsonl:1: not JSON .*Each line must be one record",
    ),
    "one array": (
        "c.jsonl",
        b'[{"text": "a"}]',
        r"c\.jsonl: is one array, and each line must be one record.*jq -c",
    ),
    "an array of lines": (
        "c.jsonl",
        b'\n[\n  {"text": "a"},\n  {"text": "b"}\n]\n',
        r"c\.jsonl: is one array, and each line must be one record",
    ),
    "an array in a line": (
        "c.jsonl",
        b'{"text": "a text"}\n["text"]\n',
        HEAD + r"text: no column 'text' in record 1 of c\.jsonl; it has: list",
    ),
    "no record": (
        "c.jsonl",
        b"12\n",
        HEAD + r"text: no column 'text' in record 0 of c\.jsonl; it has: int",
    ),
    "nested without end": (
        "c.jsonl",
        b'{"text": ' + b"[" * 200_000,
        r"c\.jsonl:1: not JSON .*recursion",
    ),
    "another column": (
        "c.jsonl",
        b'{"body": "x"}\n',
        HEAD + r"text: no column 'text' in record 0 .*; it has: body",
    ),
    "text a number": (
        "c.jsonl",
        b'{"text": 7}\n',
        HEAD + r"text: column 'text' of .* holds int in record 0, not text",
    ),
    "text of bytes": (
        "c.parquet",
        parquet(text=[b"ab"]),
        HEAD + r"text: column 'text' of .* holds bytes",
    ),
    "bz2": (
        "c.jsonl.bz2",
        bz2.compress(GOOD),
        HEAD + r"path: c\.jsonl\.bz2 holds no file of \.jsonl, \.ndjson",
    ),
    "cut off gz": (
        "c.jsonl.gz",
        gzip.compress(GOOD)[:-6],
        r"c\.jsonl\.gz: cannot be read .*fits its suffix",
    ),
    "gz called zst": (
        "c.jsonl.zst",
        gzip.compress(GOOD),
        r"c\.jsonl\.zst: cannot be read .*fits its suffix",
    ),
    "gz called jsonl": ("c.jsonl", gzip.compress(GOOD), r"c\.jsonl:1: not UTF-8"),
    "cut off zst": (
        "c.jsonl.zst",
        zstd(GOOD)[:-6],
        r"c\.jsonl\.zst: cannot be read .*fits its suffix",
    ),
    "cut off long zst": (
        "c.jsonl.zst",
        long_zstd(GOOD)[:-6],
        r"c\.jsonl\.zst: cannot be read .*Truncated",
    ),
    "no gz": ("c.jsonl.gz", GOOD, r"c\.jsonl\.gz: cannot be read .*fits its suffix"),
    "damaged gz": (
        "c.jsonl.gz",
        gzip.compress(GOOD)[:20] + b"?" * 40,
        r"c\.jsonl\.gz: cannot be read",
    ),
    "an array in .json": (
        "c.json",
        b'[{"text": "a"}]',
        r"c\.json: is one array, and each line must be one record",
    ),
    "one record in .json": (
        "c.json",
        b'{\n  "text": "a"\n}\n',
        r"c\.json:1: not JSON .*Each line must be",
    ),
    "no parquet": ("c.parquet", GOOD * 9, r"c\.parquet: cannot be read"),
    "cut off parquet": ("c.parquet", parquet(text=["a"])[:-6], r"c\.parquet: cannot be read"),
    "a brace in a name": ("{c}.jsonl", GOOD, HEAD + r"path: must not hold '\{'"),
    "a table": ("c.csv", b"text\nhello\n", HEAD + r"path: c\.csv holds no .* Convert the text"),
}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'[{"text": "a"}]', "is one array, and each line must be one record"),
        (b'{\n  "text": "a"\n}\n', "1: not JSON .*Each line must be one record"),
        (b"", r"is empty\. Each line must be one record"),
        (b"7\n", "begins with int, no record"),
    ],
    ids=["an array", "over lines", "empty", "a number"],
)
def test_a_folder_whose_only_file_is_no_records_says_what_it_is(tmp_path, data, message):
    (tmp_path / "c").mkdir()
    write_run(tmp_path, "c", None)
    (tmp_path / "c" / "x.json").write_bytes(data)
    (tmp_path / "c" / "notes.txt").write_text("text")
    done = run_here("check", "--configfile", "run.yaml", folder=tmp_path)
    assert_rejected(done, HEAD + rf"path: c holds no file with records\. c/x\.json:\s?{message}")


@pytest.mark.parametrize(("name", "data", "message"), EARLY.values(), ids=EARLY)
def test_a_bad_corpus_is_rejected_before_any_job(tmp_path, name, data, message):
    write_run(tmp_path, name, data)
    before = tree(tmp_path)
    assert_rejected(run_here("check", "--configfile", "run.yaml", folder=tmp_path), message)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("meant", ["{", "<stage>"])
def test_what_means_something_to_snakemake_is_rejected_in_the_name_of_a_file(tmp_path, meant):
    (tmp_path / "c.jsonl").mkdir()
    write_run(tmp_path, f"c.jsonl/a{meant}b.jsonl", GOOD)
    content = (tmp_path / "run.yaml").read_text()
    (tmp_path / "run.yaml").write_text(content.replace(f"c.jsonl/a{meant}b.jsonl", "c.jsonl"))
    done = run_here("check", "--configfile", "run.yaml", folder=tmp_path)
    assert_rejected(
        done,
        rf"corpus\.source\.path: c\.jsonl/a{meant}b\.jsonl has '{meant}' in its name, .*Rename it",
    )


@pytest.mark.parametrize("domain", ["text.kind", "meta", "meta.b"])
def test_a_bad_column_of_labels_is_rejected(tmp_path, domain):
    write_run(tmp_path, "c.jsonl", b'{"text": "long enough", "meta": {"a": 1}}\n', domain=domain)
    message = {
        "text.kind": "no column 'text.kind' in record 0",
        "meta": "holds dict in record 0, not a label",
        "meta.b": r"no column 'meta\.b' in record 0 of \S+; it has: text, meta\.a\. .* leave it "
        r"out",
    }[domain]
    done = run_here("check", "--configfile", "run.yaml", folder=tmp_path)
    assert_rejected(done, rf"corpus\.source\.domain: .*{message}")


def test_an_endless_line_is_rejected_before_it_is_held(tmp_path, monkeypatch):
    """However little it takes on disk: the line of this archive unfolds to a thousand times its
    size.
    """
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", 10_000)
    data = zstd(GOOD + b'{"text": "' + b"x" * 5_000_000 + b'"}\n')
    assert len(data) < 5_000
    write_run(tmp_path, "c.jsonl.zst", data)
    assert_rejected(
        run_here("corpus", "--config", "run.yaml", folder=tmp_path),
        r"c\.jsonl\.zst:2: the line is longer than 10,000",
    )


def test_a_window_longer_than_is_allowed_is_named_as_what_it_is(tmp_path):
    write_run(tmp_path, "c.jsonl.zst", long_zstd(GOOD))
    config = yaml.safe_load((tmp_path / "run.yaml").read_text())
    config["corpus"]["source"]["zstd_long"] = 27
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    done = run_here("check", "--configfile", "run.yaml", folder=tmp_path)
    assert_rejected(
        done, r"c\.jsonl\.zst: was made with a long window \(zstd --long\).*`zstd_long`.*Raise it"
    )


# What no one sees before the whole is read is named by its line, by the first job, which leaves
# nothing finished.
LATE = {
    "not JSON": (GOOD * 3 + b"{\n" + GOOD, r"c\.jsonl:4: not JSON"),
    "invalid UTF-8": (GOOD * 3 + b'{"text": "\xff"}\n', r"c\.jsonl:4: not UTF-8"),
    "text a list": (
        GOOD + b'{"text": ["a"]}\n',
        r"corpus\.source\.text: column .* holds list in record 1",
    ),
    "another column": (
        GOOD + b'{"body": "a"}\n',
        r"corpus\.source\.text: no column 'text' in record 1",
    ),
}


@pytest.mark.parametrize(("data", "message"), LATE.values(), ids=LATE)
def test_a_bad_record_is_rejected_by_its_line(tmp_path, data, message):
    write_run(tmp_path, "c.jsonl", data)
    assert_rejected(run_here("corpus", "--config", "run.yaml", folder=tmp_path), message)
    assert not (tmp_path / "results" / "corpus" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"activations": {"n_shards": 3}},
            r"activations\.n_shards: 3 is above the 2 documents of the split `match`",
        ),
        (
            {"filtering": {"target": "z"}},
            r"filtering\.target: no document .* is of 'z'; its domains are 'a', 'b'",
        ),
        (
            {"specialization": {"categories": {"a": "x"}}},
            r"specialization\.categories: has no category for 'b'",
        ),
        ({"filtering": {"target": "a"}}, r"corpus\.splits\.pool: no document landed in this split"),
    ],
)
def test_what_later_jobs_need_of_a_corpus_is_asked_by_the_first(tmp_path, changes, message):
    write_run(tmp_path, "c.jsonl", GOOD + OTHER, domain="domain")
    content = yaml.safe_load((tmp_path / "run.yaml").read_text())
    for section, values in changes.items():
        content[section] = {**content.get(section, {}), **values}
    if "filtering" in changes:
        content["filtering"] |= {"name": "f", "ladder": "l"}
        content["corpus"]["splits"] = {
            "train": 0.0,
            "match": 1 - 1e-9,
            "pool": 1e-9,
            "heldout": 0.0,
        }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
    assert_rejected(run_here("corpus", "--config", "run.yaml", folder=tmp_path), message)


TEXTS = {
    "emoji": "👩‍👩‍👧‍👦 and 🏳️‍🌈 went to the 🏖️ and 👍🏽 everything",
    "combining characters": "Z̸̢̛a̷l̴g̵o̶ e\u0301 n\u0303 a\u030a \u0301\u0301\u0301 stands alone",
    "right to left": "שלום עולם, مرحبا بالعالم \u202eabc\u202c ‏and back",
    "NUL bytes": "before\0between\0\0after",
    "control characters": "bell \a, escape \x1b[31m, delete \x7f, \x01\x02\x03",
    "strange line ends": "one\rtwo\r\nthree\u2028four\u2029five\x85six\x0bseven",
    "a byte order mark": "\ufeffa text \ufeff of \ufffe marks",
    "outside the BMP": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 \U0010ffff \U000e0001",
    "special tokens": "<|endoftext|> </s> <pad> <s> [MASK]",
    "nothing but blanks inside": "a" + " \t\n" * 40 + "b",
    "markup": "<script>alert('x')</script> & \"quotes\" {braces} $(touch ran)",
    "unwritten planes": "\ue000\uf8ff private use \ufdd0",
}
LABELS = {
    "NA": "NA",
    "NUL": "a\0b",
    "a line end": "a\nb",
    "quotes": 'a "b", c',
    "markup": "<b>x</b>",
    "a path": "../../x",
    "right to left": "עברית",
    "long": "x" * 300,
    "a number": 7,
    "empty": "",
}


@pytest.fixture(scope="module")
def tokenizer_and_model(tmp_path_factory, texts):
    return save_tiny_model(tmp_path_factory.mktemp("model") / "m", texts, "gpt2")


def read_match(folder):
    return pd.read_parquet(folder / "results" / "corpus" / "match.parquet")


def test_text_of_every_kind_is_read_tokenized_and_captured(tmp_path, tokenizer_and_model):
    """Every byte of every document is a token's, as far as the model reads."""
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in TEXTS.values()]
    write_run(tmp_path, "c.jsonl", "\n".join(lines).encode(), model=str(tokenizer_and_model))
    for command in ("corpus", "model --model m", "activations --model m --shard 0"):
        done = run_here(*command.split(), "--config", "run.yaml", folder=tmp_path)
        assert done.code == 0, done.err
    documents = read_match(tmp_path)
    assert set(documents["text"]) == set(TEXTS.values())
    store = open_stores(tmp_path / "results" / "activations" / "m" / "1-shards")[0]
    ends = np.zeros(len(documents), np.int64)
    np.maximum.at(ends, store.read("document_index"), store.read("byte_end"))
    sizes = documents["text"].str.encode("utf-8").str.len().to_numpy()
    tokens = np.bincount(store.read("document_index"))
    assert np.all((ends == sizes) | (tokens == 32)), "whole, or as much as the model reads"


@pytest.mark.parametrize(("kind", "text"), TEXTS.items(), ids=TEXTS)
@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.zst", "c.parquet"])
def test_text_of_every_kind_survives_every_format(tmp_path, kind, text, name):
    line = json.dumps({"text": text}, ensure_ascii="blanks" in kind).encode()
    write_run(
        tmp_path,
        name,
        {"c.jsonl": line, "c.jsonl.zst": zstd(line), "c.parquet": parquet(text=[text])}[name],
    )
    assert run_here("check", "--configfile", "run.yaml", folder=tmp_path).code == 0
    assert run_here("corpus", "--config", "run.yaml", folder=tmp_path).code == 0
    assert read_match(tmp_path)["text"].tolist() == [text]


@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS)
def test_labels_of_every_kind_are_labels_and_no_file_names(tmp_path, label):
    write_run(
        tmp_path, "c.jsonl", json.dumps({"text": "long enough", "d": label}).encode(), domain="d"
    )
    done = run_here("corpus", "--config", "run.yaml", folder=tmp_path)
    assert done.code == 0, done.err
    assert read_match(tmp_path)["domain"].tolist() == [str(label)]
    manifest = read_manifest(tmp_path / "results" / "corpus" / "manifest.json", "corpus")
    assert manifest["splits"]["match"]["domains"] == {str(label): 1}
    assert {path.name for path in tmp_path.iterdir()} == {"c.jsonl", "run.yaml", "results"}


def test_one_giant_line_is_one_document_or_many(tmp_path):
    text = " ".join(f"word{i}" for i in range(300_000))
    write_run(tmp_path, "c.jsonl", json.dumps({"text": text}).encode())
    assert run_here("corpus", "--config", "run.yaml", folder=tmp_path).code == 0
    assert read_match(tmp_path)["text"].tolist() == [text]
    content = yaml.safe_load((tmp_path / "run.yaml").read_text())
    content["corpus"]["max_document_bytes"] = 4000
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
    assert run_here("corpus", "--config", "run.yaml", folder=tmp_path).code == 0
    pieces = read_match(tmp_path)["text"]
    assert pieces.str.len().max() == 4000
    assert pieces.str.len().sum() == len(text)


def test_what_is_dropped_is_counted(tmp_path):
    """Nulls, blanks, repeats and what has no UTF-8 form, in the text or in its label; ids may
    repeat.
    """
    lines = [
        *['{"id": 1, "text": null}'] * 3,
        *['{"id": 1, "text": "  "}'] * 2,
        *['{"id": 1, "text": "the same text again"}'] * 4,
        *['{"id": 1, "text": "lone \\ud800 surrogate"}'] * 2,
        '{"id": 1, "text": "another text, well", "d": "\\udfff"}',
        '{"id": 1, "text": "the last of the texts"}',
    ]
    records_ = [json.dumps({"d": "x", **json.loads(line)}) for line in lines]
    write_run(tmp_path, "c.jsonl", ("\ufeff" + "\r\n".join(records_)).encode(), domain="d")
    assert run_here("corpus", "--config", "run.yaml", folder=tmp_path).code == 0
    manifest = read_manifest(tmp_path / "results" / "corpus" / "manifest.json", "corpus")
    expected = {"accepted": 2, "short": 5, "duplicate": 3, "unencodable": 3, "near_duplicate": 0}
    assert manifest["counts"] == expected
