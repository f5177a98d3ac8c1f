"""The specification of stores (docs/stores.md): its example, what is rejected with which message,
what is accepted.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import random_ranges, save_image_stores, save_stores
from store_breakages import (
    chunk_of,
    flipped,
    flipped_and_signed,
    held,
    put,
    rejected,
    replaced,
    signed,
    top_level,
    truncated,
)

from rosetta.activations.folders import open_stores
from rosetta.activations.layout import KIND
from rosetta.activations.store import Store
from rosetta.activations.variables import VARIABLES
from rosetta.storage.manifests import read_manifest, write_manifest
from rosetta.storage.names import digest_path

SPECIFICATION = Path(__file__).parents[2] / "docs" / "stores.md"
DOCUMENTS = [40, 10, 25, 60, 33, 7]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    rng = np.random.default_rng(0)
    for name, max_token in (("a", 3), ("b", 4)):
        ranges = random_ranges(
            rng, DOCUMENTS, max_token=max_token, special=name == "a", truncate=False
        )
        values = rng.normal(size=(2, len(ranges[0]), 5)).astype(np.float32) + 1
        save_stores(folder / name, values, ranges, len(DOCUMENTS), n_shards=2, dtype="float16")
    return folder


@pytest.fixture
def pair(original, tmp_path):
    """Two models with two good shard stores each, a and b."""
    return Path(shutil.copytree(original, tmp_path / "pair"))


def edited(folder):
    text = (folder / "0.json").read_text()
    (folder / "0.json").write_text(text.replace('"n_layers": 2', '"n_layers": 1'))
    digest_path(folder / "0.json").unlink()  # as stores of other programs are


def without_shard(folder):
    (folder / "1.json").unlink()


def of_another_model(folder):
    manifest = read_manifest(folder / "1.json", KIND)
    write_manifest(folder / "1.json", manifest | {"made_by": {"model": "other"}})


FIRST_DOCUMENT = re.escape("document 0, but should be ")


# How a store is broken; what `store check` says; what `match` says (the same if None, "" if it
# cannot know).
BREAKAGES = {
    "edited manifest": (
        edited,
        r"a/0\.json: altered: its content has another manifest_digest",
        None,
    ),
    "no manifest": (
        lambda folder: (folder / "0.json").write_text("{"),
        r"a/0\.json: not what was written here",
        None,
    ),
    "another kind": (top_level(kind="sketch"), r"a/0\.json: describes a 'sketch'", None),
    "another modality": (
        top_level(modality="sounds"),
        r"modality is 'sounds'; this version reads stores of text and images",
        None,
    ),
    "another version": (
        top_level(format_version=1),
        r"format_version is 1; this version reads 2 and 3",
        None,
    ),
    "missing key": (held(chunks=None), r"a/0\.json: holds\.chunks: Field required", None),
    "no positions": (
        held(n_positions=0),
        r"holds\.n_positions: Input should be greater than 0 \(got 0\)",
        None,
    ),
    "unknown dtype": (
        held(dtype="float64"),
        r"holds\.dtype: Input should be 'float16'.*got 'float64'",
        None,
    ),
    "other dtype": (
        held(dtype="bfloat16"),
        r"attribute dtype is float16, but should be bfloat16",
        None,
    ),
    "chunks too tall": (
        held(chunks=[8192, 5]),
        r"holds\.chunks: 8192 positions.* 4096 at most",
        None,
    ),
    "other chunks": (
        held(chunks=[16, 5]),
        r"activations/0: chunks .* but should be \(16, 5\)",
        None,
    ),
    "no such shard": (held(shard=2), r"holds\.shard: 2 is not among 2 shards", None),
    "wrong count": (held(n_with_bytes=1), r"holds\.n_with_bytes: should be \d+", None),
    "other sharding": (held(n_shards=3), r"a: has the shards \[0, 1\] of 3", None),
    "missing shard": (without_shard, r"a: has the shards \[0\] of 2", None),
    "another model": (of_another_model, r"a/1\.zarr: was made from another model", None),
    "float64 activations": (
        replaced("activations/1", lambda values: values.astype("float64")),
        r"activations/1: dtype float64, but should be float16",
        None,
    ),
    "missing array": (
        replaced("document_bytes", delete=True),
        r"has no array document_bytes",
        None,
    ),
    "wrong shape": (
        replaced("byte_end", lambda values: values[:-1], chunks=(8,)),
        r"byte_end: shape \(\d+,\)",
        None,
    ),
    "no dimensions": (replaced("mean", dimension_names=None), r"mean: dimension names None", None),
    "no checksum": (
        replaced("activations/0", compressors=None),
        r"activations/0: its chunks carry no crc32c",
        None,
    ),
    "attribute": (
        signed(lambda group: group.attrs.update(d_mlp=4)),
        r"attribute d_mlp is 4, but should be 5",
        None,
    ),
    "missing chunk": (
        lambda folder: chunk_of(folder).unlink(),
        r"activations/1/c/0/0: missing",
        None,
    ),
    "truncated chunk": (truncated, r"activations/1/c/0/0: truncated or altered", None),
    "corrupted chunk": (
        flipped,
        r"activations/1/c/0/0: damaged",
        r"a/0\.zarr: activations/1 is damaged.*checksum",
    ),
    "corrupted chunk, signed": (
        flipped_and_signed,
        r"a/0\.zarr: activations/1 is damaged.*checksum",
        None,
    ),
    "unlisted file": (
        lambda folder: (folder / "0.zarr" / "x").write_text(""),
        r"0\.zarr/x: is not listed",
        "",
    ),
    "hidden file of macOS": (
        lambda folder: (folder / "._0.json").write_bytes(b"\0\5\x16\7"),
        r"a/\._0\.json: is a hidden file.*not a part of the store.* Delete it",
        None,
    ),
    "hidden file of macOS in a store": (
        lambda folder: (folder / "0.zarr" / "._zarr.json").write_bytes(b"\0\5\x16\7"),
        r"0\.zarr/\._zarr\.json: is a hidden file.* Delete it",
        "",
    ),
    "unregistered array": (
        signed(lambda group: group.create_array("extra", shape=(1,), dtype="int8")),
        r"array extra is not registered",
        "",
    ),
    "late start": (
        put("byte_start", 1, 1),
        rf"byte_start is 1 at position 1 of {FIRST_DOCUMENT}0",
        None,
    ),
    "gap": (
        put("byte_start", 3, lambda start: start + 1),
        r"byte_start is .* at position 3 of .* without gap",
        None,
    ),
    "overlap": (
        put("byte_start", 3, lambda start: start - 1),
        r"byte_start is .* at position 3",
        None,
    ),
    "backwards": (put("byte_end", 2, 0), r"byte_end is below byte_start at position 2", None),
    "beyond": (
        put("document_bytes", 1, 9),
        r"byte_end is 10 at .* beyond the 9 bytes of document 1",
        None,
    ),
    "unordered": (put("document_index", 0, 1), r"document_index decreases after position 0", None),
    "no such document": (
        put("document_index", -1, 3),
        r"document_index is 3 at position \d+, of 3 documents",
        None,
    ),
    "twice": (
        put("document_ids", 2, 1),
        r"a/0\.zarr: document_ids: 1 is there more than once",
        None,
    ),
    "twice in shards": (
        put("document_ids", 2, 0, shard=1),
        r"a: document_ids: 0 is there more than once",
        None,
    ),
    "nan": (
        put("activations/1", (5, 2), np.nan),
        r"a/0\.zarr: neuron L1/U2 reads nan on a position that counts",
        r"a: neuron L1/U2 holds non-finite values",
    ),
    "infinity": (
        put("activations/0", (5, 4), np.inf),
        r"neuron L0/U4 reads inf",
        r"L0/U4 holds non-finite",
    ),
    "wild exponent": (
        put("exponent", 1, -200),
        r"exponent is -200 in layer 1, but may be 126 above or below",
        None,
    ),
    "other exponent": (put("exponent", 1, 1), r"mean of neuron L1/U0 is", ""),
    "no exponent": (replaced("exponent", delete=True), r"has no array exponent", None),
    "wrong mean": (put("mean", (1, 3), lambda mean: mean * 1.001), r"mean of neuron L1/U3 is", ""),
    "wrong m2": (
        put("m2", (0, 0), 0),
        r"m2 of neuron L0/U0 is 0, but that of activations/0 is",
        "",
    ),
}


@pytest.mark.parametrize(("breakage", "message", "by_match"), BREAKAGES.values(), ids=BREAKAGES)
def test_wrong_stores_are_rejected(pair, rosetta_main, breakage, message, by_match):
    breakage(pair / "a")
    rejected(rosetta_main("store", "check", pair / "a"), message)
    done = rosetta_main("match", "--a", pair / "b", "--b", pair / "a", "--out", pair / "m.parquet")
    if by_match == "":
        assert done[0] == 0
    else:
        rejected(done, by_match or message)
        assert not (pair / "m.parquet").exists()


def test_screening_rejects_non_finite_values_too(pair, rosetta_main):
    put("activations/1", (5, 2), np.nan)(pair / "a")
    options = ("--out", pair / "m.parquet", "--method", "screened")
    rejected(
        rosetta_main("match", "--a", pair / "a", "--b", pair / "b", *options),
        "L1/U2 holds non-finite",
    )


def test_a_store_of_text_need_not_say_so(pair):
    """Stores that are written now do not, so that they are those of earlier versions, byte for
    byte.
    """
    assert "modality" not in json.loads((pair / "a" / "0.json").read_text())
    assert Store(pair / "a" / "0.json").modality == "text"
    top_level(modality="text")(pair / "a")
    assert Store(pair / "a" / "0.json").modality == "text"


PAIRS = {
    "ids": (
        put("document_ids", 1, 77),
        r"b/0\.zarr hold different documents: the id of document 1 is 1 .* and 77 in",
    ),
    "lengths": (
        put("document_bytes", 2, 99),
        r"the length in bytes of document 2 is 1000000000 in one and 99 in",
    ),
}


@pytest.mark.parametrize(("breakage", "message"), PAIRS.values(), ids=PAIRS)
def test_stores_of_different_corpora_are_rejected(pair, rosetta_main, breakage, message):
    breakage(pair / "b")
    assert rosetta_main("store", "check", pair / "b")[0] == 0, "alone it is right"
    rejected(
        rosetta_main("match", "--a", pair / "a", "--b", pair / "b", "--out", pair / "m.parquet"),
        message,
    )


def test_different_numbers_of_shards_and_documents_are_rejected(pair, rosetta_main):
    rng = np.random.default_rng(0)
    ranges = random_ranges(rng, DOCUMENTS)
    values = rng.normal(size=(1, len(ranges[0]), 3)).astype(np.float32)
    save_stores(pair / "one", values, ranges, len(DOCUMENTS))
    save_stores(pair / "more", values, ranges, len(DOCUMENTS) + 2, n_shards=2)
    for other, message in (
        ("one", "a has 2 shards, .*one has 1"),
        ("more", r"different documents: 3 of them and 4\."),
    ):
        done = rosetta_main(
            "match", "--a", pair / "a", "--b", pair / other, "--out", pair / "m.parquet"
        )
        rejected(done, message)


def test_positions_without_bytes_are_not_looked_at(pair, rosetta_main):
    matched = []
    for value in (0, np.nan):
        (start,) = np.flatnonzero(open_stores(pair / "a")[0].read("byte_end") == 0)[:1]
        put("activations/1", (start, 2), value)(pair / "a")
        assert rosetta_main("store", "check", pair / "a")[0] == 0
        done = rosetta_main(
            "match", "--a", pair / "a", "--b", pair / "b", "--out", pair / "m.parquet"
        )
        assert done[0] == 0
        matched.append(pd.read_parquet(pair / "m.parquet"))
    pd.testing.assert_frame_equal(*matched)


def test_checking_prints_what_stores_hold(pair, rosetta_main):
    code, said, _ = rosetta_main("store", "check", pair / "a")
    assert code == 0
    first, second = said.splitlines()
    n_documents, n_positions = 3, open_stores(pair / "a")[0].n_positions
    expected = (
        rf"a/0\.json: shard 0 of 2, 2 × 5 neurons \(0 dead\), float16, {n_positions} positions "
        rf"\({n_positions - n_documents} with bytes\) of {n_documents} documents, [\d.]+kB"
    )
    assert re.search(expected, first)
    assert "a/1.json: shard 1 of 2" in second
    for one in (pair / "a" / "1.json", pair / "a" / "1.zarr"):
        assert rosetta_main("store", "check", one)[:2] == (0, f"{second}\n")


def test_the_example_of_the_specification_can_be_matched(tmp_path, monkeypatch, rosetta_main):
    parts = re.findall(r"```python\n(.*?)```", SPECIFICATION.read_text(), flags=re.DOTALL)
    subprocess.run([sys.executable, "-c", "\n".join(parts)], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    for command in re.findall(r"^rosetta (.*)$", SPECIFICATION.read_text(), flags=re.MULTILINE):
        assert rosetta_main(*command.split())[0] == 0
    matches = pd.read_parquet("matches.parquet")
    letter_a = matches["layer_a"] * 10 + matches["unit_a"]
    letter_b = 19 - (matches["layer_b"] * 5 + matches["unit_b"])
    assert sorted(letter_a) == list(range(20))
    assert letter_a.tolist() == letter_b.tolist()
    colours = pd.read_parquet("colours.parquet")
    assert [[2, 0, 1][unit] for unit in colours["unit_b"]] == colours["unit_a"].tolist()
    assert len(colours) == 3


def test_the_specification_names_every_variable_and_key(pair):
    image_store = save_image_stores(pair / "images", np.ones((1, 2, 4, 3), np.float32), (2, 2))[0]
    text = SPECIFICATION.read_text()
    rows = dict(re.findall(r"^\| `([\w/{}]+)` \| ([\w ]+) \|", text, flags=re.MULTILINE))
    for variables in VARIABLES.values():
        for name, variable in variables.items():
            if name != "activations":
                assert rows[name] == variable.dtypes[0]
    for path in (pair / "a" / "0.json", image_store.path.with_suffix(".json")):
        manifest = json.loads(path.read_text())
        for key in {*manifest, *(f"holds.{key}" for key in manifest["holds"])} - {"holds"}:
            assert f"`{key}`" in text
