"""What the tiles of a pair have on a GPU beside live models, and the disk that their sums take."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from store_pairs import make_pair

import rosetta.correlation.pairs
from rosetta.config import Correlation, Dask, parse_config
from rosetta.correlation.pairs import _work
from rosetta.correlation.plan import (
    WINDOW,
    Budget,
    PairSize,
    Workers,
    cell_bytes,
    checkpoint_bytes,
    plan_tiles,
)
from rosetta.correlation.request import CorrelationRequest
from rosetta.correlation.view import View
from rosetta.errors import PlanError
from rosetta.models.known_sizes import Size, planned_capture
from rosetta.models.neurons import NeuronShape
from rosetta.plan.checks import check_config
from rosetta.plan.costs import pairs
from rosetta.plan.costs.base import Known
from rosetta.plan.costs.stages import COSTS
from rosetta.plan.extent import Extent
from rosetta.plan.sweep import _checkpoint_notes, _pair_notes

PAIR = ("a", "b")
LENGTH, N_LAYERS, D_MLP, N_PARAMETERS, BATCH = 1000, 32, 4096, 10**9, 2
ON_DEVICE = LENGTH * 8 * D_MLP * 2 + LENGTH**2 * 16 * 6  # of a layer of a document, in bfloat16
KEPT = LENGTH * N_LAYERS * D_MLP * (2 + 2 + 2 + 1)  # its activations of all layers
MODEL = 2 * N_PARAMETERS + BATCH * (ON_DEVICE + KEPT)


def config_of(tmp_path, **sections):
    dimensions = {"n_layers": N_LAYERS, "d_mlp": D_MLP, "n_parameters": N_PARAMETERS}
    dimensions |= sections.pop("dimensions", {})
    model = {"revision": "x", "dtype": "bfloat16", "dimensions": dimensions}
    activations = {"max_documents": 100, "sequence_length": LENGTH, "batch_size": BATCH}
    content = {
        "results": str(tmp_path),
        "models": {name: {**model, "hub": f"somebody/{name}"} for name in PAIR},
        "ladders": {"l": [list(PAIR)]},
        "activations": {**activations, "keep": False, **sections.pop("activations", {})},
        "correlation": {"memory_gb": 64, "precision": "float32"},
        "devices": {"gpu_memory_gb": 24, "offload": "none"},
        "controls": {"untrained_seeds": [], "permutation_seeds": [0, 1]},
    }
    return parse_config({**content, **sections})


def known_of(config, precision="float32"):
    size = Size(NeuronShape(N_LAYERS, D_MLP), N_PARAMETERS)
    return Known(config, Extent(positions=100 * LENGTH), lambda _: size, precision)


def test_tiles_have_what_a_gpu_leaves_beside_live_models(tmp_path):
    live = config_of(tmp_path)
    assert planned_capture(live, "a", known_of(live).size_of("a")).gpu_bytes == MODEL
    budget = pairs.tile_budget(known_of(live), PAIR)
    assert budget.of_gpu
    assert budget.memory_gb == pytest.approx(24 - 2 * MODEL / 1e9)
    stored = config_of(tmp_path, activations={"keep": True})
    assert pairs.tile_budget(known_of(stored), PAIR).memory_gb == 24, "no model runs meanwhile"
    assert pairs.tile_budget(known_of(live, "float64"), PAIR).memory_gb == 64, "on the CPU"
    for devices in ({}, {"gpu_memory_gb": 500}):
        large = config_of(tmp_path, devices=devices)
        assert pairs.tile_budget(known_of(large), PAIR) == Budget(64)
    small, large = (known_of(config_of(tmp_path, devices={"gpu_memory_gb": n})) for n in (24, 500))
    assert pairs.passes(small, PAIR) > pairs.passes(large, PAIR)


def test_models_that_leave_no_tile_are_told_before_the_first_job(tmp_path):
    dimensions = {"n_layers": 4, "n_parameters": 10**8}
    for gpu_memory_gb in (2.0, 2.5):
        devices = {"gpu_memory_gb": gpu_memory_gb, "offload": "none"}
        config = config_of(tmp_path, dimensions=dimensions, devices=devices)
        if gpu_memory_gb > 2:
            check_config(config, need_sources=False)
            continue
        message = r"devices\.gpu_memory_gb: 0\.\d+ beside the models is too little; at least 0\.\d"
        with pytest.raises(PlanError, match=message):
            check_config(config, need_sources=False)


def test_a_plan_tells_the_gpu_and_the_disk_of_passes(tmp_path):
    live = known_of(config_of(tmp_path))
    (told,), (disk,) = _pair_notes(live), _checkpoint_notes(live)
    assert told.endswith(f" beside {2 * MODEL / 1e9:.1f} GB of a GPU for the models")
    saved = pairs.saved_bytes(live, PAIR, "permutation", 3)
    assert disk.endswith(f"5 minutes save their sums: up to {saved / 1e9:.1f} GB of disk a job")
    changed = {"activations": {"keep": True}, "correlation": {"memory_gb": 0.8}}
    stored = known_of(config_of(tmp_path, **changed))
    assert _pair_notes(stored)[0].endswith("GB")
    assert "of a GPU" not in _pair_notes(stored)[0]
    assert _checkpoint_notes(stored) == []


@given(
    n_a=st.integers(1, 20_000),
    n_b=st.integers(1, 20_000),
    n_positions=st.sampled_from([WINDOW, WINDOW + 1]),
    precision=st.sampled_from(["float32", "float64"]),
    n=st.integers(1, 3),
)
def test_checkpoints_take_the_sums_of_the_largest_tiles_twice(n_a, n_b, n_positions, precision, n):
    plan = plan_tiles(PairSize(n_a, n_b, n_positions), Budget(1.5), precision=precision)
    cells = max((t.a_high - t.a_low) * (t.b_high - t.b_low) for t in plan.tiles)
    of_cell = 8 if precision == "float64" else 4 if n_positions == WINDOW else 4 + 8
    assert cell_bytes(precision, n_positions) == of_cell
    assert checkpoint_bytes(plan, n, of_cell) == 2 * n * of_cell * cells


def test_jobs_that_correlate_reckon_with_the_disk_of_their_checkpoints(tmp_path):
    config = config_of(tmp_path, devices={})
    known, cells = known_of(config), (N_LAYERS * D_MLP) ** 2
    plan = plan_tiles(known.pair_size(PAIR), Budget(64))
    assert len(plan.tiles) > 1
    most = 2 * 12 * cells / len(plan.tiles)
    assert pairs.saved_bytes(known, PAIR) == pytest.approx(most)
    job = {"pair": "a--b"}
    nulls = COSTS["nulls"](known, {**job, "control": "documents"})
    for cost in (COSTS["correlate"](known, job), nulls, COSTS["sweeps"](known, job)):
        assert 0 < cost.scratch_bytes <= 3 * most
    assert COSTS["intervals"](known, job).scratch_bytes == 0, "its passes save nothing"
    workers = known_of(config.model_copy(update={"dask": Dask(n_workers=2)}))
    assert pairs.saved_bytes(workers, PAIR) <= pairs.saved_bytes(known, PAIR)


@pytest.mark.parametrize(
    ("given", "n_jobs", "there", "used", "held", "left"),
    [
        (None, 1, 10, 0, 0, 4),  # all that was asked for
        (None, 1, 3, 0, 0, 3),  # what is there
        (None, 1, 10, 1, 8, 2),  # live models, one of which is loaded
        (None, 1, 10, 9, 0, 1),  # others of this process
        (5, 1, 10, 0, 2, 3),  # what is given
        (5, 1, 2.5, 0, 2, 0.5),  # and there
        (None, 2, 3, 0, 0, 4),  # jobs that have to cut the same tiles
        (5, 2, 3, 0, 2, 3),
    ],
)
def test_a_job_plans_with_what_its_gpu_has(
    tmp_path, monkeypatch, given, n_jobs, there, used, held, left
):
    pair = make_pair(tmp_path, 3, (1, 4), (1, 4), 1, "float32")
    settings_ = Correlation(memory_gb=4, n_jobs=n_jobs, precision="float32")
    folders = [store[0].path.parent for store in pair]
    request = CorrelationRequest(*folders, "mean", settings_, Dask(n_workers=2), given)
    work = _work(request, 0, View(), tmp_path / "tiles")
    assert work.budget == Budget(4, Workers(2)), "a CPU takes what is given"
    monkeypatch.setattr(rosetta.correlation.pairs, "product_device", lambda _: torch.device("cuda"))
    monkeypatch.setattr(
        rosetta.correlation.pairs, "gpu_memory", lambda _: (there * 1e9, used * 1e9)
    )
    monkeypatch.setattr(type(work.pair.a.stores[0]), "gpu_bytes", held / 2 * 1e9)
    assert replace(work).budget.memory_gb == pytest.approx(left)
    assert work.budget.workers == Workers(2)
