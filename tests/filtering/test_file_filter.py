"""`rosetta filter` as a user types it: any pool, restarts, and mistakes told before any work."""

import json
import shutil
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from helpers import save_tiny_model

from rosetta import cli
from rosetta.filtering.document_scores import Scorer


@pytest.fixture(scope="module")
def model(tmp_path_factory, texts):
    return save_tiny_model(tmp_path_factory.mktemp("model") / "m", texts, "gpt_neox")


def write_pool(path, texts, column="text"):
    records = [
        {column: text, "meta": {"lang": "js" if i % 2 else "py"}} for i, text in enumerate(texts)
    ]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
        return path
    data = "".join(json.dumps(record) + "\n" for record in records)
    if path.suffix == ".zst":
        with pa.OSFile(str(path), "wb") as file, pa.CompressedOutputStream(file, "zstd") as stream:
            stream.write(data.encode())
    else:
        path.write_text(data)
    return path


def run(monkeypatch, capsys, model, pool, out, *options):
    """Run the command; return its exit code and what it printed."""
    arguments = [
        "--model",
        str(model),
        "--neuron",
        "L1/U3",
        "--pool",
        str(pool),
        "--out",
        str(out),
        *map(str, options),
    ]
    monkeypatch.setattr(sys, "argv", ["rosetta", "filter", *arguments])
    try:
        cli.main()
        code = 0
    except SystemExit as done:
        code = done.code or 0
    return code, capsys.readouterr().err


@pytest.mark.parametrize("name", ["pool.jsonl", "pool.jsonl.zst", "pool.parquet"])
def test_a_pool_of_any_kind_becomes_a_corpus(monkeypatch, capsys, tmp_path, model, texts, name):
    pool = write_pool(tmp_path / name, texts)
    options = ["--budget-tokens", 900, "--domain-column", "meta.lang", "--shard-mb", 0.01]
    code, printed = run(monkeypatch, capsys, model, pool, tmp_path / "out", *options)
    assert code == 0, printed
    opened = load_dataset(
        str(tmp_path / "out" / "corpus"), split="train", cache_dir=str(tmp_path / "c")
    ).to_pandas()
    scores = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    assert len(scores) == len(set(texts))
    best = scores.sort_values(["neuron", "id"], ascending=[False, True])
    n = int(np.searchsorted(best["tokens"].cumsum(), 900)) + 1
    assert {int(i, 16) for i in opened["id"]} == set(best["id"][:n])
    assert set(opened["source"]) == {name}
    assert set(opened["domain"]) <= {"js", "py"}
    card = (tmp_path / "out" / "corpus" / "README.md").read_text()
    assert "L1/U3 of" in card
    assert f"{len(opened):,} documents" in card
    assert "until they held 900 tokens" in card


def test_finished_shards_are_not_scored_again(monkeypatch, capsys, tmp_path, model, texts):
    pool = write_pool(tmp_path / "pool.jsonl", texts)
    options = ["--count", 20, "--shard-mb", 0.002]
    real, scored = Scorer.score, []

    def killed(self, documents):
        scored.append(len(documents))
        if len(scored) == 3:
            raise RuntimeError("killed")
        return real(self, documents)

    monkeypatch.setattr(Scorer, "score", killed)
    with pytest.raises(RuntimeError, match="killed"):
        run(monkeypatch, capsys, model, pool, tmp_path / "out", *options)
    n_shards = len(list((tmp_path / "out" / "pool").iterdir()))
    assert n_shards > 4
    scored.clear()
    monkeypatch.setattr(
        Scorer,
        "score",
        lambda self, documents: scored.append(len(documents)) or real(self, documents),
    )
    code, printed = run(monkeypatch, capsys, model, pool, tmp_path / "out", *options)
    assert code == 0
    assert f"2 of {n_shards} shards are scored" in printed
    assert len(scored) == n_shards - 2
    monkeypatch.setattr(Scorer, "score", real)
    run(monkeypatch, capsys, model, pool, tmp_path / "whole", *options)
    a, b = (pd.read_parquet(tmp_path / name / "scores.parquet") for name in ("out", "whole"))
    pd.testing.assert_frame_equal(a, b, check_exact=True)
    # Another amount needs no score; another neuron or another pool needs all of them.
    _, printed = run(
        monkeypatch, capsys, model, pool, tmp_path / "out", "--percentile", 90, *options[2:]
    )
    assert f"{n_shards} of {n_shards} shards are scored" in printed
    _, printed = run(
        monkeypatch, capsys, model, pool, tmp_path / "out", *options, "--neuron", "L0/U0"
    )
    assert f"0 of {n_shards} shards are scored" in printed
    write_pool(pool, texts[:-1])
    _, printed = run(monkeypatch, capsys, model, pool, tmp_path / "out", *options)
    assert "0 of" in printed


BUDGET = ["--budget-tokens", 10]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            [*BUDGET, "--neuron", "L2/U0"],
            r"--neuron: L2/U0 is not in the model, whose 2 layers of 24 units",
        ),
        ([*BUDGET, "--neuron", "bad"], "--neuron: 'bad' is not a neuron"),
        ([*BUDGET, "--text-column", "body"], "--text-column: no column 'body' in record 0"),
        ([*BUDGET, "--domain-column", "lang"], "--domain-column: no column 'lang'"),
        ([*BUDGET, "--pool", "/nowhere"], "--pool: /nowhere does not exist"),
        ([*BUDGET, "--model", "/tmp"], "--model: /tmp has no config.json"),
        ([*BUDGET, "--model", "/nowhere/m"], "--model: /nowhere/m is not a folder"),
        ([*BUDGET, "--model", "./m"], "--model: m is not a folder"),
        ([*BUDGET, "--model", "results/models/m"], "--model: results/models/m is not a folder"),
        ([*BUDGET, "--dtype", "int8"], "--dtype: 'int8' is not"),
        ([*BUDGET, "--score", "sum"], "--score: input should be"),
        ([*BUDGET, "--count", 3], "give at most one of budget_tokens, count, percentile"),
        (
            [*BUDGET, "--sequence-length", 64],
            "--sequence-length: the model reads 32 tokens; lower 64",
        ),
        ([], "--budget-tokens, --count, --percentile: give one of them"),
        (["--budget-tokens", 10**9], "--budget-tokens: 1,000,000,000 is more than the pool's "),
        (["--count", 1000], "--count: 1,000 is more than the pool's 300"),
    ],
)
def test_mistakes_are_told_before_anything_is_scored(
    monkeypatch, capsys, tmp_path, model, texts, options, message
):
    monkeypatch.setattr(Scorer, "score", lambda *_: pytest.fail("scored"))
    pool = write_pool(tmp_path / "pool.jsonl", texts)
    code, printed = run(monkeypatch, capsys, model, pool, tmp_path / "out", *options)
    assert code == 2
    assert message in " ".join(printed.split())


@pytest.mark.parametrize("content", [[], ["  ", ""]])
def test_an_empty_pool_is_rejected(monkeypatch, capsys, tmp_path, model, content):
    pool = write_pool(tmp_path / "pool.jsonl", content)
    code, printed = run(monkeypatch, capsys, model, pool, tmp_path / "out", *BUDGET)
    assert code == 2
    assert "holds no document with text" in printed


def test_a_budget_that_only_the_scores_show_to_be_too_large(
    monkeypatch, capsys, tmp_path, model, texts
):
    pool = write_pool(tmp_path / "pool.jsonl", texts)
    run(monkeypatch, capsys, model, pool, tmp_path / "out", "--count", 1)
    n_tokens = pd.read_parquet(tmp_path / "out" / "scores.parquet")["tokens"].sum()
    assert n_tokens < sum(len(text.encode()) for text in set(texts)), (
        "or the early check would tell"
    )
    code, printed = run(
        monkeypatch, capsys, model, pool, tmp_path / "out", "--budget-tokens", n_tokens + 1
    )
    assert code == 2
    assert f"--budget-tokens: {n_tokens + 1:,} is more than the pool's {n_tokens:,}" in printed
    code, _ = run(monkeypatch, capsys, model, pool, tmp_path / "out", "--budget-tokens", n_tokens)
    assert code == 0


def test_a_gate_that_nothing_passes_is_told(monkeypatch, capsys, tmp_path, model, texts):
    pool = write_pool(tmp_path / "pool.jsonl", texts[:1])
    code, printed = run(monkeypatch, capsys, model, pool, tmp_path / "out", "--percentile", 50)
    assert code == 2
    assert "--percentile: no document's score exceeds it" in printed


@pytest.mark.parametrize("name", ["pool", "scores", "corpus", "notes", ".git"])
def test_a_folder_of_other_files_is_rejected(monkeypatch, capsys, tmp_path, model, texts, name):
    pool = write_pool(tmp_path / "pool.jsonl", texts)
    mine = tmp_path / "out" / name / "0.parquet"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    code, printed = run(monkeypatch, capsys, model, pool, tmp_path / "out", "--count", 1)
    assert code == 2
    assert f"{name} is not from this command" in " ".join(printed.split())
    assert mine.read_text() == "mine"
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [mine]


@pytest.mark.parametrize(
    ("pool", "out"), [("pool", "."), ("pool", "pool"), ("pool", "pool/out"), ("corpus", ".")]
)
def test_a_pool_is_not_written_into_nor_over(
    monkeypatch, capsys, tmp_path, model, texts, pool, out
):
    (tmp_path / pool).mkdir()
    file = write_pool(tmp_path / pool / "a.jsonl", texts)
    before = file.read_bytes()
    code, printed = run(monkeypatch, capsys, model, tmp_path / pool, tmp_path / out, "--count", 1)
    assert code == 2
    assert "overlap. Give a folder outside the pool" in " ".join(printed.split())
    assert file.read_bytes() == before


def test_out_that_is_a_file_is_rejected(monkeypatch, capsys, tmp_path, model, texts):
    pool = write_pool(tmp_path / "pool.jsonl", texts)
    (tmp_path / "out").write_text("")
    code, printed = run(monkeypatch, capsys, model, pool, tmp_path / "out", "--count", 1)
    assert code == 2
    assert "is a file. Give a folder" in " ".join(printed.split())


def test_a_source_is_a_files_path_in_the_pool(monkeypatch, capsys, tmp_path, model, texts):
    for name, part in (("a", texts[:5]), ("b", texts[5:9])):
        (tmp_path / "pool" / name).mkdir(parents=True)
        write_pool(tmp_path / "pool" / name / "part.jsonl", part)
    (tmp_path / "pool" / "notes.txt").write_text("no records")
    code, printed = run(
        monkeypatch,
        capsys,
        model,
        tmp_path / "pool",
        tmp_path / "out",
        "--count",
        len(set(texts[:9])),
    )
    assert code == 0, printed
    (data,) = (tmp_path / "out" / "corpus").glob("*.parquet")
    assert set(pd.read_parquet(data)["source"]) == {"a/part.jsonl", "b/part.jsonl"}
    assert "--pool: not read in" in printed
    assert json.loads((tmp_path / "out" / "pool.json").read_text())["left_out"] == ["notes.txt"]


def test_another_tokenizer_makes_other_scores_and_the_manifest_says_what_made_the_corpus(
    monkeypatch, capsys, tmp_path, model, texts
):
    pool, copied = write_pool(tmp_path / "pool.jsonl", texts[:9]), tmp_path / "model"
    shutil.copytree(model, copied)
    run(monkeypatch, capsys, copied, pool, tmp_path / "out", "--count", 2)
    made_by = json.loads((tmp_path / "out" / "corpus.json").read_text())["made_by"]
    assert made_by["model"] == str(copied)
    assert made_by["scoring"]["score"] == "mean"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(made_by["files"])
    (copied / "tokenizer.json").write_text((copied / "tokenizer.json").read_text() + "\n")
    _, printed = run(monkeypatch, capsys, copied, pool, tmp_path / "out", "--count", 2)
    assert "0 of 1 shards are scored" in printed
