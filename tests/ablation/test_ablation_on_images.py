"""Ablation of classifiers on the held-out images of a run, from its files."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from commands import assert_rejected, run_here
from tiny_image_architectures import noise_images, saved, tiny_image_model
from transformers import AutoModelForImageClassification
from workflow_runs import VISION

import rosetta
from rosetta.ablation.columns import ABLATION_COLUMNS, NAMED_COLUMNS, WHOLE
from rosetta.ablation.image_loss import classifier_of, load_whole
from rosetta.ablation.measure import Targets
from rosetta.ablation.run_models import _on_images
from rosetta.ablation.steps import group_step, tables_step
from rosetta.analysis.columns import IMAGE_NEURON_COLUMNS
from rosetta.config import parse_config
from rosetta.config.ablation import ablated_models, ablated_rungs
from rosetta.errors import ConfigError, ImageSourceError, ModelError
from rosetta.inputs.images.image_sets import write_image_set
from rosetta.matching.mutual import ROSETTA_COLUMNS
from rosetta.models.devices import CPU
from rosetta.models.model_manifest import write_model_manifest
from rosetta.models.sources import model_source
from rosetta.run.paths import Paths
from rosetta.run.stages.registry import STAGES
from rosetta.storage.tables import read_csv, read_parquet, read_parquet_metadata, write_parquet

N_IMAGES, N_CLASSES = 40, 4


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with a configuration, held-out images of 4 classes, classifiers and an encoder."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "run.yaml").write_text(yaml.safe_dump({**VISION, "results": "results"}))
    labels = np.arange(N_IMAGES) % N_CLASSES
    table = pd.DataFrame({"label": labels, "domain": [f"c{one}" for one in labels]})
    table = table.assign(caption="", source="s", index=range(N_IMAGES))
    write_image_set(
        Paths(folder / "results").image_set("heldout"),
        table,
        [noise_images(n=N_IMAGES)],
        made_by={},
        facts={"classes": [f"c{n}" for n in range(N_CLASSES)]},
    )
    for name, variant, changes in (
        ("classifier", "vit-classifier", {"num_labels": N_CLASSES}),
        ("another", "vit-classifier", {"num_labels": 7}),
        ("encoder", "vit", {}),
    ):
        saved(folder / name, tiny_image_model(variant, **changes))
    pd.DataFrame({"layer": [0, 1], "unit": [3, 7]}).to_csv(folder / "n.csv", index=False)
    return folder


def ablate(run, model, *options):
    given = ("--model", model, "--neurons", "n.csv", "--out", "out.csv", *options)
    return run_here("ablate", *given, folder=run)


def test_a_classifier_is_ablated_by_hand(run):
    done = ablate(run, "classifier", "--config", "run.yaml", "--method", "zero")
    assert done.code == 0, done
    rows = read_csv(run / "out.csv", ABLATION_COLUMNS)
    rows = rows.set_index(["measure", "treatment", "population", "domain"])
    source = saved(run / "classifier", tiny_image_model("vit-classifier", num_labels=N_CLASSES))
    classifier = classifier_of(load_whole(source, CPU), source)
    labels = np.arange(N_IMAGES) % N_CLASSES
    with torch.no_grad():
        shown = classifier.seeing.arguments(torch.from_numpy(noise_images(n=N_IMAGES)))
        logits = classifier.whole(**shown).logits.double().numpy()
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    bits = -np.log2(shares[np.arange(N_IMAGES), labels]).mean()
    assert rows.loc[("loss", "none", "none", WHOLE), "value"] == pytest.approx(bits, rel=1e-4)
    right = (logits.argmax(axis=1) == labels).mean()
    assert rows.loc[("accuracy", "none", "none", WHOLE), "value"] == pytest.approx(right)
    assert rows.loc[("loss", "ablate", "rosetta", WHOLE), "n_ablated"] == 2
    assert np.isfinite(rows.loc[("loss", "ablate", "matched", WHOLE), "rosetta_excess_ci_low"])


def shown_in_memory(**changes):
    labels = np.arange(N_IMAGES) % N_CLASSES
    given = dict(images=noise_images(n=N_IMAGES), labels=labels, neurons=["L0/U3", "L1/U7"])
    return given | changes


def test_a_classifier_in_memory_is_ablated_as_by_hand(run, monkeypatch):
    torch.set_num_threads(1)  # as the command does
    done = ablate(run, "classifier", "--config", "run.yaml")
    assert done.code == 0, done
    written = read_csv(run / "out.csv", ABLATION_COLUMNS)[NAMED_COLUMNS]
    monkeypatch.chdir(run)
    model = AutoModelForImageClassification.from_pretrained("classifier").train()
    domains = [f"c{n}" for n in np.arange(N_IMAGES) % N_CLASSES]
    found = rosetta.ablate_images(model, domains=domains, **shown_in_memory())
    told = {"reason": found["reason"].replace("", np.nan).astype(written["reason"].dtype)}
    pd.testing.assert_frame_equal(
        found.assign(**told), written, check_dtype=False, rtol=1e-9, atol=1e-12
    )
    assert set(found["measure"]) == {"loss", "accuracy"}
    assert model.training


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"images": [[0]]}, ConfigError, "images: .* is not an array of images"),
        ({"images": np.zeros((40, 16, 16, 3))}, ModelError, "array of float64.*Give 8-bit"),
        ({"images": np.zeros((0, 16, 16, 3), np.uint8)}, ImageSourceError, "classes of 0 images"),
        ({"labels": [0, 1]}, ImageSourceError, r"labels: shape \(2,\) of int64 are not"),
        ({"labels": ["a"] * 40}, ImageSourceError, "labels: .*Give the number of a class"),
        ({"labels": [4] * 40}, ImageSourceError, "labels: go from 4 to 4, .* classes 0 to 3"),
        ({"labels": [-1] * 40}, ImageSourceError, "labels: go from -1 to -1"),
        ({"domains": ["a"]}, ConfigError, "domains: has 1 labels of 40 images"),
        ({"neurons": ["L0/U24"]}, ModelError, "neurons: L0/U24 is not in the model"),
        ({"batch_size": 0}, ConfigError, "batch_size: .*greater than or equal to 1"),
    ],
)
def test_what_cannot_be_shown_in_memory_is_told(run, changes, error, message):
    model = AutoModelForImageClassification.from_pretrained(run / "classifier")
    with pytest.raises(error, match=message):
        rosetta.ablate_images(model, **shown_in_memory(**changes))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("classifier", "classifier: 'classifier' is not a classifier of images"),
        (tiny_image_model("vit"), "ViTModel is not a classifier of images of transformers"),
        (tiny_image_model("vit-masked"), "ViTForMaskedImageModeling has no head that tells"),
        (tiny_image_model("vit-classifier", num_labels=4), "is of no folder and not of the hub"),
    ],
)
def test_what_is_no_classifier_in_memory_is_told(model, message):
    name = "classifier" if isinstance(model, str) else None
    with pytest.raises(ModelError, match=message):
        rosetta.ablate_images(model, name=name, **shown_in_memory())


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (
            "classifier",
            "--config run.yaml --max-documents 5",
            r"--max-documents: classifier sees images \(--max-images\)",
        ),
        (
            "classifier",
            "--config run.yaml --sequence-length 5",
            "--sequence-length: classifier sees images",
        ),
        ("encoder", "--config run.yaml", "--model: vit has no head that tells classes"),
        ("another", "--config run.yaml", "--model: tells 7 classes, and the run's images have 4"),
        ("classifier", "--texts n.csv", "--texts: classifier sees images, whose classes a run"),
    ],
)
def test_what_has_no_loss_on_a_runs_images_is_rejected(run, model, options, message):
    assert_rejected(ablate(run, model, *options.split()), message)


def test_a_runs_model_is_measured_on_its_images(run):
    config = parse_config({**VISION, "results": str(run / "results")})
    source = saved(run / "classifier", tiny_image_model("vit-classifier", num_labels=N_CLASSES))
    shape = {"n_layers": 2, "d_mlp": 24}
    manifest = {**shape, "n_parameters": 5000, "grid": [4, 4], "n_prefix": 1}
    rng, mask = np.random.default_rng(0), np.zeros((2, 24), bool)
    mask[1, :5] = True
    names = ("mean", "variance", "kurtosis")
    statistics = {name: rng.gamma(1.0, size=48) for name in names}
    settings = parse_config(with_ablation(max_images=25)).ablation
    targets = Targets(mask, statistics, settings, "classifier")
    found = _on_images(config, Paths(run / "results"), source, manifest, targets)
    assert found.losses["sample"].nunique() == 25
    assert set(found.losses["domain"]) == {f"c{n}" for n in range(N_CLASSES)}
    assert found.losses["right"].isin([0.0, 1.0]).all()
    other = saved(run / "another", tiny_image_model("vit-classifier", num_labels=7))
    with pytest.raises(ModelError, match="tells 7 classes"):
        _on_images(config, Paths(run / "results"), other, manifest, targets)


def test_as_many_images_are_seen_as_asked(run):
    done = ablate(run, "classifier", "--config", "run.yaml", "--max-images", 12)
    assert done.code == 0, done
    assert (read_csv(run / "out.csv", ABLATION_COLUMNS)["n_samples"].max()) == 12


GROUP, STORE = "pmf-s--vit-s", "vit-s@pmf-s"


@pytest.fixture
def ladder_run(run, tmp_path):
    """A run whose ladder begins with a generator, before the step that ablates its first rung."""
    shutil.copytree(run / "results", tmp_path / "results")
    content = {**VISION, "results": str(tmp_path / "results")}
    config = parse_config({**content, "ablation": {"ladder": "pmf-vit", "rungs": [0]}})
    paths = Paths(tmp_path / "results")
    assert config.stores_of(GROUP) == ("pmf-s", STORE)
    saved(paths.model("vit-s"), tiny_image_model("vit-classifier", num_labels=N_CLASSES))
    source = model_source(config, paths, "vit-s")
    write_model_manifest(source, paths.model_manifest("vit-s"), {"stage": "train"})
    units = pd.MultiIndex.from_product([range(2), range(24)], names=["layer", "unit"])
    rows = units.to_frame(index=False).reindex(columns=IMAGE_NEURON_COLUMNS, fill_value=1.0)
    of_stores = [
        rows.assign(stores=store, activation_mean=mean)
        for store, mean in (("vit-s", 5.0), (STORE, 0.0))
    ]
    write_parquet(paths.neurons("vit-s"), pd.concat(of_stores, ignore_index=True))
    found = dict.fromkeys(["layer_anchor", "layer"], 1) | {"unit_anchor": [2, 4], "unit": [3, 7]}
    found |= {"model_anchor": "pmf-s", "model": "vit-s", "r": 0.5}
    write_parquet(paths.rosetta(GROUP), pd.DataFrame(found)[ROSETTA_COLUMNS])
    return config, paths


def test_a_rung_with_a_generator_is_ablated_at_the_means_over_its_images(ladder_run):
    """The classifier's means are 0 on what the generator made, and 5 on other images."""
    config, paths = ladder_run
    group_step(config, paths, GROUP)
    losses = read_parquet(paths.ablation(GROUP))
    assert set(losses["model"]) == {"vit-s"}
    told = read_parquet_metadata(paths.ablation(GROUP))["models"]
    assert (told["vit-s"]["n_targets"], told["vit-s"]["layers"]) == (2, "1")
    source = model_source(config, paths, "vit-s")
    classifier = classifier_of(load_whole(source, CPU), source)
    weight = classifier.seeing.sites[1][0].module.weight
    with torch.no_grad():
        weight[:, [3, 7]] = 0
        shown = classifier.seeing.arguments(torch.from_numpy(noise_images(n=N_IMAGES)))
        logits = classifier.whole(**shown).logits.double().numpy()
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    own = losses[(losses["treatment"] == "ablate") & (losses["population"] == "rosetta")]
    expected = -np.log2(shares[np.arange(N_IMAGES), np.arange(N_IMAGES) % N_CLASSES])
    np.testing.assert_allclose(own["bits"], expected, rtol=1e-4)
    tables_step(config, paths)
    assert (pd.read_csv(paths.table("ablation"))["model"] == "vit-s").all()


@pytest.mark.parametrize("ladder", VISION["ladders"])
def test_rules_make_all_that_ablating_a_rung_reads(ladder, tmp_path):
    config = parse_config({**VISION, "ablation": {"ladder": ladder}})
    paths = Paths(tmp_path)
    made = {
        path
        for stage in STAGES.values()
        for job in stage.jobs(config)
        for path in stage.outputs(config, paths, job)
    }
    ablate = STAGES["ablate"]
    for job in ablate.jobs(config):
        assert set(ablate.inputs(config, paths, job)) <= made


def ladder_with(task):
    """The first ladder of the vision preset that has a model of a task, or has none."""
    config = parse_config(VISION)
    tasks = {
        name: {config.task_of(model) for rung in rungs for model in rung}
        for name, rungs in config.ladders.items()
    }
    return next((name for name, found in tasks.items() if task in found), None)


def with_ablation(**changes):
    return {**VISION, "ablation": {"ladder": ladder_with("classifier"), **changes}}


def test_of_a_rung_the_classifiers_are_ablated():
    config = parse_config(with_ablation())
    for _, group in ablated_rungs(config):
        found = ablated_models(config, group)
        assert found == [name for name in group if config.task_of(name) == "classifier"]
        assert found
