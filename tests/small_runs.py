"""A small run, made by the commands without Snakemake: two tiny models from text to matches."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from commands import run_here
from helpers import save_tiny_model

from rosetta.analysis.counts import COUNT_COLUMNS
from rosetta.analysis.verdicts import FINDING_COLUMNS
from rosetta.run.paths import Paths
from rosetta.storage.tables import write_csv

PAIR = "first--second"
MODELS = {"first": "gpt2", "second": "llama"}
CONFIG = {
    "results": "results",
    "corpus": {
        "source": {"kind": "files", "path": "texts.jsonl", "text": "text", "domain": "domain"},
        "splits": {"train": 0.0, "match": 1.0, "pool": 0.0, "heldout": 0.0},
        "min_document_bytes": 8,
    },
    "models": {name: {"path": name} for name in MODELS},
    "ladders": {"both": [list(MODELS)]},
    "activations": {"n_shards": 2, "sequence_length": 32, "dtype": "float32"},
    "correlation": {"max_k": 3, "precision": "float64"},
}


def make_small_run(folder: Path, texts: list[str], changes: dict | None = None) -> Path:
    """Make the run in a folder, which becomes its project's, and return its results folder.

    Sections of `changes` are merged into those of the configuration.
    """
    config = {**CONFIG}
    for name, section in (changes or {}).items():
        config[name] = {**config.get(name, {}), **section}
    for seed, (name, architecture) in enumerate(MODELS.items()):
        save_tiny_model(folder / name, texts, architecture, seed=seed, bos=name == "second")
    rows = [
        json.dumps({"text": text, "domain": f"d{number % 3}"}) for number, text in enumerate(texts)
    ]
    (folder / "texts.jsonl").write_text("\n".join(rows))
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    run_config = "results/run_config.yaml"
    _run(folder, "check", "--configfile", "config.yaml", "--out", run_config)
    of_run = ("--config", run_config)
    _run(folder, "corpus", *of_run)
    for name in MODELS:
        of_model = (*of_run, "--model", name)
        _run(folder, "model", *of_model)
        for shard in range(2):
            _run(folder, "activations", *of_model, "--shard", shard, "--threads", 1)
        _run(folder, "vocabulary", *of_model)
        _run(folder, "neurons", *of_model)
    _match(folder)
    _tables(Paths(folder / "results"), folder)
    return folder / "results"


def _match(folder: Path) -> None:
    a, b = (f"results/activations/{name}/2-shards" for name in MODELS)
    lists, matches = f"results/neighbors/{PAIR}/0-of-1.parquet", f"results/matches/{PAIR}.parquet"
    _run(
        folder,
        "correlate",
        "--a",
        a,
        "--b",
        b,
        "--out",
        lists,
        "--max-k",
        3,
        "--precision",
        "float64",
    )
    _run(folder, "match", lists, "--out", matches)
    _run(folder, "anchors", matches, "--out", f"results/rosetta/{PAIR}.parquet")


def _tables(paths: Paths, folder: Path) -> None:
    """Write tables of a larger study: counts of three sizes, their fits, and a finding."""
    sizes = np.array([256, 512, 1024])
    counts = pd.DataFrame({"ladder": "both", "rung": range(3), "models": PAIR, "families": PAIR})
    counts["n_neurons"] = sizes
    for name, divisor in (("matches", 4), ("matches_ci_low", 5), ("matches_ci_high", 3)):
        counts[name] = sizes // divisor
    write_csv(paths.table("counts"), counts.reindex(columns=COUNT_COLUMNS))
    fitted = (
        "--out",
        "results/tables/scaling.csv",
        "--pooled",
        "results/tables/scaling_pooled.csv",
    )
    _run(folder, "fit", "results/tables/counts.csv", *fitted)
    finding = {"ladder": "both", "finding": "growth", "statistic": "plain", "verdict": "supported"}
    write_csv(paths.table("findings"), pd.DataFrame([finding]).reindex(columns=FINDING_COLUMNS))


def _run(folder: Path, *arguments: object) -> None:
    done = run_here(*arguments, folder=folder)
    assert done.code == 0, done
