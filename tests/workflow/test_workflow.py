"""Reruns of the tiny preset: after edits and deletions, with annotations, and with own models."""

import json
import os
import shlex
import shutil

import pandas as pd
import pytest
from chat_server import Server
from helpers import save_tiny_model
from workflow_runs import (
    TINY,
    commands_of,
    copy_project,
    jobs_of,
    read_matches,
    run_jobs_here,
    run_snakemake,
)


@pytest.fixture
def project(finished, tmp_path):
    """A private copy of the finished project, times included."""
    shutil.copytree(finished, tmp_path / "p", symlinks=True)
    return tmp_path / "p"


def test_a_second_run_does_nothing(finished):
    assert jobs_of(run_snakemake(finished, "-n")) == {}


def test_a_deleted_result_is_made_again(project):
    results = project / "results"
    before = read_matches(project)
    for together in (
        # Files of rules none of which needs another's, so that each is made again for its own sake.
        {"figures/depth.pdf": "drawings", "viewer.html": "viewer"},
        {"tables/depth.csv": "tables", "filtering/sums/corpus.json": "filtering"},
        {"contexts/pythia-m.parquet": "train_and_profile", "tables/theory_beta.csv": "routes"},
        {"rosetta/pythia-m--opt-m.parquet": "pair", "tables/theory_exponents.csv": "simulations"},
        {"nulls/documents/pythia-s--qwen-s.parquet": "part_of_rung"},
        {"matches/pythia-m--opt-m.parquet": "pair"},
        {"report.html": "report"},
    ):
        for deleted in together:
            (results / deleted).rename(project / deleted.replace("/", "-"))
        jobs = jobs_of(run_snakemake(project, "-n"))
        assert all(jobs.get(rule) == 1 for rule in together.values()), jobs
        for deleted in together:
            (project / deleted.replace("/", "-")).rename(results / deleted)
    (results / "matches/pythia-m--opt-m.parquet").unlink()
    run_snakemake(project, "results/matches/pythia-m--opt-m.parquet")
    log = (results / "logs" / "pair" / "pythia-m--opt-m.log").read_text()
    assert "correlate pythia-m--opt-m 0: there already" in log
    assert "intervals pythia-m--opt-m: there already" in log
    assert "match pythia-m--opt-m: there already" not in log
    for name, table in read_matches(project).items():
        pd.testing.assert_frame_equal(table, before[name])


AFTER_MATCHES = {"pair", "part_of_rung", "groups", "tables", "drawings", "viewer", "filtering"}
AFTER_MATCHES |= {"over_training", "autoencoders", "effects"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"controls": {**TINY["controls"], "null_quantile": 0.8}},
            {"tables", "drawings", "simulations", "viewer", "report"},
        ),
        ({"matching": {**TINY["matching"], "k": 2}}, {*AFTER_MATCHES, "report"}),
        ({"report": {"n_matches": 2}}, {"report"}),
        ({"bootstrap": {"seed": 1}}, {"tables", "drawings", "report"}),
    ],
    ids=["quantile", "k", "report", "bootstrap"],
)
def test_an_edit_reruns_the_jobs_that_depend_on_it(project, change, expected):
    """Which of their pieces are computed is tested in tests/run/test_pieces.py."""
    config = {**TINY, "results": "results", **change}
    assert set(jobs_of(run_snakemake(project, "-n", config=config))) - {"all"} == expected
    if len(expected) > 1:
        return  # to run them takes as long as all the others together
    before = {p: p.stat().st_mtime_ns for p in (project / "results" / "models").rglob("*")}
    run_snakemake(project, config=config)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert jobs_of(run_snakemake(project, "-n", config=config)) == {}


def test_annotations_reach_the_viewer_and_are_asked_for_once(project, monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.setenv("TEST_KEY", "sk-secret")
    server = Server()
    endpoint = {
        "base_url": server.url,
        "model": "m",
        "api_key_variable": "TEST_KEY",
        "requests_per_minute": 6000.0,
    }
    config = {**TINY, "results": "results", "annotation": {**endpoint, "n_neurons": 2}}
    done = run_snakemake(project, config=config)
    assert set(jobs_of(done)) - {"all"} == {"annotate", "viewer", "report"}
    table = pd.read_parquet(project / "results" / "annotations" / "annotations.parquet")
    assert set(table["name"]) == {"rivers"}
    assert len(server.requests) == len(table)
    assert "rivers" in (project / "results" / "viewer.html").read_text()
    assert not any(
        "sk-secret" in path.read_text(errors="ignore")
        for path in project.rglob("*")
        if path.is_file()
    )
    again = {**config, "annotation": {**config["annotation"], "n_neurons": 3}}
    run_snakemake(project, "results/annotations/annotations.parquet", config=again)
    table = pd.read_parquet(project / "results" / "annotations" / "annotations.parquet")
    assert len(server.requests) == len(table), "what was known is not asked for again"
    server.close()


def write_corpus(path, word):
    lines = [
        json.dumps({"text": f"{word} {i} and {'more ' * (i % 5)}text {i * i}", "kind": f"k{i % 2}"})
        for i in range(200)
    ]
    path.write_text("\n".join(lines) + "\n")


def test_own_models_and_corpus_and_their_edits(tmp_path, texts):
    """Local model folders, an untrained twin, a local corpus: and an edit of a file in place is
    noticed, also of one that is older than what was made of the file before.
    """
    folder = copy_project(tmp_path / "my project")
    for seed, name in enumerate(["gpt2", "llama"]):
        save_tiny_model(folder / name, texts, name, seed=seed)
    write_corpus(folder / "corpus.jsonl", "first")
    config = {
        "results": "out/my results",
        "corpus": {
            "source": {"kind": "files", "path": "corpus.jsonl", "domain": "kind"},
            "splits": {"train": 0.0, "match": 1.0, "pool": 0.0, "heldout": 0.0},
            "min_document_bytes": 5,
        },
        "models": {
            "a": {"path": "gpt2"},
            "b0": {"untrained": {"of": "b", "seed": 7}},
            "b": {"path": "llama"},
        },
        "ladders": {"l": [["a", "b0"]]},
        "activations": {"sequence_length": 16, "n_shards": 1},
        "controls": {"permutation_seeds": [0], "document_seeds": [], "untrained_seeds": []},
        "theory": TINY["theory"],
        "sweeps": {"budgets": False, "split_half": False},
    }
    planned = run_snakemake(folder, "-n", "-p", config=config)
    assert len(jobs_of(planned)) > 15
    words = [word for command in commands_of(planned) for word in shlex.split(command)]
    assert not {"out/my", "my"} & set(words), "every rule quotes the space"
    assert not any(word.startswith("results/") for word in words)
    counts = "out/my results/tables/counts.csv"
    run_snakemake(folder, "out/my results/corpus/manifest.json")  # which writes down what it reads
    run_jobs_here(folder, counts)
    results = folder / "out" / "my results"
    before = pd.read_csv(results / "tables" / "counts.csv")
    assert before["ladder"].tolist() == ["l"]
    assert before["n_neurons"].tolist() == [48]
    assert jobs_of(run_snakemake(folder, "-n", counts)) == {}
    save_tiny_model(folder / "llama", texts, "llama", seed=9)
    jobs = jobs_of(run_snakemake(folder, "-n"))
    assert jobs["activations"] >= 1
    assert "corpus" not in jobs
    for path in (folder / "llama").iterdir():
        os.utime(path, (1e9, 1e9))
    assert jobs_of(run_snakemake(folder, "-n")) == jobs, (
        jobs,
        "the replaced model has an old time",
    )
    write_corpus(folder / "corpus.jsonl", "second")
    assert jobs_of(run_snakemake(folder, "-n"))["corpus"] == 1
    os.utime(folder / "corpus.jsonl", (1e9, 1e9))
    assert jobs_of(run_snakemake(folder, "-n"))["corpus"] == 1
