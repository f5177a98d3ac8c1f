"""Rungs of models of matched scale, base models, and what is said of licences."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from commands import assert_rejected, run_here
from helpers import save_tiny_model
from huggingface_hub.errors import (
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
)
from safetensors.numpy import save_file
from workflow_runs import TINY

from rosetta.activations.steps import activations_step
from rosetta.analysis.steps import counts_step
from rosetta.config import Config, load_config, parse_config
from rosetta.config.ladders import cautions, check_scales, ladder_modality
from rosetta.errors import ConfigError, RosettaError
from rosetta.models import licences
from rosetta.models.known_sizes import known_neurons
from rosetta.models.licences import licence_of
from rosetta.models.modality import known_modality
from rosetta.models.model_manifest import write_model_manifest
from rosetta.models.sources import ModelSource
from rosetta.plan.checks import check_config
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.storage.manifests import write_manifest

ROOT = Path(__file__).parents[2]
PRESETS = [ROOT / "config.yaml", *sorted((ROOT / "workflow" / "presets").glob("*.yaml"))]


MODEL = "somebody/model"


def hub(n_layers=None, d_mlp=1, **more):
    sizes = (
        {"dimensions": {"n_layers": n_layers, "d_mlp": d_mlp, "n_parameters": 1}}
        if n_layers
        else {}
    )
    return {"hub": MODEL, "revision": "main", **sizes, **more}


NO_TRAINING = {"splits": {"train": 0.0, "match": 1.0, "pool": 0.0, "heldout": 0.0}}


def rung(results="results", **models):
    """Return a configuration with one rung of all these models, each of the hub another one."""
    models = {
        name: {**entry, "hub": f"{MODEL}-{number}"} if entry.get("hub") == MODEL else entry
        for number, (name, entry) in enumerate(models.items())
    }
    return {
        "models": models,
        "ladders": {"l": [list(models)]},
        "results": str(results),
        "corpus": NO_TRAINING,
    }


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.name)
def test_the_default_admits_every_preset(path):
    """The widest rung of text in the paper is GPT-2 XL, 48 × 6400, with Pythia-1.4B, 24 ×
    8192. Only where something else than neurons is recorded, or a generator is a pipeline, whose
    partners in the paper are much larger, may sizes differ more.
    """
    config = load_config(path)
    wider = [entry.recorded != "neurons" or entry.pipeline for entry in config.models.values()]
    if not any(wider):
        assert config.max_scale_ratio == Config.model_fields["max_scale_ratio"].default
    check_scales(config, neurons_of(config))


@pytest.mark.parametrize(
    ("ratio", "rejected"), [(1.0, True), (1.5, True), (1.5625, False), (3.0, False)]
)
def test_the_largest_may_have_so_many_times_the_neurons_of_the_smallest(tmp_path, ratio, rejected):
    models = {"xl": hub(48, 6400), "pythia": hub(24, 8192), "twin": {"untrained": {"of": "xl"}}}
    config = parse_config({**rung(tmp_path, **models), "max_scale_ratio": ratio})
    if not rejected:
        check_config(config)
        return
    message = (
        r"ladders\.l\[0\]: xl has 307,200 neurons and pythia 196,608; .* factor of "
        rf"{ratio:g} \(max_scale_ratio"
    )
    with pytest.raises(ConfigError, match=message):
        check_config(config)


@pytest.fixture
def images(tmp_path):
    """Return a folder of a model that sees images."""
    folder = tmp_path / "seer"
    folder.mkdir()
    content = {"model_type": "vit", "num_hidden_layers": 1, "intermediate_size": 32}
    (folder / "config.json").write_text(json.dumps(content))
    save_file(
        {"vit.encoder.layer.0.output.dense.weight": np.zeros((8, 32))}, folder / "model.safetensors"
    )
    return folder


def test_a_ladder_has_one_modality(tmp_path, texts, images):
    reader = save_tiny_model(tmp_path / "m", texts, "opt")
    models = {
        "reader": {"path": str(reader)},
        "seer": {"path": str(images), "modality": "images"},
        "twin": {"untrained": {"of": "seer"}},
    }
    more = {"activations": {"sequence_length": 16, "n_shards": 1}, "max_scale_ratio": 100.0}
    config = parse_config({**rung(tmp_path / "r", **models), **more})
    message = (
        r"ladders\.l: its models see different things: text \(reader\), and images "
        r"\(seer, twin\)\. "
    )
    with pytest.raises(ConfigError, match=message):
        check_config(config)
    with pytest.raises(ConfigError, match=message):
        activations_step(config, Paths(tmp_path / "r"), "reader", 0)
    apart = {"sees": [["seer", "twin"]], "reads": [["reader", "far"]]}
    content = {**rung(tmp_path / "r", **models, far=hub()), **more, "ladders": apart}
    config = parse_config(content)
    check_config(config)
    known = partial(known_modality, config, Paths(tmp_path / "r"))
    assert [ladder_modality(config, ladder, known) for ladder in apart] == ["images", "text"]
    assert known("far") is None, "the model of the hub is not at hand"


def test_a_manifest_tells_the_modality_of_its_own_entry_only(tmp_path):
    config = parse_config(rung(tmp_path, a=hub(), b=hub()))
    paths = Paths(tmp_path)
    content = {"kind": "model", "made_by": made_by(config, "model", "a"), "architecture": "gpt2"}
    write_manifest(paths.model_manifest("a"), content)
    assert known_modality(config, paths, "a") == "text"
    other = parse_config(rung(tmp_path, a={**hub(), "revision": "v2"}, b=hub()))
    assert known_modality(other, paths, "a") is None


def test_sizes_of_the_zoo_are_known_before_any_job(tmp_path):
    ladders = {"x": [["pythia-m", "opt-s"]]}
    content = {**TINY, "results": "results", "ladders": ladders, "ablation": None}
    for section in ("filtering", "training_ladders"):
        content.pop(section)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
    message = (
        r"ladders\.x\[0\]: pythia-m has 96 neurons and opt-s 32; .*Name models of like "
        r"size, or raise it"
    )
    assert_rejected(run_here("check", "--configfile", "run.yaml", folder=tmp_path), message)


def test_sizes_of_local_folders_are_known_before_any_job(tmp_path, texts):
    folder = save_tiny_model(tmp_path / "m", texts, "opt")
    config = json.loads((folder / "config.json").read_text())
    n_neurons = config["num_hidden_layers"] * config["ffn_dim"]
    models = {"mine": {"path": str(folder)}, "wide": hub(1, 2 * n_neurons)}
    more = {"activations": {"sequence_length": 16, "n_shards": 1}, "filtering": None}
    check_scales(*with_sizes({**rung(tmp_path / "r", **models), **more}))
    with pytest.raises(
        ConfigError, match=rf"wide has {2 * n_neurons + 1} neurons and mine {n_neurons};"
    ):
        check_scales(
            *with_sizes(
                {
                    **rung(tmp_path / "r", mine=models["mine"], wide=hub(1, 2 * n_neurons + 1)),
                    **more,
                }
            )
        )


def neurons_of(config):
    """What `check_scales` asks, as the checks before a run answer it."""
    return partial(known_neurons, config, Paths(Path(config.results)))


def with_sizes(content):
    config = parse_config(content)
    return config, neurons_of(config)


def test_a_manifest_tells_the_size_of_its_own_entry_only(tmp_path):
    content = rung(tmp_path, a=hub(), b=hub(1, 100))
    config = parse_config(content)
    check_config(config)
    manifest = {"kind": "model", "made_by": made_by(config, "model", "a")}
    manifest |= {
        "n_layers": 3,
        "d_mlp": 67,
        "n_neurons": 201,
        "n_parameters": 1000,
        "architecture": "opt",
    }
    write_manifest(Paths(tmp_path).model_manifest("a"), manifest)
    with pytest.raises(ConfigError, match="a has 201 neurons and b 100"):
        check_config(config)
    check_config(
        parse_config({**content, "models": {**content["models"], "a": hub(revision="other")}})
    )


def test_the_counts_are_rejected_where_sizes_were_not_known_before(tmp_path):
    config, paths = parse_config(rung(tmp_path, a=hub(), b=hub())), Paths(tmp_path)
    check_config(config)
    for name, d_mlp in (("a", 10), ("b", 21)):
        content = {"kind": "model", "n_layers": 1, "d_mlp": d_mlp, "n_neurons": d_mlp}
        write_manifest(paths.model_manifest(name), content)
    with pytest.raises(ConfigError, match=r"ladders\.l\[0\]: b has 21 neurons and a 10"):
        counts_step(config, paths)


@pytest.mark.parametrize(
    ("again", "facts", "message"),
    [
        ("opt", {}, "again is no training .*: its architecture is opt, and that of a gpt2"),
        ("gpt2", {"n_layers": 2}, "again is no training .*: its n_layers is 2, and that of a 1"),
        ("gpt2", {"d_mlp": 9}, "again is no training .*: its d_mlp is 9, and that of a 8"),
        ("gpt2", {"tokenizer": "t2"}, "again is no training .*: its tokenizer is another"),
        ("gpt2", {"weights": "w of a"}, "models.a and models.again, .*, are the same weights"),
        ("gpt2", {}, None),
    ],
)
def test_replicates_of_the_hub_are_checked_as_soon_as_manifests_tell_of_them(
    tmp_path, again, facts, message
):
    content = rung(tmp_path, a=hub(), b=hub())
    replicate = {"hub": "somebody/model-0", "revision": "seed2", "replicate_of": "a"}
    config = parse_config({**content, "models": {**content["models"], "again": replicate}})
    check_config(config)
    for name, architecture in (("a", "gpt2"), ("again", again)):
        manifest = {"kind": "model", "made_by": made_by(config, "model", name)}
        manifest |= {"n_layers": 1, "d_mlp": 8, "n_neurons": 8, "n_parameters": 100}
        manifest |= {"architecture": architecture, "tokenizer": "t", "weights": f"w of {name}"}
        if name == "again":
            manifest |= facts
        write_manifest(Paths(tmp_path).model_manifest(name), manifest)
    if message is None:
        check_config(config)
        return
    for check in (
        lambda: check_config(config),
        lambda: activations_step(config, Paths(tmp_path), "again", 0),
    ):
        with pytest.raises(ConfigError, match=message):
            check()


def test_captures_are_rejected_as_soon_as_the_sizes_of_a_rung_are_known(tmp_path):
    """Of hub models without `dimensions`: their manifests tell them, long before matches are
    counted.
    """
    config, paths = parse_config(rung(tmp_path, a=hub(), b=hub())), Paths(tmp_path)
    for name, d_mlp, refusal in (
        ("a", 10, "corpus/manifest.json"),
        ("b", 21, r"ladders\.l\[0\]: b has 21 neurons and a 10"),
    ):
        content = {
            "kind": "model",
            "made_by": made_by(config, "model", name),
            "n_layers": 1,
            "d_mlp": d_mlp,
        }
        write_manifest(
            paths.model_manifest(name),
            {**content, "n_neurons": d_mlp, "n_parameters": 9, "architecture": "opt"},
        )
        with pytest.raises(RosettaError, match=refusal):
            activations_step(config, paths, "a", 0)


@pytest.mark.parametrize(
    "name",
    [
        "Qwen/Qwen2.5-1.5B-Instruct",
        "mistralai/Mistral-7B-Instruct-v0.3",
        "meta-llama/Llama-2-7b-chat-hf",
        "google/gemma-2-2b-it",
        "allenai/OLMo-2-1124-7B-SFT",
        "allenai/OLMo-2-1124-7B-DPO",
        "a/my_rlhf",
        "a/b.chat",
        "facebook/opt-iml-1.3b",
        "bigscience/bloomz-560m",
        "Qwen/Qwen3-4B-Thinking-2507",
        "a/pythia-1b-PPO",
    ],
)
def test_names_that_look_post_trained_are_told(tmp_path, name):
    for entry in ({"hub": name, "revision": "main"}, {"path": f"models/{name.split('/')[1]}"}):
        told = cautions(parse_config(rung(tmp_path, m=entry, n=hub())))
        assert len(told) == 1, told
        assert told[0].startswith("models.m: ")
        assert "post-trained" in told[0]


@pytest.mark.parametrize(
    "name",
    [
        "EleutherAI/pythia-160m",
        "a/italian-gpt2",
        "a/chatty",
        "a/bit-llm",
        "Qwen/Qwen2.5-3B",
        "a/draft-sftp",
        "a/bloom-560m",
        "a/opt-125m",
    ],
)
def test_other_names_are_not(tmp_path, name):
    assert not cautions(parse_config(rung(tmp_path, m={"hub": name, "revision": "main"}, n=hub())))


def test_what_no_ladder_names_is_not_told(tmp_path):
    content = rung(tmp_path, m=hub(), n=hub())
    content["models"]["c"] = {"hub": "a/b-chat", "revision": "main"}
    content["models"]["twin"] = {"untrained": {"of": "c"}}
    assert not cautions(parse_config({**content, "ladders": {"l": [["m", "twin"]]}}))


def test_text_set_aside_for_no_training_is_told(tmp_path):
    content = rung(tmp_path, m=hub(), n=hub())
    (told,) = cautions(parse_config({**content, "corpus": {}}))
    assert told.startswith("corpus.splits: nothing is trained or filtered here")
    assert "which has 6% of the text" in told
    assert not cautions(load_config(ROOT / "config.yaml")), "a run that trains uses all of its text"


def test_check_warns_and_accepts(tmp_path):
    content = rung(**{"m-it": hub(2), "n": hub(2)})
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
    done = run_here("check", "--configfile", "run.yaml", folder=tmp_path)
    assert (done.code, done.out) == (0, "run.yaml: valid\n"), done.err
    assert done.err.startswith("warning: models.m-it: m-it looks post-trained by its name.")


def card(licence):
    return f"---\n{licence}\n---\n# A model\n"


@pytest.mark.parametrize(
    ("files", "stated"),
    [
        ({}, "not stated"),
        ({"README.md": "# A model\n"}, "not stated"),
        ({"README.md": card("license: apache-2.0\nlanguage: en")}, "apache-2.0"),
        ({"README.md": card("license: other\nlicense_name: tongyi")}, "other (tongyi)"),
        ({"README.md": card("license: [mit, apache-2.0]")}, "mit, apache-2.0"),
        ({"README.md": card("license: 5")}, "not stated"),
        ({"README.md": card("license: [")}, "not known: README.md cannot be read"),
        ({"README.md": card("- license")}, "not known: README.md cannot be read"),
        ({"README.md": card("license: " + "x" * 300)}, "x" * 100 + "…"),
        ({"README.md": card("license: mit"), "LICENSE": "GPL\n"}, "mit"),
        (
            {"README.md": card("language: en"), "LICENSE": "\n  # MIT License\n\ntext"},
            "LICENSE: MIT License",
        ),
        ({"LICENSE.txt": "a\x1b[31m\tb"}, "LICENSE.txt: a [31m b"),
        ({"LICENSE": ""}, "not stated"),
    ],
)
def test_a_folder_states_its_licence(tmp_path, files, stated):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert licence_of(ModelSource("m", str(tmp_path)), trained_here=False) == stated


def test_a_card_without_end_is_not_read(tmp_path):
    (tmp_path / "README.md").write_text(card("license: mit") + "x" * 2**20)
    assert (
        licence_of(ModelSource("m", str(tmp_path)), trained_here=False)
        == "not known: README.md cannot be read"
    )


def test_models_made_here_say_so(tmp_path):
    (tmp_path / "README.md").write_text(card("license: mit"))
    assert licence_of(ModelSource("m", str(tmp_path)), trained_here=True) == "trained here"
    twin = ModelSource("m", "lab/model", "main", untrained_seed=3)
    assert licence_of(twin, trained_here=False) == "random weights, made here"


def test_a_hub_model_has_the_licence_of_its_card(tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text(card("license: mit"))
    source, asked = ModelSource("m", "lab/model", "main"), []

    def answer(*arguments, **options):
        asked.append((arguments, options))
        return str(tmp_path / "README.md")

    monkeypatch.setattr(licences, "hf_hub_download", answer)
    assert licence_of(source, trained_here=False) == "mit"
    assert asked == [(("lab/model", "README.md"), {"revision": "main"})]
    response = SimpleNamespace(headers={}, request=None, status_code=404)
    silent = "not known: the hub did not answer"
    for error, stated in (
        (RemoteEntryNotFoundError("no", response=response), "not stated"),
        (LocalEntryNotFoundError("no"), silent),
        (OfflineModeIsEnabled("no"), silent),
    ):

        def reject(*_, error=error, **__):
            raise error

        monkeypatch.setattr(licences, "hf_hub_download", reject)
        assert licence_of(source, trained_here=False) == stated


def test_the_manifest_records_the_licence(tmp_path, texts):
    folder = save_tiny_model(tmp_path / "m", texts, "opt")
    (folder / "README.md").write_text(card("license: mit"))
    write_model_manifest(ModelSource("m", str(folder)), tmp_path / "m.json", {})
    assert json.loads((tmp_path / "m.json").read_text())["licence"] == "mit"
