"""Weights and their configuration belong together, name by name; what is known to be of no use may
lie beside them.
"""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_architectures import VARIANTS, tiny_model

from rosetta.activations.capture import forward
from rosetta.activations.tokens import TokenizedDocument
from rosetta.errors import ModelError
from rosetta.models.architectures.text import ARCHITECTURES
from rosetta.models.folders import check_model_folder
from rosetta.models.loading import load_config_of, load_model
from rosetta.models.sources import ModelSource

TOKENIZER = json.dumps({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})
MIXTURES = [name for name, architecture in ARCHITECTURES.items() if architecture.experts]


def neurons(model):
    rows = [np.arange(3, 3 + n, dtype=np.int32) for n in (9, 4)]
    documents = [TokenizedDocument(row, np.zeros_like(row), np.zeros_like(row)) for row in rows]
    return torch.cat(list(forward(model, documents, 2, "m")), dim=1)


def saved(folder, model, change=None, **options):
    model.save_pretrained(folder, **options)
    (folder / "tokenizer.json").write_text(TOKENIZER)
    if change:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return ModelSource("m", str(folder))


def in_a_layer(weights):
    """The name of a norm's weight in layer 1, which every architecture has."""
    return next(
        name
        for name in sorted(weights)
        if re.search(r"\.(layers|h)\.1\..*norm|\.h\.1\.ln|\.1\.ln_", name)
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_architecture_is_held_to_its_configuration(variant, tmp_path):
    model = tiny_model(variant)
    names = load_file(tmp_path / "m" / "model.safetensors") if saved(tmp_path / "m", model) else {}
    name = in_a_layer(names)
    other = re.sub(r"\w+$", "gain", name)
    # Names within the model may be longer than those of the file.
    inner, outer = (rf"\S*{re.escape('.'.join(key.split('.')[-3:]))}" for key in (name, other))
    spoilt = {
        f"lack {inner}, which": lambda weights: weights.pop(name),
        f"hold {outer}, which": lambda weights: weights.update({other: weights[name].clone()}),
        rf"other shapes .*{inner} \(33 for": lambda weights: weights.update({name: torch.ones(33)}),
    }
    for i, (message, change) in enumerate(spoilt.items()):
        with pytest.raises(ModelError, match=message):
            load_model(saved(tmp_path / str(i), model, change))
    assert torch.equal(neurons(load_model(saved(tmp_path / "again", model))), neurons(model))


def test_biases_that_the_configuration_denies_are_named(tmp_path):
    """As many of them as fit a message."""

    def add(weights):
        for layer in range(2):
            for projection, width in (("gate_proj", 48), ("up_proj", 48), ("down_proj", 32)):
                weights[f"model.layers.{layer}.mlp.{projection}.bias"] = torch.ones(width)

    source = saved(tmp_path, tiny_model("llama"), add)
    assert json.loads((tmp_path / "config.json").read_text())["mlp_bias"] is False
    with pytest.raises(
        ModelError,
        match=r"hold model\.layers\.0\.mlp\.down_proj\.bias, .* and 3 more, which the model",
    ):
        load_model(source)


LEFT_OVER = {
    "llama": (
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.rotary_emb.inv_freq",
        "score.weight",
    ),
    "gemma3_text": (
        "model.rotary_emb.local_inv_freq",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
    ),
    "gpt_neox": (
        "gpt_neox.layers.0.attention.bias",
        "gpt_neox.layers.0.attention.masked_bias",
        "v_head.summary.weight",
        "gpt_neox.layers.1.attention.rotary_emb.inv_freq",
    ),
    "gpt2": ("transformer.h.0.attn.bias", "transformer.h.1.attn.masked_bias", "qa_outputs.bias"),
    "gptj": (
        "transformer.h.0.attn.bias",
        "transformer.h.1.attn.masked_bias",
        "classifier.dense.weight",
    ),
    "opt": ("score.weight",),
}


@pytest.mark.parametrize("variant", LEFT_OVER)
def test_what_is_known_to_be_of_no_use_does_no_harm(variant, tmp_path):
    model = tiny_model(variant)
    source = saved(
        tmp_path,
        model,
        lambda weights: weights.update({n: torch.ones(1, 8) for n in LEFT_OVER[variant]}),
    )
    assert torch.equal(neurons(load_model(source)), neurons(model))


@pytest.mark.parametrize("variant", ["gpt2", "gemma", "bloom"])
def test_a_tied_head_may_be_in_the_file(variant, tmp_path):
    model = tiny_model(variant)
    head = model.get_output_embeddings().weight.detach().clone()
    source = saved(tmp_path, model, lambda weights: weights.update({"lm_head.weight": head}))
    assert torch.equal(neurons(load_model(source)), neurons(model))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("variant", MIXTURES)
def test_a_mixture_may_be_saved_with_its_experts_fused(variant, fused, tmp_path):
    model = tiny_model(variant)
    source = saved(tmp_path, model, save_original_format=not fused)
    names = load_file(tmp_path / "model.safetensors")
    assert ("model.layers.1.mlp.experts.down_proj" in names) == fused
    check_model_folder(tmp_path, "models.m.path")
    assert torch.equal(neurons(load_model(source)), neurons(model))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: w.pop("model.layers.1.mlp.experts.down_proj"),
            r"says 2 layers|5 experts .* of layer 1 are of 0",
        ),
        (lambda w: halve(w, 0), "says 5 experts per layer, and the weights of layer 1 are of 2"),
        (lambda w: halve(w, 2), r"neurons per expert, and the weights of layer 1 are \[5, 32, 2\]"),
    ],
)
@pytest.mark.parametrize("variant", MIXTURES)
def test_fused_experts_are_counted_by_their_header(variant, change, message, tmp_path):
    saved(tmp_path, tiny_model(variant), change, save_original_format=False)
    with pytest.raises(ModelError, match=message):
        check_model_folder(tmp_path, "models.m.path")


def halve(weights, axis):
    name = "model.layers.1.mlp.experts.down_proj"
    weights[name] = weights[name].narrow(axis, 0, 2).contiguous()


@pytest.mark.parametrize("method", ["awq", "gptq", "bitsandbytes", "compressed-tensors"])
def test_a_quantised_model_of_the_hub_is_rejected_by_its_configuration(method, tmp_path):
    """Before anything else of it is fetched."""
    content = {
        **tiny_model("llama").config.to_dict(),
        "quantization_config": {"quant_method": method, "bits": 4},
    }
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(
        ModelError,
        match=rf"models\.m: its weights are quantised \({method}: .* Give the model that",
    ):
        load_config_of(ModelSource("m", str(tmp_path), revision="main"))


def test_whole_weights_go_before_a_stale_index(tmp_path):
    """As in the library, whatever the index says."""
    model = tiny_model("llama")
    source = saved(tmp_path, model)
    (tmp_path / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"lm_head.weight": "model-00001-of-00002.safetensors"}})
    )
    check_model_folder(tmp_path, "models.m.path")
    assert torch.equal(neurons(load_model(source)), neurons(model))
