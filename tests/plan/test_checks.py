"""What the checks before a run find in files, folders, models and budgets."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from helpers import ARCHITECTURES, save_tiny_model
from safetensors.numpy import save_file
from small_configs import ENDPOINT, GOOD, changed
from transformers import AutoConfig
from workflow_runs import TINY

from rosetta.config import parse_config
from rosetta.errors import ConfigError, ModelError, PlanError, RosettaError
from rosetta.models.folders import folder_shape
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.neurons import NeuronShape
from rosetta.plan.checks import check_config
from rosetta.plan.steps import small_models_in_many_jobs


def model_folder(folder: Path, **files: str) -> dict:
    folder.mkdir(exist_ok=True, parents=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return changed(
        models={**GOOD["models"], "m": {"path": str(folder)}}, results=str(folder / "out")
    )


GOOD_FILES = {
    "config__json": '{"model_type": "gpt2"}',
    "model__safetensors": "x",
    "tokenizer__json": json.dumps({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}),
}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"models\.m\.path: .* has no config\.json"),
        ({**GOOD_FILES, "config__json": "{"}, r"config\.json cannot be read"),
        (
            {**GOOD_FILES, "config__json": '{"model_type": "mamba"}'},
            r"'mamba' is not supported. Supported: gpt_neox",
        ),
        (
            {**GOOD_FILES, "config__json": '{"model_type": "gpt2", "n_positions": 8}'},
            r"reads 8 tokens; lower",
        ),
        ({**GOOD_FILES, "config__json": '{"auto_map": {}}'}, "code of its own"),
        (
            {k: v for k, v in GOOD_FILES.items() if k != "model__safetensors"},
            r"no model\.safetensors",
        ),
        ({k: v for k, v in GOOD_FILES.items() if k != "tokenizer__json"}, "no tokenizer"),
    ],
)
def test_bad_model_folders_are_found_before_any_job(tmp_path, files, message):
    config = parse_config(model_folder(tmp_path / "m", **files))
    with pytest.raises(ModelError, match=message):
        check_config(config)


def test_a_missing_model_folder_is_found(tmp_path):
    config = changed(
        models={**GOOD["models"], "m": {"path": str(tmp_path / "none")}}, results=str(tmp_path)
    )
    with pytest.raises(ModelError, match=r"models\.m\.path: .*none is not a folder"):
        check_config(parse_config(config))


def test_pickled_weights_are_rejected(tmp_path):
    files = {k: v for k, v in GOOD_FILES.items() if k != "model__safetensors"}
    config = parse_config(model_folder(tmp_path / "m", **files, pytorch_model__bin="x"))
    with pytest.raises(ModelError, match="safetensors only"):
        check_config(config)


def test_an_unwritable_results_folder_is_found(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"results: .*file is not a folder"):
        check_config(parse_config(changed(results=str(tmp_path / "file" / "out"))))
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if not os.access(locked, os.W_OK):  # root may write anywhere
        with pytest.raises(ConfigError, match="cannot be written"):
            check_config(parse_config(changed(results=str(locked / "out"))))


def test_a_domain_without_a_category_is_found(tmp_path):
    config = changed(specialization={"categories": {"python": "code"}}, results=str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"specialization\.categories: has no category for 'prose', 'cpp'"
    ):
        check_config(parse_config(config))


def test_a_missing_key_is_found(tmp_path):
    pytest.importorskip("openai")
    with pytest.raises(
        ConfigError, match=r"annotation\.api_key_variable: .* NO_SUCH_KEY is not set"
    ):
        check_config(parse_config(changed(annotation=ENDPOINT, results=str(tmp_path))))


def test_a_missing_corpus_is_found(tmp_path):
    source = {"kind": "files", "path": str(tmp_path / "none.jsonl")}
    with pytest.raises(RosettaError, match=r"corpus\.source\.path: .* does not exist"):
        check_config(parse_config(changed(corpus={"source": source}, results=str(tmp_path))))


NO_TRAINING = {"splits": {"train": 0.0, "match": 0.84}}
DOWN = {
    "gpt2": "h.{}.mlp.c_proj",
    "gpt_neox": "layers.{}.mlp.dense_4h_to_h",
    "opt": "decoder.layers.{}.fc2",
}
SHAPES = {"gpt2": (3, 32), "gpt_neox": (2, 12), "opt": (2, 12)}
LOCAL = {
    "gpt2": {"model_type": "gpt2", "n_layer": 3, "n_embd": 8},
    "gpt_neox": {"model_type": "gpt_neox", "num_hidden_layers": 2, "intermediate_size": 12},
    "opt": {"model_type": "opt", "num_hidden_layers": 2, "ffn_dim": 12},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corpus": NO_TRAINING}, r"corpus\.splits\.train: is 0, but models\.f-s is trained"),
        (
            {"activations": {**GOOD["activations"], "n_shards": 9, "max_documents": 8}},
            r"n_shards: 9 is above activations\.",
        ),
        (
            {"activations": {**GOOD["activations"], "n_shards": 9}, "corpus": {"max_documents": 8}},
            r"9 is above corpus\.max",
        ),
        ({"correlation": {"memory_gb": 0.001}}, r"correlation\.memory_gb: 0\.001"),
    ],
)
def test_what_can_only_fail_inside_a_job_is_rejected_before_any(tmp_path, change, message):
    check_config(parse_config(changed(results=str(tmp_path))))
    with pytest.raises(RosettaError, match=message):
        check_config(parse_config(changed(results=str(tmp_path), **change)))


def local_models(tmp_path, **more):
    for name, content in LOCAL.items():
        model_folder(tmp_path / name, **{**GOOD_FILES, "config__json": json.dumps(content)})
        n_layers, d_mlp = SHAPES[name]
        weights = {
            f"{DOWN[name].format(i)}.weight": np.zeros((d_mlp, 8), np.float32)
            for i in range(n_layers)
        }
        save_file(weights, tmp_path / name / "model.safetensors")
    models = {name: {"path": str(tmp_path / name)} for name in LOCAL}
    twin = {"twin": {"untrained": {"of": "opt"}}}
    unused = {"unused": GOOD["models"]["f-s"], "hub": {"hub": "somebody/model", "revision": "main"}}
    unlike = {"max_scale_ratio": 100.0}  # their sizes are not what is checked here
    return changed(
        models={**models, **twin, **unused}, results=str(tmp_path / "r"), **unlike, **more
    )


def test_small_models_of_folders_are_said_to_make_many_jobs(tmp_path):
    def notes(*pair, **given):
        activations = {**GOOD["activations"], **given}
        config = local_models(tmp_path, ladders={"l": [list(pair)]}, activations=activations)
        return small_models_in_many_jobs(parse_config(config))

    (note,) = notes("gpt2", "opt")
    assert "activations.shards_per_job: gpt2, opt are small" in note
    assert notes("gpt2", "opt", shards_per_job="all") == []
    assert notes("gpt2", "hub") == [], "its size is not known"


@pytest.mark.parametrize("pair", [["gpt2", "gpt_neox"], ["gpt_neox", "opt"], ["gpt2", "twin"]])
def test_memory_is_checked_for_local_models_too(tmp_path, pair):
    """And what nobody needs, here training, is not."""
    config = local_models(tmp_path, ladders={"l": [pair]}, corpus=NO_TRAINING)
    check_config(parse_config(config))
    with pytest.raises(PlanError, match=r"correlation\.memory_gb"):
        check_config(parse_config({**config, "correlation": {"memory_gb": 0.001}}))


def test_a_budget_that_holds_a_pair_but_not_its_permuted_rows_is_rejected_before_the_run():
    """Of 96 neurons each, tiles of 48 fit: without the window of rows that the null model
    permutes.
    """
    tight = {**TINY, "correlation": {"memory_gb": 0.6125}, "sae": None}
    check_config(
        parse_config(
            {
                **tight,
                "controls": {"permutation_seeds": [], "document_seeds": [], "untrained_seeds": []},
            }
        )
    )
    with pytest.raises(PlanError, match=r"correlation\.memory_gb: 0\.6125"):
        check_config(parse_config(tight))


def test_models_of_unknown_size_are_left_to_their_jobs(tmp_path):
    config = local_models(
        tmp_path, ladders={"l": [["gpt2", "hub"]]}, correlation={"memory_gb": 0.001}
    )
    check_config(parse_config(config))
    model_folder(tmp_path / "opt", config__json=json.dumps({"model_type": "opt"}))
    assert folder_shape(tmp_path / "opt", "models.opt.path") is None


def test_a_folder_tells_its_neurons_without_transformers(tmp_path, texts):
    """As transformers reads them, for every architecture; GPT-2 may leave its MLP's size out."""
    for architecture in ARCHITECTURES:
        folder = save_tiny_model(tmp_path / architecture, texts, architecture)
        assert folder_shape(folder, "models.m.path") == neuron_shape(
            AutoConfig.from_pretrained(folder), "m"
        )
    local_models(tmp_path / "local")
    assert folder_shape(tmp_path / "local" / "gpt2", "models.m.path") == NeuronShape(3, 32)
