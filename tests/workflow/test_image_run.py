"""The main job on models that see images, beside a ladder of language models: from nothing to the
report.
"""

import re
import shutil
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import yaml
from mixed_config import IMAGE_LADDERS, MIXED
from workflow_runs import copy_project, jobs_of, run_jobs_here, run_of, run_snakemake

from rosetta.activations.folders import open_stores
from rosetta.activations.image_capture import show_images
from rosetta.activations.steps import store_check_step
from rosetta.config import parse_config
from rosetta.inputs.images.image_sets import ImageSet
from rosetta.models.image_models import load_image_model
from rosetta.models.sources import ModelSource
from rosetta.run.paths import Paths

CONFIG = parse_config(MIXED)
RUN_CONFIG = "results/run_config.yaml"
PAIR = "pmf-s--vit-s"


@pytest.fixture(scope="module")
def paths(mixed):
    return Paths(mixed / "results")


def test_the_workflow_does_what_the_commands_of_its_jobs_did(mixed, tmp_path):
    """Snakemake finds nothing to do in their run; from nothing, it makes the same files."""
    again = run_snakemake(mixed, "-n")
    assert "Nothing to be done" in again.stdout + again.stderr
    folder, matches = copy_project(tmp_path / "p"), f"results/matches/{PAIR}.parquet"
    alone = {**MIXED, "ladders": {"pmf-vit": [PAIR.split("--")]}}
    done = run_snakemake(folder, "--cores", "1", matches, config=alone)
    assert jobs_of(done) == {
        "images": 1,
        "train_and_capture": 2,
        "image_profiles": 1,
        "image_pair": 1,
    }
    for name in (matches, f"results/contact_sheets/{PAIR}.png", "results/images/match.json"):
        assert (folder / name).read_bytes() == (mixed / name).read_bytes(), name


def test_every_rung_is_counted_on_the_cells_of_its_images(paths):
    counts = pd.read_csv(paths.table("counts")).set_index(["ladder", "rung"])
    assert counts.loc["pythia-opt", "modality"].tolist() == ["text"]
    assert set(counts.drop("pythia-opt")["modality"]) == {"images"}
    n_generated = MIXED["images"]["generated"]["n_images"]
    n_drawn = ImageSet(paths.image_set("match")).n_images
    for ladder, rungs in IMAGE_LADDERS.items():
        for rung in range(len(rungs)):
            n_images = n_drawn if ladder == "vit-mae" else n_generated
            assert counts.loc[(ladder, rung), "n_positions"] == 16 * n_images  # of 4 × 4 cells


def activations(folder):
    """All activations of stores, float64 (n_positions, n_neurons)."""
    parts = []
    for store in open_stores(folder):
        for _, layers in store.chunks(0, store.n_layers * store.d_mlp):
            parts.append(np.concatenate([values.double().numpy() for _, values in layers], axis=1))
    return np.concatenate(parts)


@pytest.mark.parametrize("pair", ["pmf-m--vit-m", "vit-m--mae-m", "pmf-s~2--vit-s"])
def test_matches_are_those_of_plain_correlation(paths, pair):
    a, b = (activations(paths.stores(name, 2)) for name in CONFIG.stores_of(pair))
    a, b = ((side - side.mean(0)) / side.std(0).clip(1e-300) for side in (a, b))
    r = a.T @ b / len(a)
    nearest = {(i, j) for i, j in enumerate(r.argmax(1)) if r[:, j].argmax() == i and r[i, j] > 0}
    found = pd.read_parquet(paths.matches(pair))
    d_mlp = CONFIG.zoo.sizes[CONFIG.entry(pair.split("--")[0]).zoo.size].d_mlp
    matched = zip(
        found["layer_a"] * d_mlp + found["unit_a"],
        found["layer_b"] * d_mlp + found["unit_b"],
        strict=True,
    )
    assert set(matched) == nearest
    assert set(found["model_b"]) == {pair.split("--")[1]}


def test_a_model_is_shown_the_images_that_its_generator_made(paths):
    model = load_image_model(ModelSource("vit-s", str(paths.model("vit-s"))))
    for shard in range(2):
        made = ImageSet(paths.generated("pmf-s", 2, shard))
        shown = next(show_images(model, [made.pixels(0, made.n_images)]))
        store = open_stores(paths.stores("vit-s@pmf-s", 2))[shard]
        stored = store.activations(0, slice(None), slice(None)).float()
        np.testing.assert_allclose(stored, shown[0], rtol=2e-3, atol=1e-4)
        assert store.read("image_ids").tolist() == made.table["id"].tolist()
        generator = open_stores(paths.stores("pmf-s", 2))[shard]
        assert generator.read("image_ids").tolist() == made.table["id"].tolist()


def test_a_generator_makes_its_classes_in_turn(paths):
    tables = [ImageSet(paths.generated("pmf-m", 2, shard)).table for shard in range(2)]
    labels = pd.concat(tables)["label"].to_numpy()
    n_classes = len(ImageSet(paths.image_set("train")).manifest["facts"]["classes"])
    assert labels.tolist() == [i % n_classes for i in range(len(labels))]


def test_all_stores_are_as_specified(paths):
    folders = sorted((paths.root / "activations").glob("*/2-shards"))
    twins = [name for model in CONFIG.used_models() for name in CONFIG.twin_stores(model)]
    assert {folder.parent.name for folder in folders} == {*CONFIG.stores(), *twins}
    for folder in folders:
        assert len(list(store_check_step(folder))) == 2


SHEET = "images and the maps of both neurons"
OF_TEXT = ("The analytical model", "Documents left out")


def test_the_report_shows_images_and_texts(paths):
    page = paths.report.read_text()
    assert page.count(SHEET) == len(CONFIG.pairs("images")) == 4
    assert all(words in page for words in OF_TEXT)
    judged = pd.read_csv(paths.table("generated_images"))
    assert judged["generator"].tolist() == ["pmf-s", "pmf-m"]


def test_a_report_on_images_says_nothing_of_texts(mixed, tmp_path):
    shutil.copytree(mixed, tmp_path / "p", symlinks=True)
    images = {**MIXED, "ladders": IMAGE_LADDERS}
    (tmp_path / "p" / RUN_CONFIG).unlink()
    (tmp_path / "p" / "images.yaml").write_text(yaml.safe_dump(images))
    run_of(tmp_path / "p", "check", "--configfile", "images.yaml", "--out", RUN_CONFIG)
    for command in (["job", "tables"], ["report"]):
        run_of(tmp_path / "p", *command, "--config", RUN_CONFIG)
    page = Paths(tmp_path / "p" / "results").report.read_text()
    assert re.search(r"on the same images are each other", page)
    assert page.count(SHEET) == 4
    assert not any(words in page for words in OF_TEXT)


def test_the_theory_takes_no_images_and_the_viewer_both(paths):
    for table in ("theory_beta", "theory_vs_measured", "theory_predictions"):
        assert set(pd.read_csv(paths.table(table))["ladder"]) == {"pythia-opt"}
    viewer = paths.viewer.read_text()
    assert "pythia-t" in viewer
    assert '"vit-s@pmf-s"' in viewer


def test_neurons_are_told_by_the_images_that_fire_them_most(paths):
    top = pd.read_parquet(
        paths.top_images("vit-m"), columns=["stores", "layer", "unit", "rank", "image"]
    )
    first = top[top["rank"] == 1]
    assert set(first["stores"]) == {"vit-m", "vit-m@pmf-m"}
    size = CONFIG.zoo.sizes["m"]
    n_neurons, d_mlp = size.n_layers * size.d_mlp, size.d_mlp
    for store, part in first.groupby("stores"):
        mean = activations(paths.stores(store, 2)).reshape(-1, 16, n_neurons).mean(1)
        unit = part["layer"] * d_mlp + part["unit"]
        highest = mean[part["image"], unit]
        np.testing.assert_allclose(highest, mean.max(0)[unit], rtol=1e-5, atol=1e-6)


def test_neurons_on_images_are_compared_by_size(paths):
    means = pd.read_csv(paths.table("polarization")).set_index(["ladder", "statistic"])["mean"]
    assert means["pmf-vit", "monosemanticity"].notna().any(), "another model tells it"
    assert means["vit-mae", "explained_variance"].notna().any(), "of drawn images"
    assert means["pmf-vit", "explained_variance"].isna().all(), "not of generated ones"
    findings = pd.read_csv(paths.table("findings")).set_index("ladder")["finding"]
    assert set(findings[list(IMAGE_LADDERS)]) == {
        "count sublinear",
        "share falling",
        "monosemanticity",
    }


@pytest.mark.parametrize("keep", ["temporary", False])
def test_stores_that_are_deleted_or_never_written_are_not_missed(paths, tmp_path, keep):
    """The matches of one pair, and of its twins, are those of stores that are kept. Only Snakemake
    deletes; what is never written needs no process of its own.
    """
    project, pair = copy_project(tmp_path / "p"), "pmf-s--vit-s"
    content = {
        **deepcopy(MIXED),
        "models": {name: MIXED["models"][name] for name in pair.split("--")},
        "ladders": {"pmf-vit": [pair.split("--")]},
        "activations": {**MIXED["activations"], "n_shards": 1, "keep": keep},
        "controls": {"permutation_seeds": [], "document_seeds": [], "untrained_seeds": [0]},
        "sweeps": {},
        "results": "results",
    }
    content["zoo"]["sizes"]["s"]["replicates"] = 1
    targets = (f"results/matches/{pair}.parquet", f"results/nulls/untrained/{pair}.parquet")
    run = run_snakemake if keep == "temporary" else run_jobs_here
    jobs = jobs_of(run(project, *targets, config=content))
    assert (jobs["generate"], jobs["activations"], jobs["image_twins"]) == (1, 1, 2)
    deleted = Paths(project / "results")
    manifests = sorted(deleted.root.glob("activations/*/1-shards/0.json"))
    assert [path.parts[-3] for path in manifests] == [
        "pmf-s",
        "pmf-s~untrained-0",
        "vit-s@pmf-s",
        "vit-s~untrained-0@pmf-s",
    ]
    assert not list(deleted.root.glob("activations/**/*.zarr"))
    columns = ["layer_a", "unit_a", "layer_b", "unit_b", "r"]
    close = {"rtol": 0, "atol": 1e-6}  # on several cores, captures round otherwise
    found, kept = (pd.read_parquet(one.matches(pair), columns=columns) for one in (deleted, paths))
    pd.testing.assert_frame_equal(found, kept, **close)
    found, kept = (pd.read_parquet(one.null_matches("untrained", pair)) for one in (deleted, paths))
    pd.testing.assert_frame_equal(found, kept[kept["seed"] == 0].reset_index(drop=True), **close)
    again = run_snakemake(project, "-n", *targets)
    assert "Nothing to be done" in again.stdout + again.stderr
