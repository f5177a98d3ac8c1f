"""Mixtures of experts: what a neuron is, against the module's own output; names; zoo models; what
is rejected.
"""

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import save_tiny_model, shard_inputs
from tiny_architectures import mixture_neurons, tiny_model
from torch.nn import functional

from rosetta.activations.capture import capture_shard, forward
from rosetta.activations.folders import open_stores
from rosetta.activations.layout import check_manifest
from rosetta.activations.tokens import TokenizedDocument
from rosetta.config import Activations
from rosetta.config.filtering import FilterPretraining
from rosetta.errors import ModelError, StoreError
from rosetta.filtering.document_scores import NeuronProbe
from rosetta.filtering.pretrain import with_lora
from rosetta.models.architectures.text import ARCHITECTURES
from rosetta.models.folders import check_model_folder
from rosetta.models.loading import load_model
from rosetta.models.model_manifest import write_model_manifest
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.neurons import Neuron, NeuronShape, parse_neuron
from rosetta.models.output_weights import output_weights
from rosetta.models.sites import neuron_sites
from rosetta.models.sources import ModelSource

MIXTURES = [name for name, architecture in ARCHITECTURES.items() if architecture.experts]
N_EXPERTS = 5
SHAPE = NeuronShape(4, 110, n_experts=5, d_expert=20)
IDS = torch.arange(3, 25).view(2, 11)


def captured(model, layer):
    rows = [row.numpy().astype(np.int32) for row in IDS]
    documents = [TokenizedDocument(row, np.zeros_like(row), np.zeros_like(row)) for row in rows]
    return next(forward(model, documents, len(rows), "m"))[layer]


@torch.no_grad()
def seen_by(model, layer):
    """The mixture of a layer, what it receives in a forward pass of `IDS`, and what it returns."""
    mlp, seen = model.model.layers[layer].mlp, []
    hook = mlp.register_forward_hook(lambda _m, inputs, output: seen.append((inputs[0], output)))
    model(input_ids=IDS)
    hook.remove()
    return mlp, seen[0][0].flatten(0, 1), seen[0][1].flatten(0, 1)


@pytest.mark.parametrize("implementation", ["eager", "grouped_mm", "batched_mm"])
@pytest.mark.parametrize("kind", MIXTURES)
@torch.no_grad()
def test_neurons_and_output_weights_make_the_modules_output(kind, implementation):
    """Σ over experts of routing weight × W_down · neurons, and the shared expert by its gate."""
    model = tiny_model(kind)
    model.config._experts_implementation = implementation
    shape = neuron_shape(model.config, "m")
    mlp, hidden, output = seen_by(model, 1)
    routing = functional.softmax(hidden @ mlp.gate.weight.T, dim=-1)
    lowest = routing.sort(dim=-1, descending=True).values[:, 1:2]
    routing = routing * (routing >= lowest)
    if kind == "mixtral":
        routing = routing / routing.sum(dim=-1, keepdim=True)
    scale = routing.repeat_interleave(shape.d_expert, dim=1)
    if hasattr(mlp, "shared_expert_gate"):
        gate = functional.sigmoid(mlp.shared_expert_gate(hidden))
        scale = torch.cat([scale, gate.expand(-1, shape.d_mlp - shape.n_routed)], dim=1)
    neurons, weights = captured(model, 1), list(output_weights(model, "m"))[1]
    torch.testing.assert_close((neurons * scale) @ weights, output, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", MIXTURES)
@torch.no_grad()
def test_a_neuron_is_zero_exactly_where_its_expert_is_not_asked(kind):
    model = tiny_model(kind)
    shape = neuron_shape(model.config, "m")
    mlp, hidden, _ = seen_by(model, 0)
    neurons = captured(model, 0)
    torch.testing.assert_close(neurons, mixture_neurons(mlp, hidden), atol=1e-5, rtol=1e-4)
    routed = (
        neurons[:, : shape.n_routed].view(len(hidden), shape.n_experts, shape.d_expert) != 0
    ).any(dim=2)
    assert routed.sum(dim=1).tolist() == [2] * len(hidden)
    assert (shape.n_experts, shape.d_mlp > shape.n_routed) == (N_EXPERTS, kind == "qwen2_moe")


@torch.no_grad()
def test_an_expert_that_no_token_asks_for_is_silent():
    model = tiny_model("olmoe")
    for layer in model.model.layers:
        layer.mlp.gate.weight[:] = 0  # all logits are equal: the same two experts for every token
    neurons = captured(model, 0).view(-1, N_EXPERTS, 12)
    assert (neurons != 0).any(dim=(0, 2)).sum() == 2


@pytest.mark.parametrize(
    "wanted", [["L1/E0/U3"], ["L0/E4/U1", "L1/E2/U7", "L1/E3/U0"], ["L1/S/U19", "L1/E1/U2"]]
)
def test_a_probe_reads_what_a_capture_does_and_then_ends(wanted):
    model = tiny_model("qwen2_moe")
    shape = neuron_shape(model.config, "m")
    neurons = [parse_neuron(name, shape, "--neuron") for name in wanted]
    ran = []
    hook = model.model.norm.register_forward_hook(lambda *_: ran.append(1))
    found = NeuronProbe(model, neurons, "m")(IDS, torch.ones_like(IDS))
    hook.remove()
    assert not ran
    for values, (layer, unit) in zip(found, neurons, strict=True):
        np.testing.assert_allclose(values.ravel(), captured(model, layer)[:, unit], atol=1e-6)
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("unit", "name"),
    [(0, "L3/E0/U0"), (19, "L3/E0/U19"), (20, "L3/E1/U0"), (99, "L3/E4/U19"), (105, "L3/S/U5")],
)
def test_names_of_neurons_of_experts(unit, name):
    assert SHAPE.name(3, unit) == name
    for text in (name, name.lower(), f"3.{unit}", f"L3/U{unit}"):
        assert parse_neuron(text, SHAPE, "--neuron") == Neuron(3, unit)
    assert NeuronShape.of(json.loads(json.dumps(SHAPE.facts))) == SHAPE


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        (
            "L3/E5/U0",
            SHAPE,
            r"\(5 experts of 20 units and a shared one of 10\) go from L0/E0/U0 to L3/S/U9",
        ),
        ("L3/E1/U20", SHAPE, "is not in the model"),
        ("L3/S/U10", SHAPE, "is not in the model"),
        ("L3/U110", SHAPE, "is not in the model"),
        (
            "L3/S/U0",
            NeuronShape(4, 100, 5, 20),
            r"\(5 experts of 20 units\) go from L0/E0/U0 to L3/E4/U19",
        ),
        ("L0/S/U0", NeuronShape(4, 100), "whose 4 layers of 100 units go from L0/U0 to L3/U99"),
        ("L0/E0/U0", NeuronShape(4, 100), "is not in the model"),
        ("L0/E/U0", SHAPE, "Write it like .* L3/E17/U42"),
    ],
)
def test_bad_names_are_rejected(text, shape, message):
    with pytest.raises(ModelError, match=message):
        parse_neuron(text, shape, "--neuron")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mlp_only_layers": [1]}, r"not all of its 2 layers have experts .*layers differ in size"),
        (
            {"decoder_sparse_step": 2},
            r"not all of its 2 layers have experts .*layers differ in size",
        ),
        ({"num_experts": 0}, "gives 0 as the number of experts per layer"),
        ({"moe_intermediate_size": "8"}, "gives '8' as the number of neurons per expert"),
        ({"num_hidden_layers": 3}, "says 3 layers, and the weights are of 2"),
        ({"num_experts": 6}, "says 6 experts per layer, and the weights of layer 0 are of 5"),
        (
            {"moe_intermediate_size": 7},
            r"says 7 neurons per expert, and the weights of layer 0 are \[32, 8\]",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["qwen2_moe", "qwen3_moe"])
def test_a_folder_that_does_not_fit_is_rejected_before_anything_is_loaded(
    tmp_path, texts, kind, change, message
):
    save_tiny_model(tmp_path, texts, "llama")  # its tokenizer
    model = tiny_model(kind)
    model.save_pretrained(tmp_path)
    check_model_folder(tmp_path, "models.m.path")
    content = {**model.config.to_dict(), **change}
    content.pop("num_local_experts", None)
    content.setdefault("num_experts", N_EXPERTS)
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=rf"models\.m\.path.*{message}"):
        check_model_folder(tmp_path, "models.m.path")


@pytest.mark.parametrize("kind", MIXTURES)
def test_the_files_that_transformers_writes_are_read(tmp_path, texts, kind):
    """Mixtral's names among them."""
    save_tiny_model(tmp_path, texts, "llama")  # its tokenizer
    model = tiny_model(kind)
    model.save_pretrained(tmp_path)
    check_model_folder(tmp_path, "models.m.path")
    loaded = load_model(ModelSource("m", str(tmp_path)))
    for ours, theirs in zip(output_weights(loaded, "m"), output_weights(model, "m"), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kind", MIXTURES)
def test_the_hubs_own_names_of_the_number_of_experts_are_known(kind):
    """Files of the hub, and those that the library writes, may call it differently."""
    content = tiny_model(kind).config.to_dict()
    for name in ("num_experts", "num_local_experts"):
        file = {
            key: value
            for key, value in content.items()
            if key not in ("num_experts", "num_local_experts")
        }
        shape = neuron_shape(SimpleNamespace(**file, **{name: N_EXPERTS}), "m")
        assert shape == neuron_shape(tiny_model(kind).config, "m")


def test_a_configuration_that_does_not_fit_the_weights_is_rejected():
    model = tiny_model("qwen2_moe")
    for key in ("num_experts", "moe_intermediate_size", "shared_expert_intermediate_size"):
        other = copy.copy(model)
        other.config = copy.deepcopy(model.config)
        setattr(other.config, key, getattr(model.config, key) + 1)
        with pytest.raises(ModelError, match="but the configuration says"):
            neuron_sites(other, "m")


@pytest.fixture
def saved(tmp_path, texts):
    return ModelSource("m", str(save_tiny_model(tmp_path / "m", texts, "qwen2_moe")))


def test_a_store_of_a_mixture_names_its_experts(saved, tmp_path):
    """From a folder whose weights are stored expert by expert, to the manifest of its store."""
    inputs = shard_inputs(saved, [(0, "x = 1"), (1, "The river.")])
    settings = Activations(n_shards=1, sequence_length=16, dtype="float32")
    capture_shard(inputs, settings, tmp_path / "s" / "0.json", 0)
    (store,) = open_stores(tmp_path / "s")
    assert store.shape == neuron_shape(inputs.model_config, "m") == NeuronShape(2, 24, 4, 4)
    write_model_manifest(saved, tmp_path / "m.json", {})
    manifest = json.loads((tmp_path / "m.json").read_text())
    assert (manifest["n_experts"], manifest["d_expert"], manifest["d_mlp"]) == (4, 4, 24)
    assert NeuronShape.of(manifest) == store.shape
    with torch.no_grad():
        for layer in inputs.model.model.layers:
            layer.mlp.experts.gate_up_proj[:] = 1e20  # overflows when gate and up are multiplied
    with pytest.raises(StoreError, match=r"neuron L0/E\d/U0 reads .*inf"):
        capture_shard(inputs, settings, tmp_path / "t" / "0.json", 0)


def test_experts_that_a_manifest_cannot_have_are_rejected():
    tokens = {
        "n_positions": 4,
        "n_with_bytes": 4,
        "n_documents": 1,
        "n_layers": 1,
        "chunks": [4, 4],
    }
    holds = {**tokens, "d_mlp": 24, "dtype": "float32", "shard": 0, "n_shards": 1}
    manifest = {"format_version": 3, "made_by": {}, "files": {}}
    check_manifest({**manifest, "holds": {**holds, "n_experts": 4, "d_expert": 4}}, "s")
    for experts in ({"n_experts": 4}, {"d_expert": 4}, {"n_experts": 4, "d_expert": 7}):
        with pytest.raises(StoreError, match=r"holds\.n_experts"):
            check_manifest({**manifest, "holds": {**holds, **experts}}, "s")


@pytest.mark.parametrize("kind", MIXTURES)
def test_lora_updates_every_expert_and_no_router(kind):
    model = tiny_model(kind)
    reference = model(input_ids=IDS).logits
    tuned = with_lora(model, FilterPretraining(model="m", sequence_length=16, batch_size=2), 0, "m")
    torch.testing.assert_close(
        tuned(input_ids=IDS).logits, reference, msg="it starts as the base model"
    )
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.1)
    tuned(input_ids=IDS, labels=IDS).loss.backward()
    trained = {
        name: parameter for name, parameter in tuned.named_parameters() if parameter.requires_grad
    }
    assert all("lora" in name and parameter.grad is not None for name, parameter in trained.items())
    per_layer = [name for name in trained if ".layers.0." in name and "experts" in name]
    assert len(per_layer) == 4, "A and B of both matrices"
    assert all(N_EXPERTS in trained[name].shape for name in per_layer), "rank 1 in each expert"
    assert not any(".gate." in name or "shared_expert_gate" in name for name in trained)
