"""Models whose weights wait in main memory or on disk give the same neurons."""

import gc
import json
import tempfile
from dataclasses import replace

import accelerate
import numpy as np
import pytest
import torch
from helpers import ARCHITECTURES, save_tiny_model, shard_inputs

from rosetta.activations.capture import capture_shard, forward, tokenize_shard
from rosetta.activations.folders import open_stores
from rosetta.config import Activations, parse_config
from rosetta.errors import ModelError
from rosetta.models.known_sizes import known_size
from rosetta.models.loading import load_config_of, load_model
from rosetta.models.loading_within_memory import load_placed, load_to_read
from rosetta.models.model_manifest import count_parameters
from rosetta.models.output_weights import output_weights, unembedding
from rosetta.models.placement import (
    MODEL_PROCESS_BYTES,
    Room,
)
from rosetta.models.sources import ModelSource
from rosetta.run.paths import Paths


@pytest.fixture(scope="module")
def folders(tmp_path_factory, texts):
    root = tmp_path_factory.mktemp("models")
    return {
        kind: save_tiny_model(root / kind, texts, kind, seed=3)
        for kind in (*ARCHITECTURES, "qwen2_moe")
    }


DOCUMENTS = list(
    enumerate(
        ["def f(x):\n    return x + 1\n", "The river, naïve café.", "x", "12 + 30 is 42. " * 2]
    )
)


def neurons(model, inputs):
    tokenized, _ = tokenize_shard(inputs, Activations(n_shards=1, sequence_length=16))
    return torch.cat(list(forward(model, tokenized, 3, "m")), dim=1)


@pytest.mark.parametrize("kind", [*ARCHITECTURES, "qwen2_moe"])
def test_weights_that_wait_elsewhere_give_the_same_neurons(folders, kind):
    """On disk, in the model's own files, as transformers places them; and in memory, as accelerate
    does for a GPU.
    """
    source = ModelSource("m", str(folders[kind]))
    inputs = shard_inputs(source, DOCUMENTS)
    whole = load_model(source)
    on_disk = load_model(source, {"cpu": int(inputs.demand.weights / 2)})
    in_memory = accelerate.cpu_offload(load_model(source), execution_device=torch.device("cpu"))
    assert "disk" in on_disk.hf_device_map.values()
    expected = neurons(whole, inputs)
    for model in (on_disk, in_memory):
        assert any(parameter.device.type == "meta" for parameter in model.parameters())
        assert torch.equal(neurons(model, inputs), expected)
        assert torch.equal(neurons(model, inputs), expected), "and once more, after they went back"
        for fold in (False, True):
            found = unembedding(model, "m", range(300), fold_final_norm=fold)
            assert torch.equal(found, unembedding(whole, "m", range(300), fold_final_norm=fold))
        assert all(map(torch.equal, output_weights(model, "m"), output_weights(whole, "m")))


def test_what_waits_in_a_folder_of_its_own_goes_with_its_model(folders, tmp_path, monkeypatch):
    """Without stores models are loaded again and again, and each leaves converted experts there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source = ModelSource("m", str(folders["qwen2_moe"]))
    model = load_model(source, {"cpu": 20_000})
    assert list(tmp_path.rglob("*experts*")), "converted, they wait here"
    del model
    gc.collect()
    assert not list(tmp_path.iterdir())
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_bytes(
        (folders["qwen2_moe"] / "config.json").read_bytes()
    )
    with pytest.raises(ModelError, match="cannot load the weights"):
        load_model(ModelSource("m", str(tmp_path / "m")), {"cpu": 20_000})
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_batch_brings_the_experts_of_a_layer_in_once_for_all_of_their_neurons(
    folders, monkeypatch
):
    """And once more for what the layer itself computes, which accelerate does behind the hooks."""
    source, brought = ModelSource("m", str(folders["qwen2_moe"])), []
    inputs = shard_inputs(source, DOCUMENTS)
    model = accelerate.cpu_offload(load_model(source), execution_device=torch.device("cpu"))
    experts = model.model.layers[1].mlp.experts
    bring = experts._hf_hook.pre_forward
    monkeypatch.setattr(
        experts._hf_hook, "pre_forward", lambda *a, **k: (brought.append(1), bring(*a, **k))[1]
    )
    found = neurons(model, inputs)
    n_batches = -(-len(DOCUMENTS) // 3)
    assert len(brought) == 2 * n_batches
    assert torch.equal(found, neurons(load_model(source), inputs))
    brought.clear()
    assert len(list(output_weights(model, "m"))) == 2
    assert len(brought) == 1


def room_for(inputs, share):
    """Main memory for a batch of one document and a share of the weights."""
    demand = inputs.demand
    return Room(
        (), demand.fixed + demand.in_memory + demand.on_device + share * demand.weights, "disk"
    )


def test_a_store_of_a_model_larger_than_memory(folders, tmp_path, capsys):
    source = ModelSource("m", str(folders["qwen2"]))
    settings = Activations(n_shards=1, sequence_length=32, dtype="float32")
    inputs = shard_inputs(source, DOCUMENTS, batch_size="auto")
    small = replace(inputs, room=room_for(inputs, 0.7))
    for name, one in {
        "whole": replace(inputs, wanted_batch=small.batch_size),
        "small": small,
    }.items():
        capture_shard(one, settings, tmp_path / name / "0.json", 0)
    (whole,), (parts,) = (open_stores(tmp_path / name) for name in ("whole", "small"))
    assert "disk" in small.model.hf_device_map.values()
    assert "models.m: on cpu; 1 document" in (told := capsys.readouterr().err)
    assert "disk; 1 document" in told
    for layer in range(whole.n_layers):
        np.testing.assert_array_equal(
            *(store.activations(layer, slice(None), slice(None)) for store in (whole, parts))
        )
    with pytest.raises(ModelError, match=r"models\.m: does not fit"):
        load_placed(source, inputs.demand, room_for(inputs, 0.7)._replace(offload="none"), 1)
    with pytest.raises(ModelError, match=r"models\.m: does not fit"):
        load_to_read(
            source, inputs.demand, Room((), MODEL_PROCESS_BYTES + inputs.demand.weights / 2, "none")
        )


def test_untrained_weights_are_not_left_on_disk(folders):
    source = ModelSource("m", str(folders["gpt2"]), untrained_seed=1)
    with pytest.raises(ModelError, match="not as its layers can be shared out"):
        load_model(source, {"cpu": 10_000})
    split = load_model(source, {"cpu": 10**9})
    assert all(map(torch.equal, split.parameters(), load_model(source).parameters()))
    assert Room((), 1.0, "disk").for_model(untrained=True).offload == "cpu"


def test_a_batch_above_the_gpus_memory_is_told_with_the_fix(folders):
    inputs = shard_inputs(ModelSource("m", str(folders["gpt2"])), DOCUMENTS)

    def no_memory(*_args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    inputs.model.base_model.register_forward_pre_hook(no_memory)
    with pytest.raises(
        ModelError, match=r"m: 3 document.* do not fit the GPU .*20 GiB.*activations\.batch_size"
    ):
        neurons(inputs.model, inputs)


def test_parameters_of_a_folder_are_counted_from_its_headers(folders):
    for kind, folder in folders.items():
        config = parse_config(
            {
                "models": {"a": {"path": str(folder)}, "b": {"untrained": {"of": "a"}}},
                "ladders": {"l": [["a", "b"]]},
            }
        )
        source = ModelSource("a", str(folder))
        for name in "ab":
            size = known_size(config, Paths(folder.parent / "none"), name)
            assert size.n_parameters == count_parameters(load_config_of(source)), kind
            assert json.loads((folder / "config.json").read_text())["model_type"] == kind
