"""Where models and their batches go: the arithmetic against brute force, what is rejected, and
off-loaded models.
"""

import math
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rosetta.activations.inputs import ShardInputs
from rosetta.config import parse_config
from rosetta.errors import ConfigError, ModelError
from rosetta.models.neurons import NeuronShape
from rosetta.models.placement import (
    MAX_BATCH,
    MODEL_PROCESS_BYTES,
    Demand,
    Placement,
    Room,
    place,
)
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


@given(demands, rooms, st.sampled_from(["auto", 1, 3]), st.integers(1, 200))
def test_live_models_leave_a_gpu_what_tiles_need(demand, room, wanted, tile):
    """Two models share each GPU, and a tile has the rest: all that it wants where batches are to be
    found, an eighth of the GPU elsewhere.
    """
    shared = room._replace(tile=float(tile)).shared(2)
    try:
        placement = place(demand, shared, wanted, "m")
    except ModelError:
        return
    batch = placement.batch_size * demand.on_device
    limits = placement.max_memory or {0: demand.weights}
    for number, gpu in enumerate(room.gpus[: placement.n_gpus]):
        least = tile if wanted == "auto" and placement.batch_size > 1 else min(tile, gpu / 8)
        assert 2 * (limits[number] + batch) + least <= gpu + 1e-6


@given(demands, rooms)
def test_more_memory_rejects_nothing_that_less_admits(demand, room):
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
    assert demand.fixed == 4096 * 11008 * (32 * 2 * 3 + 24) + MODEL_PROCESS_BYTES
    assert demand.on_device == 1000 * 8 * 11008 * 2 + 1000 * 1000 * 43 * 6
    assert Demand.of(NeuronShape(32, 11008), 8, "float32", 9, stored=None).in_memory == 0
    # Qwen3-30B-A3B: 128 experts of 768 neurons, of which a token passes few.
    mixture = Demand.of(NeuronShape(48, 98304, 128, 768), 8, "bfloat16", 1000, stored="float16")
    assert mixture.on_device == 1000 * 8 * 4 * 768 * 2 + 1000 * 1000 * 12 * 6
    assert mixture.in_memory == 1000 * 48 * 98304 * 7


def large(**devices):
    model = {"revision": "x", "dtype": "bfloat16"}
    model["dimensions"] = {"n_layers": 80, "d_mlp": 28672, "n_parameters": 70_553_706_496}
    rest = {
        "ladders": {"l": [["a", "b"]]},
        "correlation": {"memory_gb": 200},
        "activations": {"batch_size": 1},
    }
    models = {name: {**model, "hub": f"somebody/{name}"} for name in "ab"}
    return {"models": models, **rest, **({"devices": devices} if devices else {})}


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
def test_the_planner_rejects_a_model_that_cannot_fit_with_the_numbers(tmp_path, given):
    config = parse_config({**large(**given), "results": str(tmp_path)})
    message = (
        r"models\.a: does not fit\. Its 70,553,706,496 parameters in bfloat16 take 141\.1 "
        r"GB .*there are .*devices\."
    )
    for reject in (
        lambda: check_config(config, need_sources=False),
        lambda: plan_run(config, Paths(tmp_path)),
    ):
        with pytest.raises(ModelError, match=message):
            reject()


def test_weights_that_fit_gpus_but_no_main_memory_are_rejected_before_they_are_to_be_read(tmp_path):
    given = {"gpu_memory_gb": 80, "n_gpus": 4, "cpu_memory_gb": 100}
    # Attributions hold the weights of both models of a pair.
    trained = {"controls": {"untrained_seeds": []}, "attribution": None}
    config = parse_config({**large(**given), "results": str(tmp_path), **trained})
    message = (
        r"in main memory: models\.a: does not fit.* 141\.1 GB .*100 GB.* more: "
        r"devices\.cpu_memory_gb"
    )
    for reject in (
        lambda: check_config(config, need_sources=False),
        lambda: plan_run(config, Paths(tmp_path)),
    ):
        with pytest.raises(ModelError, match=message):
            reject()
    config = parse_config({**large(**given, offload="disk"), "results": str(tmp_path), **trained})
    check_config(config, need_sources=False)
    assert needs_of_job(config, Paths(tmp_path), "vocabulary", {"model": "a"}).mb <= 100_000 + 1500
    assert max(phase.peak_bytes for phase in plan_run(config, Paths(tmp_path)).phases) < 201e9, (
        "that of correlation"
    )


@pytest.mark.parametrize(
    ("seeds", "cpu_memory_gb", "rejected"), [([1], 100, True), ([], 100, False), ([1], 142, False)]
)
def test_weights_of_untrained_twins_are_made_in_main_memory(
    tmp_path, seeds, cpu_memory_gb, rejected
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
        if not rejected:
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


def test_a_batch_that_is_to_be_found_needs_memory_that_is_given_of_what_the_job_runs_on(
    monkeypatch,
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = parse_config({**large(gpu_memory_gb=200), "activations": {"batch_size": "auto"}})
    with pytest.raises(ConfigError, match=r"auto needs devices\.cpu_memory_gb on this machine"):
        ShardInputs.of(config, Paths("results"), "a", 0)


def test_placements_are_of_one_kind():
    """What fits one device needs no map; `Placement` is what jobs and the planner share."""
    demand = Demand.of(NeuronShape(2, 8), 1000, "float32", 4, stored="float16")
    assert place(demand, Room((), math.inf, "none"), 5, "m") == Placement(5, 0)
