"""The step that describes neurons on images: in a small run, from images to tables."""

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers import save_image_stores
from image_sources import noise
from scipy import stats
from tiny_image_architectures import tiny_image_model
from typer.testing import CliRunner

from rosetta.activations.folders import open_stores
from rosetta.activations.image_shards import capture_images
from rosetta.analysis.image_neurons import image_neuron_tables
from rosetta.analysis.image_tables import read_image_table
from rosetta.analysis.monosemanticity import monosemanticity
from rosetta.analysis.neuron_maps import neuron_maps, top_images
from rosetta.analysis.steps import image_neurons_step
from rosetta.cli.app import app
from rosetta.config import parse_config
from rosetta.errors import ConfigError, StoreError
from rosetta.inputs.images.build import build_images
from rosetta.inputs.images.image_sets import ImageSet, write_image_set
from rosetta.models.image_embeddings import embed_images
from rosetta.models.image_models import load_image_model
from rosetta.models.sources import model_source
from rosetta.models.steps import model_step
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_parquet, read_parquet_metadata

GENERATED = 14


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two models on drawn images and a third as encoder; one of them also on generated ones."""
    folder = tmp_path_factory.mktemp("run")
    models = {}
    for seed, (name, variant) in enumerate({"a": "dinov2", "b": "vit", "c": "clip"}.items()):
        tiny_image_model(variant, seed).save_pretrained(folder / name)
        models[name] = {"path": str(folder / name), "modality": "images"}
    models["g"] = {"path": str(folder / "g"), "modality": "images", "generator": True}
    config = parse_config(
        {
            "results": str(folder / "results"),
            "images": {
                "source": {"kind": "procedural", "n_images": 96},
                "size": 16,
                "splits": {"train": 0.0, "match": 1.0, "heldout": 0.0},
            },
            "models": models,
            "ladders": {"ab": [["a", "b"]], "bc": [["b", "c"]], "ga": [["g", "a"]]},
            "activations": {"n_shards": 2, "batch_size": 16, "max_images": 90, "dtype": "float32"},
            "specialization": {"n_contexts": 7},
        }
    )
    paths = Paths(folder / "results")
    build_images(config.images, paths, {"stage": "images"})
    for name in "abc":
        model_step(config, paths, name)
    for shard in range(2):
        capture_images(config, paths, "a", shard)
        _generate(paths, shard)
    values = np.random.default_rng(0).normal(size=(2, GENERATED, 16, 3)).astype(np.float32)
    ids = np.arange(GENERATED, dtype=np.uint64)
    for name in ("g", "a@g"):
        save_image_stores(paths.stores(name, 2), values, (4, 4), ids, n_shards=2)
    for name in "ag":
        image_neurons_step(config, paths, name)
    return config, paths


def _generate(paths, shard):
    """Write the images of a generator's shard."""
    number = np.arange(GENERATED // 2) + shard * (GENERATED // 2)
    table = {"id": number, "label": number % 2, "domain": [f"k{i % 2}" for i in number]}
    described = pd.DataFrame({**table, "caption": "", "source": "g", "index": number})
    pixels = np.stack([noise(int(i), 16) for i in number])
    write_image_set(paths.generated("g", 2, shard), described, [pixels], made_by={})


def test_neurons_on_drawn_images(run):
    _, paths = run
    neurons = read_image_table(paths, "neurons", "a")
    tops = read_image_table(paths, "top_images", "a")
    stores, drawn = open_stores(paths.stores("a", 2)), ImageSet(paths.image_set("match"))
    assert len(neurons) == stores[0].shape.n_neurons
    assert len(tops) == 7 * len(neurons)
    for layer, unit in ((0, 3), (1, 30)):
        maps = neuron_maps(stores, layer, unit)
        assert len(maps) == 90
        mine = tops[(tops["layer"] == layer) & (tops["unit"] == unit)]
        best = top_images(maps, 7)
        assert mine["image"].tolist() == best.tolist()
        np.testing.assert_array_equal(np.stack(mine["map"]), maps[best].reshape(7, 16))
        assert mine["domain"].tolist() == drawn.table["domain"][best].tolist()
        assert mine["image_id"].tolist() == drawn.table["id"][best].tolist()
        row = neurons[(neurons["layer"] == layer) & (neurons["unit"] == unit)].iloc[0]
        assert row["activation_kurtosis"] == pytest.approx(stats.kurtosis(maps.ravel()), abs=1e-4)
    facts = read_parquet_metadata(paths.neurons("a"))["stores"]["a"]
    assert sum(facts["domain_images"]) == 90
    assert 1 / 7 < facts["chance_purity"] < 2 / 7
    factors = read_image_table(paths, "factors", "a")
    assert factors[["layer", "unit"]].equals(neurons[["layer", "unit"]])
    assert factors["explained_variance"].between(0, 1).all()


def test_scores_are_under_an_encoder_that_is_not_of_the_pair(run):
    """Of both pairs that need these stores, a--b, which c is beside, and none of the others."""
    config, paths = run
    table = read_image_table(paths, "monosemanticity", "a")
    assert set(table["encoder"]) == {"c"}
    drawn = ImageSet(paths.image_set("match"))
    encoder = load_image_model(model_source(config, paths, "c"))
    vectors = embed_images(encoder, [drawn.pixels(0, 90)])
    maps = neuron_maps(open_stores(paths.stores("a", 2)), 1, 7)
    expected = monosemanticity(maps.mean((1, 2), dtype=np.float64)[:, None], vectors)
    mine = table[(table["layer"] == 1) & (table["unit"] == 7)]["monosemanticity"]
    np.testing.assert_allclose(mine, expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["g", "a@g"])
def test_neurons_on_generated_images(run, name):
    _, paths = run
    tops = read_image_table(paths, "top_images", name)
    assert tops["domain"].tolist() == [f"k{i % 2}" for i in tops["image"]]
    assert read_image_table(paths, "factors", name).empty, "of what a generator makes"
    assert set(read_image_table(paths, "monosemanticity", name)["encoder"]) == {"b"}
    assert read_parquet_metadata(paths.neurons(name[0]))["stores"][name]["domain_images"] == [7, 7]


def test_the_command_does_the_step(run, tmp_path):
    config, paths = run
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    before = read_parquet(paths.top_images("g"), ["stores", "image", "score"])
    paths.top_images("g").unlink()
    done = CliRunner().invoke(app, ["image-neurons", "--config", str(path), "--model", "g"])
    assert done.exit_code == 0, done.output
    assert read_parquet(paths.top_images("g"), ["stores", "image", "score"]).equals(before)


def test_a_model_that_no_ladder_shows_images_is_rejected(run):
    with pytest.raises(ConfigError, match=r"--model: 'x' sees no images in a ladder; .*a, b, c"):
        image_neurons_step(*run, "x")


def test_stores_that_a_table_lacks_are_named(run):
    _, paths = run
    with pytest.raises(StoreError, match=r"top_images/a\.parquet: has nothing of the stores a@h"):
        read_image_table(paths, "top_images", "a@h")


def test_the_value_of_an_image_can_be_its_highest_cell(run):
    config, paths = run
    chosen = config.selectivity.model_copy(update={"image_score": "max"})
    tables, _ = image_neuron_tables(config.model_copy(update={"selectivity": chosen}), paths, "a")
    top = tables["top_images"]
    first = top[(top["stores"] == "a") & (top["rank"] == 1)]
    maps = neuron_maps(open_stores(paths.stores("a", 2)), 1, 3)
    highest = maps.reshape(len(maps), -1).max(axis=1)
    row = first[(first["layer"] == 1) & (first["unit"] == 3)].iloc[0]
    assert row["image"] == highest.argmax()
    assert row["score"] == pytest.approx(float(highest.max()), rel=1e-6)
