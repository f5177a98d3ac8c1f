"""The main job on models that see images: from nothing to the report."""

import re

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from workflow_runs import VISION, copy_project, jobs_of, run_snakemake

from rosetta.activations.folders import open_stores
from rosetta.activations.image_capture import show_images
from rosetta.activations.steps import store_check_step
from rosetta.config import parse_config
from rosetta.inputs.images.image_sets import ImageSet
from rosetta.models.image_models import load_image_model
from rosetta.models.sources import ModelSource
from rosetta.run.paths import Paths

CONFIG = parse_config({**VISION, "results": "results"})


@pytest.fixture(scope="module")
def run(tmp_path_factory, worker_id):
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "images_finished"
    with FileLock(f"{folder}.lock"):
        if not (folder / "p" / "done").exists():
            folder.mkdir(exist_ok=True)
            project = copy_project(folder / "p")
            done = run_snakemake(project, config={**VISION, "results": "results"})
            assert jobs_of(done)["train_and_capture"] == 7
            (project / "done").touch()
    return folder / "p"


@pytest.fixture(scope="module")
def paths(run):
    return Paths(run / "results")


def test_a_finished_run_has_nothing_left_to_do(run):
    again = run_snakemake(run, "-n")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_every_rung_is_counted_on_the_cells_of_its_images(paths):
    counts = pd.read_csv(paths.table("counts")).set_index(["ladder", "rung"])
    assert set(counts["modality"]) == {"images"}
    n_generated = VISION["images"]["generated"]["n_images"]
    n_drawn = ImageSet(paths.image_set("match")).n_images
    for ladder, rungs in CONFIG.ladders.items():
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
    checked = [
        line
        for folder in sorted((paths.root / "activations").glob("*/2-shards"))
        for line in store_check_step(folder)
    ]
    assert len(checked) == 2 * (len(CONFIG.stores()) + 2 * (7 + 2))


def test_the_report_shows_images_and_says_nothing_of_texts(paths):
    page = paths.report.read_text()
    assert page.count('alt="Best matches of ') == 4, "of the last rungs"
    assert '<a href="contact_sheets/vit-s--mae-s.png">' in page, "smaller models are linked"
    assert re.search(r"on the same images are each other", page)
    assert "The analytical model" not in page
    assert "Documents left out" not in page
    judged = pd.read_csv(paths.table("generated_images"))
    assert judged["generator"].tolist() == ["pmf-s", "pmf-m"]
    assert not paths.viewer.exists()


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
    assert set(pd.read_csv(paths.table("findings"))["finding"]) == {
        "count sublinear",
        "share falling",
        "monosemanticity",
    }
