"""Captured activations against a hand-written forward pass of the MLP, and what stores reject."""

import json
import weakref
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import ARCHITECTURES, random_ranges, save_stores, save_tiny_model, shard_inputs
from torch.nn import functional

from rosetta.activations.capture import capture_shard
from rosetta.activations.folders import open_stores
from rosetta.activations.store import Store, write_store
from rosetta.activations.variables import StoreDescription, StoreTokens
from rosetta.config import Activations
from rosetta.config.activations import CHUNK_POSITIONS
from rosetta.errors import ModelError, StoreError
from rosetta.models.loading import load_model
from rosetta.models.model_manifest import checked_manifest, write_model_manifest
from rosetta.models.neurons import NeuronShape
from rosetta.models.sources import ModelSource
from rosetta.models.tokenizers import load_tokenizer

DOCUMENTS = ["def f(x):\n    return x + 1\n", "The river, naïve café.", "x", "12 + 30 is 42. " * 5]


def hand_written_neurons(model, layer, hidden):
    """The neuron vector from the MLP's input, written out per architecture."""
    kind = model.config.model_type
    if kind == "gpt_neox":
        return functional.gelu(model.gpt_neox.layers[layer].mlp.dense_h_to_4h(hidden))
    if kind == "gpt2":
        mlp = model.transformer.h[layer].mlp
        return functional.gelu(hidden @ mlp.c_fc.weight + mlp.c_fc.bias, approximate="tanh")
    if kind == "opt":
        return functional.relu(model.model.decoder.layers[layer].fc1(hidden))
    mlp = model.model.layers[layer].mlp
    act = (lambda x: functional.gelu(x, approximate="tanh")) if kind == "gemma" else functional.silu
    return act(hidden @ mlp.gate_proj.weight.T) * (hidden @ mlp.up_proj.weight.T)


def mlp_input_module(model, layer):
    kind = model.config.model_type
    return {
        "gpt_neox": lambda: model.gpt_neox.layers[layer].mlp.dense_h_to_4h,
        "gpt2": lambda: model.transformer.h[layer].mlp.c_fc,
        "opt": lambda: model.model.decoder.layers[layer].fc1,
    }.get(kind, lambda: model.model.layers[layer].mlp.gate_proj)()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_captured_activations_equal_a_hand_written_forward(tmp_path, texts, architecture):
    bos = architecture == "opt"
    source = ModelSource("m", str(save_tiny_model(tmp_path / "m", texts, architecture, bos=bos)))
    model, tokenizer = load_model(source), load_tokenizer(source)
    assert model.config.model_type == architecture
    settings = Activations(n_shards=1, sequence_length=16, batch_size=3, dtype="float32")
    documents = list(enumerate(DOCUMENTS))
    capture_shard(
        shard_inputs(source, documents, batch_size=3), settings, tmp_path / "s" / "0.json", 0
    )
    (store,) = open_stores(tmp_path / "s")
    position = 0
    for number, text in documents:
        ids = tokenizer(text)["input_ids"][:16]
        rows = slice(position, position + len(ids))
        assert store.read("token_ids")[rows].tolist() == ids
        assert set(store.read("document_index")[rows].tolist()) <= {number}
        assert store.read("byte_start")[position] == 0
        for layer in range(2):
            seen = []
            hook = mlp_input_module(model, layer).register_forward_pre_hook(
                lambda _m, x, seen=seen: seen.append(x[0])
            )
            with torch.no_grad():  # one document alone, so padding cannot matter
                model(input_ids=torch.tensor([ids]))
                hook.remove()
                expected = hand_written_neurons(model, layer, seen[0].reshape(len(ids), -1))
            np.testing.assert_allclose(
                store.activations(layer, rows, slice(None)), expected.numpy(), atol=2e-6
            )
        position += len(ids)
    assert position == store.n_positions
    empty = store.read("byte_end") == store.read("byte_start")
    assert empty.sum() == (len(documents) if bos else 0)
    assert store.manifest["holds"]["n_with_bytes"] == store.n_positions - empty.sum()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_pilot_moments_are_those_of_the_stored_values(tmp_path, dtype):
    rng = np.random.default_rng(0)
    ranges = random_ranges(rng, [900] * 12, special=True, truncate=False)
    values = (rng.normal(size=(2, len(ranges[0]), 5)) * [1, 10, 0.1, 0, 1]).astype(np.float32) + 3
    (store,) = save_stores(tmp_path / "a", values, ranges, 12, dtype=dtype)
    kept = ranges[2] > ranges[1]
    stored = torch.from_numpy(values).to(getattr(torch, dtype)).double().numpy()[:, kept]
    moments = store.moments()
    assert moments.count == kept.sum()
    np.testing.assert_allclose(moments.mean, stored.mean(axis=1).ravel(), rtol=1e-12)
    np.testing.assert_allclose(moments.std, stored.std(axis=1).ravel(), rtol=1e-9, atol=1e-12)
    assert store.manifest["holds"]["n_dead"] == 2


@pytest.mark.parametrize(
    ("value", "fix"), [(1e6, "bfloat16"), (np.inf, "weights"), (np.nan, "weights")]
)
def test_overflow_names_the_neuron(tmp_path, value, fix):
    rng = np.random.default_rng(0)
    ranges = random_ranges(rng, [30] * 4)
    values = rng.normal(size=(3, len(ranges[0]), 5)).astype(np.float32)
    values[2, 7, 4] = value
    with pytest.raises(StoreError, match=rf"L2/U4.*{fix}"):
        save_stores(tmp_path / "a", values, ranges, 4, dtype="float16")
    assert not list((tmp_path / "a").glob("*")), "nothing is left behind"


@pytest.fixture
def saved(tmp_path):
    rng = np.random.default_rng(0)
    ranges = random_ranges(rng, [30] * 4)
    save_stores(
        tmp_path / "a", rng.normal(size=(1, len(ranges[0]), 5)).astype(np.float32), ranges, 4
    )
    return tmp_path / "a"


def read_everything(folder):
    (store,) = open_stores(folder)
    store.activations(0, slice(None), slice(None))
    for name in (
        "token_ids",
        "byte_start",
        "byte_end",
        "document_index",
        "document_ids",
        "mean",
        "m2",
    ):
        store.read(name)


def test_one_flipped_byte_in_any_file_is_found(saved):
    read_everything(saved)
    files = [path for path in saved.rglob("*") if path.is_file()]
    assert len(files) > 15
    for path in files:
        original = path.read_bytes()
        for at in {0, len(original) // 2, len(original) - 1}:
            path.write_bytes(original[:at] + bytes([original[at] ^ 0x10]) + original[at + 1 :])
            with pytest.raises(StoreError, match=r"0\.(zarr|json)"):
                read_everything(saved)
        path.write_bytes(original[:-1])
        with pytest.raises(StoreError):
            read_everything(saved)
        path.unlink()
        with (
            nullcontext() if path.suffix == ".digest" else pytest.raises(StoreError)
        ):  # other programs write none
            read_everything(saved)
        path.write_bytes(original)
    read_everything(saved)


def test_a_manifest_of_something_else_is_rejected(saved):
    manifest = json.loads((saved / "0.json").read_text())
    manifest["holds"]["n_positions"] += 1
    (saved / "0.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=r"0\.json: not what was written here"):
        Store(saved / "0.json")


def test_sequences_beyond_the_context_are_rejected(tmp_path, texts):
    source = ModelSource("m", str(save_tiny_model(tmp_path / "m", texts, "gpt2")))
    inputs = shard_inputs(source, [(0, "x")])
    with pytest.raises(ModelError, match="context of 32"):
        capture_shard(inputs, Activations(sequence_length=64), tmp_path / "0.json", 0)


def test_untrained_twins_are_random_and_reproducible(tmp_path, texts):
    folder = save_tiny_model(tmp_path / "m", texts, "qwen2", seed=5)
    weights = [
        load_model(ModelSource("m", str(folder), untrained_seed=seed))
        .model.layers[0]
        .mlp.up_proj.weight
        for seed in (0, 0, 1, None)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3])


def test_the_model_manifest_counts_neurons_and_parameters(tmp_path, texts):
    source = ModelSource("m", str(save_tiny_model(tmp_path / "m", texts, "llama")))
    write_model_manifest(source, tmp_path / "m.json", {})
    manifest = json.loads((tmp_path / "m.json").read_text())
    assert (manifest["n_layers"], manifest["d_mlp"], manifest["n_neurons"]) == (2, 24, 48)
    assert manifest["n_parameters"] == sum(p.numel() for p in load_model(source).parameters())


def test_an_untrained_twin_is_known_however_its_folder_is_spelled(tmp_path, texts, monkeypatch):
    save_tiny_model(tmp_path / "m", texts, "llama")
    monkeypatch.chdir(tmp_path)
    source = ModelSource("m", "m", untrained_seed=0)
    write_model_manifest(source, tmp_path / "m.json", {"stage": "model"})
    elsewhere = replace(source, location=str(tmp_path / "m"))
    known = checked_manifest(source, tmp_path / "m.json")
    assert checked_manifest(elsewhere, tmp_path / "m.json") == known
    with pytest.raises(ModelError, match="not those that"):
        checked_manifest(replace(source, untrained_seed=1), tmp_path / "m.json")


def test_replaced_weights_are_rejected(tmp_path, texts):
    source = ModelSource("m", str(save_tiny_model(tmp_path / "m", texts, "llama")))
    write_model_manifest(source, tmp_path / "m.json", {"stage": "train"})
    checked_manifest(source, tmp_path / "m.json")
    save_tiny_model(tmp_path / "m", texts, "llama", seed=1)
    with pytest.raises(StoreError, match=r"m/\S+: .* m\.json (describes|tells)"):
        checked_manifest(source, tmp_path / "m.json")
    write_model_manifest(source, tmp_path / "of the run" / "m.json", {})
    save_tiny_model(tmp_path / "m", texts, "llama", seed=2)
    with pytest.raises(ModelError, match=r"not what it was when models\.m was looked at first"):
        checked_manifest(source, tmp_path / "of the run" / "m.json")


def test_weights_that_lack_a_tensor_are_rejected(tmp_path, texts):
    from safetensors.torch import load_file, save_file

    folder = save_tiny_model(tmp_path / "m", texts, "llama")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.down_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="down_proj"):
        load_model(ModelSource("m", str(folder)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_written_does_not_lie_beside_the_next_batches(tmp_path, monkeypatch, dtype):
    """As the arithmetic of placement has it: neither a block nor the batches in it, once the next
    batch is made.
    """
    n_rows, made, cat = CHUNK_POSITIONS - 1000, [], torch.cat

    def joined(*arguments, **options):
        made.append(weakref.ref(found := cat(*arguments, **options)))
        return found

    def batches():
        for number in range(4):
            rounded = torch.full((1, n_rows, 2), number + 1.0)
            made.append(weakref.ref(rounded))
            yield rounded
            del rounded
            if number:  # with the second, third and fourth batch a block is full
                assert not [found for found in made if found() is not None]

    monkeypatch.setattr(torch, "cat", joined)
    n = 4 * n_rows
    ranges = (
        np.arange(n, dtype=np.int32),
        np.arange(n, dtype=np.int32),
        np.arange(1, n + 1, dtype=np.int32),
    )
    owners = np.zeros(n, np.int32), np.zeros(1, np.uint64), np.array([n])
    write_store(
        tmp_path / "0.json",
        batches(),
        StoreTokens(*ranges, *owners),
        StoreDescription(
            shape=NeuronShape(1, 2), dtype=dtype, shard=0, n_shards=1, made_by={}, place="m"
        ),
    )
    (store,) = open_stores(tmp_path)
    found = store.activations(0, slice(None), slice(None)).float().numpy()
    np.testing.assert_array_equal(found, np.repeat([1.0, 2, 3, 4], n_rows)[:, None] * np.ones(2))
