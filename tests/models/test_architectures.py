"""Every architecture of the table: neurons against the MLP written out by hand, output weights,
unembedding.
"""

import json

import numpy as np
import pytest
import torch
from tiny_architectures import VARIANTS, mixture_neurons, tiny_model
from torch.nn import functional

from rosetta.activations.capture import forward
from rosetta.activations.tokens import TokenizedDocument
from rosetta.models.architectures.text import ARCHITECTURES
from rosetta.models.folders import folder_shape
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.output_weights import output_weights, unembedding
from rosetta.models.sites import neuron_sites


def relu(x):
    return x.clamp(min=0)


def gelu_tanh(x):
    return functional.gelu(x, approximate="tanh")


def mlp_of(model, layer):
    """The block whose input is the hidden state, and the neurons from it, from the published
    definitions.
    """
    kind = model.config.model_type
    if kind == "gpt_neox":
        mlp = model.gpt_neox.layers[layer].mlp
        return mlp, lambda x: functional.gelu(mlp.dense_h_to_4h(x))
    if kind == "gpt2":
        mlp = model.transformer.h[layer].mlp
        return mlp, lambda x: gelu_tanh(x @ mlp.c_fc.weight + mlp.c_fc.bias)
    if kind == "gptj":
        mlp = model.transformer.h[layer].mlp
        return mlp, lambda x: gelu_tanh(x @ mlp.fc_in.weight.T + mlp.fc_in.bias)
    if kind == "opt":
        block = model.model.decoder.layers[layer]
        return block.fc1, lambda x: relu(x @ block.fc1.weight.T + block.fc1.bias)
    if kind == "bloom":
        mlp = model.transformer.h[layer].mlp
        return mlp, lambda x: gelu_tanh(x @ mlp.dense_h_to_4h.weight.T + mlp.dense_h_to_4h.bias)
    if kind == "falcon":
        mlp = model.transformer.h[layer].mlp
        bias = 0 if mlp.dense_h_to_4h.bias is None else mlp.dense_h_to_4h.bias
        return mlp, lambda x: functional.gelu(x @ mlp.dense_h_to_4h.weight.T + bias)
    if kind == "phi":
        mlp = model.model.layers[layer].mlp
        return mlp, lambda x: gelu_tanh(x @ mlp.fc1.weight.T + mlp.fc1.bias)
    if kind == "phi3":
        mlp = model.model.layers[layer].mlp
        gate, up = mlp.gate_up_proj.weight.chunk(2)
        return mlp, lambda x: functional.silu(x @ gate.T) * (x @ up.T)
    if kind == "starcoder2":
        mlp = model.model.layers[layer].mlp
        return mlp, lambda x: gelu_tanh(x @ mlp.c_fc.weight.T + mlp.c_fc.bias)
    mlp = (model.model.language_model if kind == "gemma3" else model.model).layers[layer].mlp
    act = gelu_tanh if kind.startswith("gemma") else functional.silu
    return mlp, lambda x: act(x @ mlp.gate_proj.weight.T) * (x @ mlp.up_proj.weight.T)


def mixture_of(model, layer):
    """As `mlp_of`, of a mixture of experts."""
    mlp = model.model.layers[layer].mlp
    return mlp, lambda x: mixture_neurons(mlp, x)


def test_every_architecture_is_here():
    assert {variant.split("-")[0] for variant in VARIANTS} == set(ARCHITECTURES)


@pytest.mark.parametrize("variant", VARIANTS)
def test_neurons_are_what_the_mlp_computes(variant):
    """Of a padded batch; the reference reads one document at a time."""
    model = tiny_model(variant)
    rng = np.random.default_rng(0)
    rows = [rng.integers(3, 300, size=n, dtype=np.int32) for n in (7, 1, 12, 5)]
    documents = [TokenizedDocument(row, np.zeros_like(row), np.zeros_like(row)) for row in rows]
    captured = torch.cat(list(forward(model, documents, 3, "m")), dim=1)
    shape = neuron_shape(model.config, "m")
    assert captured.shape == (2, 25, shape.d_mlp)
    position = 0
    for row in rows:
        for layer in range(2):
            block, neurons = (mixture_of if shape.n_experts else mlp_of)(model, layer)
            seen = []
            hook = block.register_forward_pre_hook(lambda _m, x, seen=seen: seen.append(x[0]))
            with torch.no_grad():
                model(input_ids=torch.from_numpy(row).long()[None])
                expected = neurons(seen[0].reshape(len(row), -1))
            hook.remove()
            torch.testing.assert_close(
                captured[layer, position : position + len(row)], expected, atol=2e-5, rtol=1e-4
            )
        position += len(row)


@pytest.mark.parametrize("variant", VARIANTS)
def test_output_weights_are_what_a_unit_of_activation_adds(variant):
    model = tiny_model(variant)
    shape = neuron_shape(model.config, "m")
    weights = list(output_weights(model, "m"))
    assert [tuple(weight.shape) for weight in weights] == [(shape.d_mlp, 32)] * 2
    with torch.no_grad():
        if not shape.n_experts:  # those of experts: test_experts.py
            module = neuron_sites(model, "m")[1][0].module
            one = torch.eye(shape.d_mlp)
            added = module(one) - module(torch.zeros(1, shape.d_mlp))
            torch.testing.assert_close(added, weights[1], atol=1e-5, rtol=1e-4)
    directions = unembedding(model, "m", range(300), fold_final_norm=True)
    assert directions.shape == (300, 32)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_file_alone_tells_the_shape(variant, tmp_path):
    """Before anything is loaded, from the names that the files of the hub use."""
    model = tiny_model(variant)
    model.config.save_pretrained(tmp_path)
    assert folder_shape(tmp_path, "models.m.path") == neuron_shape(model.config, "m")
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] in ARCHITECTURES


@pytest.mark.parametrize("variant", VARIANTS)
def test_lora_finds_its_modules(variant):
    model = tiny_model(variant)
    names = [name for name, _ in model.named_modules()]
    for projection in ARCHITECTURES[model.config.model_type].projections:
        assert any(name.endswith(f".{projection}") for name in names), projection
