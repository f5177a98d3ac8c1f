"""How work is cut and shared changes no result."""

import re
import shutil

import numpy as np
import pandas as pd
import yaml
from mixed_config import MIXED
from workflow_runs import TINY, copy_project, jobs_of, run_of, run_snakemake

from rosetta.inputs.images.image_sets import ImageSet
from rosetta.run.paths import Paths
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
        "sae": None,
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
    assert re.search(r"\b2 of 2 pass", (folder / "results/logs/pair" / f"{PAIR}.log").read_text())
    assert weights(folder) == weights(finished)
    found, expected = (pd.read_parquet(project / matches) for project in (folder, finished))
    keys = ["layer_a", "unit_a", "layer_b", "unit_b"]
    pd.testing.assert_frame_equal(found[keys], expected[keys])
    pd.testing.assert_series_equal(found["r"], expected["r"], atol=1e-6, rtol=0)


def weights(project):
    return read_manifest(project / "results" / "models" / f"{RETRAINED}.json", "model")["weights"]


GENERATED = "pmf-s--vit-s"


def test_shards_change_no_generated_image_and_no_match(mixed, tmp_path):
    """Three shards against two."""
    results = tmp_path / "results"
    for part in ("images", "models"):
        shutil.copytree(mixed / "results" / part, results / part)
    config = {**MIXED, "activations": {**MIXED["activations"], "n_shards": 3}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    for name in ("pmf-s", "vit-s@pmf-s"):
        for shard in range(3):
            of_shard = ("--model", name, "--shard", shard)
            run_of(tmp_path, "activations", "--config", "run.yaml", *of_shard)
    a, b = (f"results/activations/{name}/3-shards" for name in ("pmf-s", "vit-s@pmf-s"))
    as_in_the_run = ("--precision", MIXED["correlation"]["precision"])
    run_of(tmp_path, "match", "--a", a, "--b", b, "--out", "matches.parquet", *as_in_the_run)
    ids, pixels = made(results, 3)
    expected_ids, expected_pixels = made(mixed / "results", 2)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_array_equal(pixels, expected_pixels)
    found = pd.read_parquet(tmp_path / "matches.parquet")
    expected = pd.read_parquet(Paths(mixed / "results").matches(GENERATED))
    keys = ["layer_a", "unit_a", "layer_b", "unit_b"]
    pd.testing.assert_frame_equal(found[keys], expected[keys])
    pd.testing.assert_series_equal(found["r"], expected["r"], atol=1e-6, rtol=0)


def made(results, n_shards):
    """Return the ids and pixels of the images of a generator, in their order."""
    sets = [ImageSet(Paths(results).generated("pmf-s", n_shards, i)) for i in range(n_shards)]
    ids = np.concatenate([one.table["id"] for one in sets])
    return ids, np.concatenate([one.pixels(0, one.n_images) for one in sets])
