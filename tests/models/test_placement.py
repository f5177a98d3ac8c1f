"""Where models and their batches go: the arithmetic against brute force, what is refused, and
off-loaded models.
"""

import gc
import json
import math
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import accelerate
import numpy as np
import pytest
import torch
import yaml
from helpers import ARCHITECTURES, save_tiny_model, shard_inputs
from hypothesis import given
from hypothesis import strategies as st

from rosetta.activations.capture import capture_shard, forward, tokenize_shard
from rosetta.activations.folders import open_stores
from rosetta.activations.inputs import ShardInputs
from rosetta.activations.store import CHUNK_POSITIONS
from rosetta.config import Activations, parse_config
from rosetta.config.devices import Devices
from rosetta.errors import ConfigError, ModelError
from rosetta.models import devices
from rosetta.models.known_sizes import known_size
from rosetta.models.loading import load_config_of, load_model
from rosetta.models.loading_within_memory import load_placed, load_to_read
from rosetta.models.model_manifest import count_parameters
from rosetta.models.neurons import NeuronShape
from rosetta.models.output_weights import output_weights, unembedding
from rosetta.models.placement import (
    BLOCK_POSITIONS,
    MAX_BATCH,
    RESERVED,
    Demand,
    Placement,
    Room,
    place,
)
from rosetta.models.sources import ModelSource
from rosetta.plan.checks import check_config
from rosetta.plan.resources import BASE_MB, needs_of_job
from rosetta.plan.sweep import plan_run
from rosetta.run.paths import Paths

ROOT = Path(__file__).parents[2]
sizes = st.integers(0, 40).map(float)
demands = st.builds(
    lambda weights, n_layers, on_device, in_memory, fixed: Demand(
        weights, weights / n_layers, on_device, in_memory, fixed, "8 parameters in float32"
    ),
    st.integers(1, 120).map(float),
    st.integers(1, 12),
    sizes.map(lambda n: n + 1),
    sizes,
    sizes,
)
rooms = st.builds(
    lambda gpu, n_gpus, memory, offload: Room((float(gpu),) * n_gpus, float(memory), offload),
    st.integers(1, 100),
    st.integers(0, 4),
    st.integers(1, 400),
    st.sampled_from(["none", "cpu", "disk"]),
)


def whole_on(demand, room, n_gpus, batch):
    """Whether all weights lie beside a batch on so many GPUs, or in main memory, written out as a
    sum of needs.
    """
    beside = demand.fixed + batch * demand.in_memory
    if not n_gpus:
        return demand.weights + batch * demand.on_device + beside <= room.memory
    gaps = demand.layer * (n_gpus if n_gpus > 1 else 0)
    return (
        beside <= room.memory
        and demand.weights + n_gpus * batch * demand.on_device + gaps <= n_gpus * room.gpus[0]
    )


@given(demands, rooms, st.sampled_from(["auto", 1, 3]))
def test_a_model_goes_to_one_device_if_it_fits_else_to_all_with_the_largest_batch(
    demand, room, wanted
):
    batches = [wanted] if wanted != "auto" else range(1, MAX_BATCH + 1)
    counts = sorted({min(1, len(room.gpus)), len(room.gpus)})
    fitting = [(n, batch) for n in counts for batch in batches if whole_on(demand, room, n, batch)]
    try:
        placement = place(demand, room, wanted, "m")
    except ModelError:
        assert not fitting
        return
    if fitting:
        n_gpus = fitting[0][0]
        assert (placement.n_gpus, placement.batch_size) == (
            n_gpus,
            max(batch for n, batch in fitting if n == n_gpus),
        )
        assert (placement.max_memory is None) == (n_gpus < 2)
        assert "cpu" not in (placement.max_memory or {})
    else:
        assert room.offload != "none"
        assert placement.n_gpus == len(room.gpus)
        assert "cpu" in placement.max_memory


@given(demands, rooms, st.sampled_from(["auto", 1, 3]))
def test_no_device_is_given_more_than_it_has(demand, room, wanted):
    try:
        placement = place(demand, room, wanted, "m")
    except ModelError:
        return
    limits, batch = placement.max_memory or {}, placement.batch_size
    beside = demand.fixed + batch * demand.in_memory
    for device, limit in limits.items():
        if device != "cpu":
            assert 0 <= limit <= room.gpus[device] - batch * demand.on_device
        elif room.gpus:
            assert 0 <= limit <= room.memory - beside
        else:
            assert 0 <= limit <= room.memory - beside - batch * demand.on_device - demand.layer + 1
    if "cpu" in limits:  # each layer comes to a device when its turn is
        assert all(limits.get(n, math.inf) >= int(demand.layer) for n in range(len(room.gpus)))
        if room.offload == "cpu":
            assert sum(limits.values()) >= int(demand.weights) - len(limits)


@given(demands, rooms)
def test_more_memory_refuses_nothing_that_less_admits(demand, room):
    more = Room(tuple(2 * gpu for gpu in room.gpus), 2 * room.memory, room.offload)
    try:
        small = place(demand, room, "auto", "m")
    except ModelError:
        return
    large = place(demand, more, "auto", "m")
    assert (large.n_gpus, -large.batch_size) <= (small.n_gpus, -1)


def test_the_demand_of_a_model_of_known_size():
    """Llama-2 7B, and one document of 1,000 tokens, by hand."""
    demand = Demand.of(NeuronShape(32, 11008), 6_738_415_616, "bfloat16", 1000, stored="float16")
    assert demand.weights == 2 * 6_738_415_616
    assert demand.layer == demand.weights / 32
    assert demand.in_memory == 1000 * 32 * 11008 * 7
    assert demand.fixed == 4096 * 11008 * (32 * 2 * 3 + 24) + RESERVED
    assert demand.on_device == 1000 * 8 * 11008 * 2 + 1000 * 1000 * 43 * 6
    assert Demand.of(NeuronShape(32, 11008), 8, "float32", 9, stored=None).in_memory == 0
    assert BLOCK_POSITIONS == CHUNK_POSITIONS
    # Qwen3-30B-A3B: 128 experts of 768 neurons, of which a token passes few.
    mixture = Demand.of(NeuronShape(48, 98304, 128, 768), 8, "bfloat16", 1000, stored="float16")
    assert mixture.on_device == 1000 * 8 * 4 * 768 * 2 + 1000 * 1000 * 12 * 6
    assert mixture.in_memory == 1000 * 48 * 98304 * 7


def large(**devices):
    model = {"hub": "a/b", "revision": "x", "dtype": "bfloat16"}
    model["dimensions"] = {"n_layers": 80, "d_mlp": 28672, "n_parameters": 70_553_706_496}
    rest = {
        "ladders": {"l": [["a", "b"]]},
        "correlation": {"memory_gb": 200},
        "activations": {"batch_size": 1},
    }
    return {"models": {"a": model, "b": model}, **rest, **({"devices": devices} if devices else {})}


@pytest.mark.parametrize(
    ("given", "n_gpus"),
    [
        ({"gpu_memory_gb": 170}, 1),
        ({"gpu_memory_gb": 80, "n_gpus": 4}, 4),
        ({"gpu_memory_gb": 80, "n_gpus": 2, "cpu_memory_gb": 400}, 2),
        ({"gpu_memory_gb": 40, "cpu_memory_gb": 400}, 1),
        ({"gpu_memory_gb": 40, "cpu_memory_gb": 300, "offload": "disk"}, 1),
        ({"cpu_memory_gb": 500}, 0),
    ],
)
def test_a_model_that_fits_is_admitted(tmp_path, given, n_gpus):
    content = {**large(**given), "results": str(tmp_path), "gpu_from_minutes": 0}
    config = parse_config(content)
    check_config(config, need_sources=False)
    assert needs_of_job(config, Paths(tmp_path), "activations", {"model": "a"}).gpu == max(
        n_gpus, 1
    )
    for rule in ("activations", "twins", "vocabulary") if "cpu_memory_gb" in given else ():
        assert (
            needs_of_job(config, Paths(tmp_path), rule, {"model": "a"}).mb
            <= given["cpu_memory_gb"] * 1000 + 1500
        )


@pytest.mark.parametrize(
    "given",
    [
        {"gpu_memory_gb": 80, "offload": "none"},
        {"gpu_memory_gb": 80, "cpu_memory_gb": 100},
        {"gpu_memory_gb": 72, "n_gpus": 2, "offload": "none"},
        {"cpu_memory_gb": 150},
        {"cpu_memory_gb": 50, "offload": "disk"},
    ],
)
def test_the_planner_refuses_a_model_that_cannot_fit_with_the_numbers(tmp_path, given):
    config = parse_config({**large(**given), "results": str(tmp_path)})
    message = (
        r"models\.a: does not fit\. Its 70,553,706,496 parameters in bfloat16 take 141\.1 "
        r"GB .*there are .*devices\."
    )
    for refuse in (
        lambda: check_config(config, need_sources=False),
        lambda: plan_run(config, Paths(tmp_path)),
    ):
        with pytest.raises(ModelError, match=message):
            refuse()


def test_weights_that_fit_gpus_but_no_main_memory_are_refused_before_they_are_to_be_read(tmp_path):
    given = {"gpu_memory_gb": 80, "n_gpus": 4, "cpu_memory_gb": 100}
    trained = {"controls": {"untrained_seeds": []}}
    config = parse_config({**large(**given), "results": str(tmp_path), **trained})
    message = (
        r"in main memory: models\.a: does not fit.* 141\.1 GB .*100 GB.* more: "
        r"devices\.cpu_memory_gb"
    )
    for refuse in (
        lambda: check_config(config, need_sources=False),
        lambda: plan_run(config, Paths(tmp_path)),
    ):
        with pytest.raises(ModelError, match=message):
            refuse()
    config = parse_config({**large(**given, offload="disk"), "results": str(tmp_path), **trained})
    check_config(config, need_sources=False)
    assert needs_of_job(config, Paths(tmp_path), "vocabulary", {"model": "a"}).mb <= 100_000 + 1500
    assert max(phase.peak_bytes for phase in plan_run(config, Paths(tmp_path)).phases) < 201e9, (
        "that of correlation"
    )


@pytest.mark.parametrize(
    ("seeds", "cpu_memory_gb", "refused"), [([1], 100, True), ([], 100, False), ([1], 142, False)]
)
def test_weights_of_untrained_twins_are_made_in_main_memory(
    tmp_path, seeds, cpu_memory_gb, refused
):
    """Two GPUs hold the model, whose capture takes 73 GB of main memory beside them; its weights
    alone take 141 GB.
    """
    content = large(gpu_memory_gb=80, n_gpus=2, cpu_memory_gb=cpu_memory_gb, offload="disk")
    config = parse_config(
        {**content, "results": str(tmp_path), "controls": {"untrained_seeds": seeds}}
    )
    for admit in (
        lambda: check_config(config, need_sources=False),
        lambda: plan_run(config, Paths(tmp_path)),
    ):
        if not refused:
            admit()
            continue
        with pytest.raises(
            ModelError, match=r"^untrained twins .controls\.untrained_seeds.* 141\.1 GB .* 100 GB"
        ):
            admit()


def test_a_model_that_is_only_trained_need_not_fit_a_capture(tmp_path):
    tiny = yaml.safe_load((ROOT / "workflow" / "presets" / "tiny.yaml").read_text())
    tiny["models"]["big"] = large()["models"]["a"]
    tiny["filtering"]["pretraining"]["model"] = "big"
    config = parse_config({**tiny, "results": str(tmp_path), "devices": {"cpu_memory_gb": 1}})
    paths = Paths(tmp_path)
    check_config(config)
    assert plan_run(config, paths, 1.0).phases
    assert needs_of_job(config, paths, "model", {"model": "big"}).mb == BASE_MB + 800, (
        "it is not captured"
    )
    with pytest.raises(ModelError, match=r"models\.big: does not fit"):
        needs_of_job(config, paths, "activations", {"model": "big"})


def test_the_pools_batches_are_planned_too(tmp_path):
    tiny = yaml.safe_load((ROOT / "workflow" / "presets" / "tiny.yaml").read_text())
    content = {**tiny, "results": str(tmp_path), "devices": {"cpu_memory_gb": 1}}
    check_config(parse_config(content))
    content["filtering"]["scoring"]["batch_size"] = 100_000
    with pytest.raises(
        ModelError,
        match=r"filtering\.scoring: models\.\S+: does not fit.* batch of 100000 document",
    ):
        check_config(parse_config(content))


def test_two_models_at_once_have_half_the_memory_each(tmp_path):
    content = {**large(gpu_memory_gb=170), "results": str(tmp_path)}
    content["correlation"] = {"memory_gb": 200, "method": "screened"}
    check_config(parse_config(content), need_sources=False)
    content |= {
        "activations": {"batch_size": 1, "keep": False},
        "devices": {"gpu_memory_gb": 170, "offload": "none"},
    }
    with pytest.raises(ModelError, match=r"1 GPU.s. of 85 GB"):
        check_config(parse_config(content), need_sources=False)


def test_a_batch_that_is_to_be_found_needs_memory_that_is_given(tmp_path):
    content = {**large(), "activations": {"batch_size": "auto"}}
    with pytest.raises(
        ConfigError, match="batch_size: auto is what fits the memory given, and none is"
    ):
        parse_config(content)
    parse_config({**content, "devices": {"cpu_memory_gb": 4}})


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
        load_to_read(source, inputs.demand, Room((), RESERVED + inputs.demand.weights / 2, "none"))


def test_untrained_weights_are_not_left_on_disk(folders):
    source = ModelSource("m", str(folders["gpt2"]), untrained_seed=1)
    with pytest.raises(ModelError, match="not as its layers can be shared out"):
        load_model(source, {"cpu": 10_000})
    split = load_model(source, {"cpu": 10**9})
    assert all(map(torch.equal, split.parameters(), load_model(source).parameters()))
    assert Room((), 1.0, "disk").for_model(untrained=True).offload == "cpu"


def test_a_batch_above_the_gpus_memory_is_told_with_the_mend(folders):
    inputs = shard_inputs(ModelSource("m", str(folders["gpt2"])), DOCUMENTS)

    def no_memory(*_args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    inputs.model.base_model.register_forward_pre_hook(no_memory)
    with pytest.raises(
        ModelError, match=r"m: 3 document.* do not fit the GPU .*20 GiB.*activations\.batch_size"
    ):
        neurons(inputs.model, inputs)


def test_the_room_of_a_machine_with_gpus(monkeypatch):
    """What is given, but no more than there is; of the GPUs that a job sees."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _n: SimpleNamespace(total_memory=50e9)
    )
    assert devices.room_here(Devices(n_gpus=4, cpu_memory_gb=3)) == Room((45e9, 45e9), 3e9, "cpu")
    assert devices.room_here(Devices(gpu_memory_gb=20)).gpus == (20e9,)
    with pytest.raises(
        ConfigError,
        match=r"devices\.gpu_memory_gb: 80 is given, and this machine has 50\. Lower it",
    ):
        devices.room_here(Devices(gpu_memory_gb=80))
    with pytest.raises(
        ConfigError, match=r"devices\.cpu_memory_gb: 99999 is given, and this machine has"
    ):
        devices.room_here(Devices(cpu_memory_gb=99_999))


def test_a_batch_that_is_to_be_found_needs_memory_that_is_given_of_what_the_job_runs_on(
    monkeypatch,
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = parse_config({**large(gpu_memory_gb=200), "activations": {"batch_size": "auto"}})
    with pytest.raises(ConfigError, match=r"auto needs devices\.cpu_memory_gb on this machine"):
        ShardInputs.of(config, Paths("results"), "a", 0)


@pytest.fixture
def claim(tmp_path, monkeypatch):
    """Claim GPUs as one more job would: locks of two open files exclude each other, be they of one
    process or two.
    """
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    held = []

    def start(n_visible, n, names=""):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n_visible)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)
        monkeypatch.setattr(devices, "_claimed", {})
        held.append(devices._claimed)
        claimed = devices.claim_gpus(n)
        assert devices.claim_gpus(1) == claimed[:1], "a claim is kept"
        return claimed

    yield start
    for stream in (stream for job in held for stream in job.values()):
        stream.close()


def test_jobs_on_one_machine_spread_over_its_gpus(claim):
    found = [claim(3, 1) for _ in range(7)]
    assert sorted(Counter(number for (number,) in found).values()) == [2, 2, 3]
    assert {number for (number,) in found[:3]} == {0, 1, 2}
    assert len(set(claim(3, 2))) == 2
    assert sorted(claim(3, 9)) == [0, 1, 2], "no more than there are"
    assert claim(0, 1) == []


def test_a_folder_of_claims_that_is_another_users_is_refused(tmp_path, claim):
    target = tmp_path / "elsewhere"
    target.mkdir()
    (tmp_path / f"rosetta-gpus-{os.getuid()}").symlink_to(target)
    with pytest.raises(ConfigError, match=r"is not yours.* Set TMPDIR"):
        claim(1, 1)
    assert not list(target.iterdir())


def test_gpus_are_known_by_their_name_on_the_machine(claim):
    """Two jobs that each see one GPU, under the number 0, do not get into each other's way."""
    assert claim(2, 1, "4,5") == [0]
    assert claim(1, 1, "5") == [0]
    assert claim(3, 1, "4,5,GPU-1a/2") == [2]


def test_a_claim_ends_with_its_process(tmp_path, claim):
    code = (
        "import torch; torch.cuda.device_count = lambda: 2; from rosetta.models.devices "
        "import *; print(claim_gpus(1))"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    running = subprocess.Popen(
        [sys.executable, "-c", f"{code}; input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert running.stdout.readline() == "[0]\n"
    assert claim(2, 1) == [1]
    running.kill()
    running.communicate()
    assert claim(2, 1) == [0]


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


def test_placements_are_of_one_kind():
    """What fits one device needs no map; `Placement` is what jobs and the planner share."""
    demand = Demand.of(NeuronShape(2, 8), 1000, "float32", 4, stored="float16")
    assert place(demand, Room((), math.inf, "none"), 5, "m") == Placement(5, 0)
