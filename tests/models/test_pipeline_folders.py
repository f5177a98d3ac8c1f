"""Folders of pipelines: what is told before a run, what a manifest keeps, and what is rejected."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch

pytest.importorskip("diffusers", reason="needs the extra diffusion")

from tiny_pipelines import BUILDERS, save_pipeline

from rosetta.config import parse_config
from rosetta.config.pipelines import Pipeline
from rosetta.errors import ConfigError, MissingExtraError, ModelError, RosettaError
from rosetta.models.diffusion.folders import check_pipeline_folder, folder_facts
from rosetta.models.folders import check_model_folder
from rosetta.models.generators import load_generator
from rosetta.models.known_sizes import known_size, n_cells
from rosetta.models.model_manifest import checked_manifest, write_model_manifest
from rosetta.models.sources import ModelSource
from rosetta.plan import checks
from rosetta.run.paths import Paths
from rosetta.storage.manifests import read_manifest

NAMES = ["red fox", "owl", "cup of tea"]
PROMPTED = {"steps": 2, "size": 16, "class_names": NAMES}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    base = tmp_path_factory.mktemp("folders")
    return {kind: save_pipeline(base / kind, kind) for kind in BUILDERS}


@pytest.fixture
def copied(saved, tmp_path):
    """A copy of a folder that a test may spoil."""

    def copy(kind):
        return shutil.copytree(saved[kind], tmp_path / kind)

    return copy


def settings(kind, **changes):
    size = {"SanaSprintPipeline": 32, "DiTPipeline": None}.get(kind, 16)
    names = {} if kind == "DiTPipeline" else {"class_names": NAMES}
    return Pipeline(**{"steps": 2, "size": size, **names, **changes})


def source_of(folder, kind, **changes):
    return ModelSource("g", str(folder), pipeline=settings(kind, **changes))


def manifest_of(source, tmp_path):
    path = tmp_path / "manifest.json"
    write_model_manifest(source, path, {})
    return read_manifest(path, "model"), path


@pytest.mark.parametrize("kind", BUILDERS)
def test_a_folder_tells_without_its_weights_what_is_loaded_of_it(kind, saved, tmp_path):
    check_pipeline_folder(saved[kind], settings(kind), "models.g")
    told = folder_facts(saved[kind], settings(kind), "models.g")
    generator = load_generator(source_of(saved[kind], kind))
    assert (told.shape, told.grid, told.size) == (generator.shape, generator.grid, generator.size)
    assert len(generator.sites()) == told.shape.n_layers
    image = generator.generate([1], [0])
    assert image.shape == (1, 3, told.size, told.size)
    parts = generator.pipeline.components.values()
    n_parameters = sum(
        parameter.numel()
        for part in parts
        if isinstance(part, torch.nn.Module)
        for parameter in part.parameters()
    )
    written, _ = manifest_of(source_of(saved[kind], kind), tmp_path)
    assert written["architecture"] == kind
    assert written["n_parameters"] == n_parameters
    assert (written["n_layers"], written["d_mlp"]) == (told.shape.n_layers, told.shape.d_mlp)
    assert (written["grid"], written["size"]) == (list(told.grid), told.size)
    assert written["n_classes"] == len(written["classes"]) == (1000 if kind[:3] == "DiT" else 3)


def test_a_plan_reads_sizes_and_cells_without_diffusers(saved, tmp_path):
    folder = saved["Flux2KleinPipeline"]
    code = (
        "import sys, yaml\n"
        "from pathlib import Path\n"
        "from rosetta.config import parse_config\n"
        "from rosetta.models.known_sizes import known_size, n_cells\n"
        "from rosetta.plan.checks import check_config\n"
        "from rosetta.run.paths import Paths\n"
        "config = parse_config(yaml.safe_load(sys.argv[1]))\n"
        "check_config(config, need_sources=False)\n"
        "size = known_size(config, Paths(Path('results')), 'flux')\n"
        "print(*size.shape.facts.values(), size.n_parameters, n_cells(config, 'flux'))\n"
        "assert not {'diffusers', 'torch', 'transformers'} & sys.modules.keys()\n"
    )
    raw = json.dumps(run_of(folder, PROMPTED))
    done = subprocess.run(
        [sys.executable, "-c", code, raw], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    written, _ = manifest_of(source_of(folder, "Flux2KleinPipeline"), tmp_path)
    *sizes, n_parameters, cells = map(int, done.stdout.split())
    assert (*sizes, cells) == (5, 96, 16)
    # Its files hold the buffers of a normalisation, too.
    assert n_parameters == pytest.approx(written["n_parameters"], rel=1e-3)


def run_of(folder, pipeline, **entry):
    model = {"path": str(folder), "modality": "images", "generator": True, "pipeline": pipeline}
    vit = {"hub": "a/vit", "revision": "main", "modality": "images"}
    sizes = {"dimensions": {"n_layers": 4, "d_mlp": 96, "n_parameters": 1000}}
    return {
        "models": {"flux": {**model, **entry}, "vit": {**vit, **sizes}},
        "ladders": {"flux-vit": [["flux", "vit"]]},
    }


def test_what_images_depend_on_is_in_their_model_s_identity(copied, tmp_path):
    kind = "Flux2KleinPipeline"
    folder = copied(kind)
    first, path = manifest_of(source_of(folder, kind), tmp_path)
    assert checked_manifest(source_of(folder, kind), path) == first
    found = {first["weights"]}
    for changes in (
        {"steps": 3},
        {"guidance": 2.0},
        {"size": 24},
        {"captured_step": "first"},
        {"prompt": "{label}"},
        {"class_names": [*NAMES, "bell"]},
    ):
        found.add(manifest_of(source_of(folder, kind, **changes), tmp_path)[0]["weights"])
        with pytest.raises(ModelError, match="are not those that"):
            checked_manifest(source_of(folder, kind), path)
    scheduler = folder / "scheduler" / "scheduler_config.json"
    scheduler.write_text(scheduler.read_text().replace('"shift": 1.0', '"shift": 3.0'))
    found.add(manifest_of(source_of(folder, kind), tmp_path)[0]["weights"])
    assert len(found) == 8
    twin = ModelSource("g", str(folder), untrained_seed=1, pipeline=settings(kind))
    written, _ = manifest_of(twin, tmp_path)
    assert written["weights"].startswith("untrained 1 of ")
    names = set(written["files"])
    assert "vae/diffusion_pytorch_model.safetensors" in names
    assert "transformer/diffusion_pytorch_model.safetensors" not in names


def test_names_of_classes_come_from_the_pipeline_a_list_or_a_file(saved, copied, tmp_path):
    def names(kind, **changes):
        return folder_facts(saved[kind], settings(kind, **changes), "models.g").classes

    assert names("DiTPipeline")[17] == "17"
    named = copied("DiTPipeline")
    labels = {str(label): f"kind {label}" for label in range(1000)}
    edit(named / "model_index.json", id2label=labels)
    written, _ = manifest_of(source_of(named, "DiTPipeline"), tmp_path)
    assert written["classes"] == list(labels.values())
    assert load_generator(source_of(named, "DiTPipeline")).n_classes == 1000
    assert names("DiTPipeline", class_names=[str(i) for i in range(1000)])[17] == "17"
    file = tmp_path / "names.txt"
    file.write_text("great grey owl\n\ncrane\ncrane\n")
    assert names("FluxPipeline", class_names=str(file)) == ("great grey owl", "crane", "crane")


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("DiTPipeline", {"size": 16}, r"pipeline\.size: is 16, .* of 8 pixels only"),
        ("FluxPipeline", {"size": None}, r"pipeline\.size: is missing. .* multiple of 4\."),
        ("FluxPipeline", {"size": 18}, r"pipeline\.size: 18 is no multiple of 4"),
        ("StableDiffusion3Pipeline", {"size": 36}, "positions for 8 cells .* at most 32"),
        ("FluxPipeline", {"class_names": None}, r"class_names: is missing. Name the classes"),
        ("DiTPipeline", {"class_names": NAMES}, r"class_names: has 3 names, and the model 1000"),
        ("FluxPipeline", {"class_names": "none.txt"}, r"class_names: none.txt cannot be read"),
    ],
)
def test_settings_that_do_not_fit_are_rejected(kind, changes, message, saved):
    with pytest.raises(
        ConfigError, match=rf"^models\.g\.{message}|^models\.g\.pipeline.*{message}"
    ):
        folder_facts(saved[kind], settings(kind, **changes), "models.g")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("Flux2KleinPipeline", {"is_distilled": True}, "is 4, and this pipeline is distilled"),
        ("FluxPipeline", {"guidance_embeds": False}, "is 4, and this pipeline is distilled"),
        ("DiTPipeline", {"n_classes": 7}, "is 4, .* of 1000 classes only; this one has 7"),
    ],
)
def test_guidance_that_changes_nothing_or_cannot_be_is_rejected(kind, options, message, tmp_path):
    folder = save_pipeline(tmp_path / "p", kind, **options)
    folder_facts(folder, settings(kind), "models.g")
    with pytest.raises(ConfigError, match=rf"^models\.g\.pipeline\.guidance: {message}"):
        folder_facts(folder, settings(kind, guidance=4.0), "models.g")


def edit(path, **changes):
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: v for key, v in content.items() if v is not None}))


def pickled(folder):
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_suffix(".bin"))


SPOILT = {
    "another pipeline": (
        lambda folder: edit(folder / "model_index.json", _class_name="StableDiffusionPipeline"),
        r"pipeline StableDiffusionPipeline is not supported\. Supported: DiTPipeline, Sana",
    ),
    "code of its own": (
        lambda folder: edit(folder / "model_index.json", vae=["my_vae", "MyVae"]),
        r"names \['my_vae', 'MyVae'\] for vae, which is code of its own and never run",
    ),
    "a pickle": (
        pickled,
        r"transformer holds its weights as a pickle \(diffusion_pytorch_model\.bin\).*Convert it "
        r"once.*diffusers\.DiTTransformer2DModel\.from_pretrained\(.*use_safetensors=False\)",
    ),
    "no weights": (
        lambda folder: (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink(),
        r"vae has no diffusion_pytorch_model\.safetensors",
    ),
    "a part missing": (lambda folder: shutil.rmtree(folder / "scheduler"), "lacks scheduler"),
    "half a configuration": (
        lambda folder: edit(folder / "transformer" / "config.json", num_layers=None),
        r"is not that of a DiTPipeline \(KeyError: 'num_layers'\)",
    ),
    "text for a number": (
        lambda folder: edit(folder / "transformer" / "config.json", num_layers="two"),
        r"is not that of a DiTPipeline \(ValueError: 'two'",
    ),
    "quantised": (
        lambda folder: edit(folder / "transformer" / "config.json", quantization_config={"a": 1}),
        "its weights are quantised",
    ),
    "a truncated file": (
        lambda folder: (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"ab"),
        r"diffusion_pytorch_model\.safetensors cannot be read",
    ),
    "no pipeline": (
        lambda folder: (folder / "model_index.json").unlink(),
        r"models\.g\.path: .* has no model_index\.json.*Leave `pipeline` out",
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_folder_that_cannot_be_used_is_rejected_before_it_is_loaded(what, copied):
    spoil, message = SPOILT[what]
    folder = copied("DiTPipeline")
    spoil(folder)
    with pytest.raises(RosettaError, match=message) as raised:
        check_pipeline_folder(folder, settings("DiTPipeline"), "models.g")
    assert str(raised.value).startswith("models.g")


def test_weights_of_another_transformer_are_found_by_the_model_step(copied, tmp_path):
    folder = copied("DiTPipeline")
    edit(folder / "transformer" / "config.json", num_layers=3)
    with pytest.raises(ModelError, match=r"transformer in .* lack transformer_blocks\.2"):
        manifest_of(source_of(folder, "DiTPipeline"), tmp_path)


def test_weights_that_are_not_finite_are_found_by_the_model_step(copied, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = copied("DiTPipeline")
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["decoder.conv_in.bias"][0] = torch.inf
    save_file(weights, path)
    with pytest.raises(ModelError, match=r"decoder\.conv_in\.bias in .* not finite"):
        manifest_of(source_of(folder, "DiTPipeline"), tmp_path)


@pytest.mark.parametrize(
    ("pipeline", "entry", "message"),
    [
        ({}, {}, r"models\.flux\.pipeline\.steps: required key is missing"),
        ({**PROMPTED, "captured_step": 3}, {}, r"captured_step 3 is above steps \(2\)"),
        ({**PROMPTED, "prompt": "a photo"}, {}, r"prompt: must hold \{label\} once"),
        ({**PROMPTED, "class_names": []}, {}, "class_names holds no name"),
        ({**PROMPTED, "class_names": ["owl", " "]}, {}, "name of visible characters"),
        (PROMPTED, {"generator": False}, "pipeline needs generator: true"),
        ({**PROMPTED, "negative_prompt": "x"}, {}, "negative_prompt: unknown key"),
    ],
)
def test_settings_that_hold_for_no_pipeline_are_rejected(pipeline, entry, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(run_of("somewhere", pipeline, **entry))


def test_a_folder_of_a_pipeline_without_settings_is_told_what_is_missing(saved):
    with pytest.raises(ModelError, match=r"holds a pipeline of diffusers\. Give the entry its"):
        check_model_folder(saved["DiTPipeline"], "models.g.path")


def test_a_missing_package_and_file_are_named_before_the_first_job(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = parse_config(run_of(saved["FluxPipeline"], {**PROMPTED, "class_names": "names.txt"}))
    with pytest.raises(ConfigError, match=r"models\.flux\.pipeline\.class_names: names\.txt"):
        checks.check_config(config)
    monkeypatch.setattr(checks, "require_extra", missing("diffusion"))
    with pytest.raises(MissingExtraError, match=r"models\.flux\.pipeline needs diffusion"):
        checks.check_config(config)


def missing(extra):
    def require(name, needed_by):
        if name == extra:
            raise MissingExtraError(f"{needed_by} needs {name}")

    return require


def test_a_pipeline_of_the_hub_is_planned_by_its_dimensions():
    sizes = {"n_layers": 25, "d_mlp": 9216, "n_parameters": 8 * 10**9, "n_cells": 256}
    raw = run_of("unused", {**PROMPTED, "class_names": "not-there-yet.txt"})
    entry = raw["models"]["flux"]
    del entry["path"]
    entry |= {"hub": "black-forest-labs/FLUX.2-klein-4B", "revision": "main", "dimensions": sizes}
    config = parse_config({**raw, "max_scale_ratio": 1000.0})
    checks.check_config(config, need_sources=False)
    size = known_size(config, Paths(Path("results")), "flux")
    assert (size.shape.n_neurons, size.n_parameters) == (230_400, 8 * 10**9)
    assert n_cells(config, "flux") == 256
    assert re.search("flux", config.stores_of("flux--vit")[1])


def test_a_pipeline_of_the_hub_is_read_from_the_cache_without_the_network(
    saved, tmp_path, monkeypatch
):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    commit = "a" * 40
    kind = "Flux2KleinPipeline"
    held = tmp_path / "models--org--klein"
    shutil.copytree(saved[kind], held / "snapshots" / commit)
    (held / "refs").mkdir()
    (held / "refs" / "main").write_text(commit)
    source = ModelSource("g", "org/klein", "main", pipeline=settings(kind))
    written, path = manifest_of(source, tmp_path)
    assert written["weights"].startswith(f"org/klein@{commit} made as ")
    assert written["files"] is None
    assert checked_manifest(source, path) == written
    made = load_generator(source).generate([1, 2], [0, 1])
    here = load_generator(source_of(saved[kind], kind)).generate([1, 2], [0, 1])
    assert torch.equal(made, here)
    elsewhere = ModelSource("g", "org/other", "main", pipeline=settings(kind))
    with pytest.raises(ModelError, match=r"models\.g: .*org/other"):
        manifest_of(elsewhere, tmp_path)
    with pytest.raises(ModelError, match=r"no model_index\.json of org/other in the cache"):
        load_generator(elsewhere)
