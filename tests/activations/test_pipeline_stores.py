"""A run's steps on generators that are pipelines of diffusers: from folders to matches."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from commands import assert_rejected, run_here

pytest.importorskip("diffusers", reason="needs the extra diffusion")

from tiny_pipelines import save_pipeline
from transformers import ViTConfig, ViTModel

from rosetta.activations.folders import open_stores
from rosetta.activations.image_capture import show_images
from rosetta.activations.steps import twins_step
from rosetta.config import load_config
from rosetta.inputs.images.image_sets import ImageSet
from rosetta.models.generators import generate_shard, load_generator
from rosetta.models.image_models import load_image_model
from rosetta.models.sources import model_source
from rosetta.run.paths import Paths
from rosetta.storage.digests import hash64
from rosetta.storage.manifests import read_manifest

NAMES = ["red fox", "owl", "cup of tea"]
PIPELINES = {
    "dit": ("DiTPipeline", {"steps": 2, "guidance": 3.0}),
    "klein": (
        "Flux2KleinPipeline",
        {"steps": 2, "captured_step": "first", "size": 16, "class_names": NAMES},
    ),
}
N_IMAGES = 10


def config_of(**changes):
    made = {"modality": "images", "generator": True}
    models = {
        name: {"path": name, **made, "pipeline": pipeline}
        for name, (_, pipeline) in PIPELINES.items()
    }
    return {
        "results": "results",
        "images": {"generated": {"n_images": N_IMAGES, "seed": 3}},
        "models": {**models, "vit": {"path": "vit", "modality": "images"}},
        "ladders": {f"{name}-vit": [[name, "vit"]] for name in PIPELINES},
        "max_scale_ratio": 20.0,
        "activations": {"n_shards": 2, "batch_size": 4, "dtype": "float32"},
        "correlation": {"max_k": 3, "precision": "float64"},
        "controls": {"untrained_seeds": [0]},
        **changes,
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder in which models were checked and captured, as the rules do it."""
    folder = tmp_path_factory.mktemp("run")
    for name, (kind, _) in PIPELINES.items():
        save_pipeline(folder / name, kind)
    torch.manual_seed(0)
    heads = {"num_hidden_layers": 2, "num_attention_heads": 2}
    sizes = {"hidden_size": 16, "intermediate_size": 24, "image_size": 16, "patch_size": 4}
    ViTModel(ViTConfig(**heads, **sizes)).save_pretrained(folder / "vit")
    (folder / "config.yaml").write_text(yaml.safe_dump(config_of()))
    run(folder, "check", "--configfile", "config.yaml", "--out", "results/run_config.yaml")
    for name in (*PIPELINES, "vit"):
        run(folder, "model", *of_run(name))
    for generator in PIPELINES:
        for name in (generator, f"vit@{generator}"):
            for shard in range(2):
                run(folder, "activations", *of_run(name), "--shard", shard)
    for name in (*PIPELINES, "vit"):
        run(folder, "captured", *of_run(name))
    return folder


def of_run(model):
    return "--config", "results/run_config.yaml", "--model", model


def run(folder, *arguments):
    done = run_here(*arguments, folder=folder)
    assert done.code == 0, done.err


@pytest.fixture
def paths(project, monkeypatch):
    monkeypatch.chdir(project)
    return Paths(project / "results")


def made_of(paths, name):
    """The images of a generator, and their table, of both shards."""
    sets = [ImageSet(paths.generated(name, 2, shard)) for shard in range(2)]
    pixels = np.concatenate([one.pixels(0, one.n_images) for one in sets])
    return pixels, pd.concat([one.table for one in sets], ignore_index=True), sets


def stored(paths, name):
    """Activations of both shards, (n_layers, n_positions, d_mlp)."""
    every = slice(None)
    return np.concatenate(
        [
            np.stack([store.activations(layer, every, every) for layer in range(store.n_layers)])
            for store in open_stores(paths.stores(name, 2))
        ],
        axis=1,
    )


@pytest.mark.parametrize("name", PIPELINES)
def test_images_and_activations_are_those_of_one_pass(name, paths):
    pixels, table, sets = made_of(paths, name)
    names = NAMES if name == "klein" else list(map(str, range(1000)))
    assert len(pixels) == N_IMAGES
    assert table["label"].tolist() == [i % len(names) for i in range(N_IMAGES)]
    assert table["caption"].tolist() == [names[i % len(names)] for i in range(N_IMAGES)]
    assert sets[0].manifest["facts"]["classes"] == names
    assert table["id"].is_unique
    stores = open_stores(paths.stores(name, 2))
    ids = np.concatenate([store.read("image_ids") for store in stores])
    np.testing.assert_array_equal(ids, table["id"].to_numpy())
    holds = read_manifest(paths.captured(name), "captured")["stores"][name]
    assert holds["grid"] == ([4, 4] if name == "klein" else [2, 2])
    assert stores[0].manifest["holds"]["step"] == ("1 of 2" if name == "klein" else "2 of 2")
    config = load_config(paths.root.parent / "config.yaml")
    generator = load_generator(model_source(config, paths, name))
    seeds = [hash64("image", 3, i) % 2**63 for i in range(N_IMAGES)]
    made = list(generate_shard(generator, seeds, table["label"].tolist(), N_IMAGES))
    assert np.abs(made[0][0].astype(int) - pixels).max() <= 1
    np.testing.assert_allclose(stored(paths, name), made[0][1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", PIPELINES)
def test_the_other_model_is_shown_the_stored_images(name, paths):
    config = load_config(paths.root.parent / "config.yaml")
    model = load_image_model(model_source(config, paths, "vit"))
    shown = next(show_images(model, [made_of(paths, name)[0]]))
    np.testing.assert_allclose(stored(paths, f"vit@{name}"), shown, rtol=1e-3, atol=1e-4)


def test_neurons_are_matched_as_those_of_other_generators(paths):
    lists, matches = "results/neighbors/klein--vit/0-of-1.parquet", "results/matches/k.parquet"
    sides = [f"results/activations/{name}/2-shards" for name in ("klein", "vit@klein")]
    folder = paths.root.parent
    how = ("--max-k", 3, "--precision", "float64")
    run(folder, "correlate", "--a", sides[0], "--b", sides[1], "--out", lists, *how)
    run(folder, "match", lists, "--out", matches)
    found = pd.read_parquet(matches)
    a, b = (
        np.concatenate(list(stored(paths, name).astype(np.float64)), axis=1)
        for name in ("klein", "vit@klein")
    )
    a, b = ((side - side.mean(0)) / side.std(0).clip(1e-300) for side in (a, b))
    r = a.T @ b / len(a)
    nearest = {(i, j) for i, j in enumerate(r.argmax(1)) if r[:, j].argmax() == i}
    pairs = zip(
        found["layer_a"] * 96 + found["unit_a"],
        found["layer_b"] * 24 + found["unit_b"],
        strict=True,
    )
    assert set(pairs) == nearest
    assert len(nearest) > 10


def test_untrained_twins_run_on_the_noise_and_labels_of_the_trained_generator(paths):
    config = load_config(paths.root.parent / "config.yaml")
    for name in ("klein", "vit"):
        twins_step(config, paths, name)
    twin, shown = (config.twin_stores(name)[-1] for name in ("klein", "vit"))
    trained = open_stores(paths.stores("klein", 2))
    for name in (twin, shown):
        stores = open_stores(paths.stores(name, 2))
        for one, other in zip(stores, trained, strict=True):
            np.testing.assert_array_equal(one.read("image_ids"), other.read("image_ids"))
    assert not np.allclose(stored(paths, twin), stored(paths, "klein"), atol=1e-2)


def test_other_settings_make_other_images_only_after_the_model_step(project, paths):
    """A run whose settings changed must not go on with what the manifest says of the old ones."""
    changed = config_of()
    changed["models"]["dit"]["pipeline"] = {"steps": 1}
    changed["results"] = "results"
    (project / "changed.yaml").write_text(yaml.safe_dump(changed))
    done = run_here(
        "activations", "--config", "changed.yaml", "--model", "dit", "--shard", 0, folder=project
    )
    assert_rejected(done, r"models\.dit: the weights of dit are not those that .* describes")
