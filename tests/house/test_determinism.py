"""How work is cut and shared changes no result."""

import re
import shutil

import pandas as pd
from workflow_runs import TINY, copy_project, jobs_of, run_snakemake

from rosetta.storage.manifests import read_manifest

PAIR = "pythia-m--opt-m"
RETRAINED = "opt-m"


def test_cores_shards_and_tiles_change_no_match(finished, tmp_path):
    """One core, three shards, two tiles, and a training made again, against two cores, two shards
    and one tile.
    """
    folder = copy_project(tmp_path / "p")
    for part in ("corpus", "tokenizers", "models"):
        shutil.copytree(finished / "results" / part, folder / "results" / part)
    shutil.copytree(
        finished / ".snakemake", folder / ".snakemake", ignore=shutil.ignore_patterns("log")
    )
    manifest = folder / "results" / "models" / f"{RETRAINED}.json"
    manifest.unlink()
    shutil.rmtree(manifest.with_suffix(""))
    config = {
        **TINY,
        "results": "results",
        "controls": {
            "permutation_seeds": [],
            "document_seeds": [],
            "untrained_seeds": [],
        },  # matches do not depend on them
        "activations": {**TINY["activations"], "n_shards": 3},
        "correlation": {**TINY["correlation"], "memory_gb": 0.6125},
    }
    matches = f"results/matches/{PAIR}.parquet"
    jobs = jobs_of(run_snakemake(folder, "--cores", "1", matches, config=config))
    assert jobs == {"train_and_profile": 2, "pair": 1}
    assert re.search(r"\b2 of 2 tile", (folder / "results/logs/pair" / f"{PAIR}.log").read_text())
    assert weights(folder) == weights(finished)
    found, expected = (pd.read_parquet(project / matches) for project in (folder, finished))
    keys = ["layer_a", "unit_a", "layer_b", "unit_b"]
    pd.testing.assert_frame_equal(found[keys], expected[keys])
    pd.testing.assert_series_equal(found["r"], expected["r"], atol=1e-6, rtol=0)


def weights(project):
    return read_manifest(project / "results" / "models" / f"{RETRAINED}.json", "model")["weights"]
