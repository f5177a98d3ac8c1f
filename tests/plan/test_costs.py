"""One price list: a plan adds up the costs that jobs are given and checks compare with."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rosetta.plan.speed
from rosetta.config import group_name, load_config, parse_config
from rosetta.errors import ModelError, StageError
from rosetta.matching.mutual import PAIR_KEYS
from rosetta.plan.checks import check_config
from rosetta.plan.costs import pairs, sae
from rosetta.plan.costs.base import TABLES, Operations
from rosetta.plan.costs.stages import COSTS, check_prices, job_cost
from rosetta.plan.extent import expected_extent, largest_extent
from rosetta.plan.resources import (
    BASE_MB,
    DAY,
    GROWING,
    GROWING_STAGES,
    MB,
    SLOW_FLOPS,
    SLOW_GPU_FLOPS,
    START_MINUTES,
    known_at_most,
    needs_of_job,
)
from rosetta.plan.speed import Speed
from rosetta.plan.sweep import START_SECONDS, Phase, expected, plan_run
from rosetta.run.paths import Paths
from rosetta.run.stages import job_names, pieces_of_job, rule_jobs

ROOT = Path(__file__).parents[2]
PRESETS = [ROOT / "config.yaml", *sorted((ROOT / "workflow" / "presets").glob("*.yaml"))]
MOST_SHARDS = 8
MODEL_STAGES = ("train", "model", "activations", "vocabulary", "neurons")


load = lru_cache(maxsize=None)(load_config)


def rule_costs(known, rule):
    """The cost of every job of a rule."""
    return [job_cost(known, rule, job) for job in rule_jobs(known.config)[rule]]


def stored_or_live(path, live):
    config = load(path)
    # Shards cost alike, and there are thousands in the largest preset.
    few = {"n_shards": min(config.activations.n_shards, MOST_SHARDS)}
    config = config.model_copy(update={"activations": config.activations.model_copy(update=few)})
    if not live:
        return config
    correlation = config.correlation.model_copy(update={"method": "screened", "n_jobs": 1})
    activations = config.activations.model_copy(update={"keep": False})
    return config.model_copy(update={"correlation": correlation, "activations": activations})


RUNS = [(path, live) for path in PRESETS for live in (False, True)]


NAMES = [f"{path.stem}-{'live' if live else 'stored'}" for path, live in RUNS]


@pytest.fixture(params=RUNS, ids=NAMES)
def config(request):
    return stored_or_live(*request.param)


def needs_of(config, paths, rule):
    """What a cluster is asked for, for every job of a rule: wildcards are text in a rule."""
    return [
        needs_of_job(config, paths, rule, {name: str(value) for name, value in job.items()})
        for job in rule_jobs(config)[rule]
    ]


def stages_of(config, rule):
    """The stages whose work the jobs of a rule do."""
    jobs = rule_jobs(config)[rule]
    return {stage for job in jobs for stage, _ in pieces_of_job(config, rule, job)}


@pytest.mark.parametrize("wrong", [{"match": None}, {"mathc": COSTS["match"]}])
def test_a_stage_without_a_price_and_a_price_without_a_stage_are_told(wrong):
    prices = {name: price for name, price in {**COSTS, **wrong}.items() if price}
    check_prices(COSTS)
    with pytest.raises(StageError, match=r"COSTS lacks .*, and has .*mathc|lacks \['match'\]"):
        check_prices(prices)


def test_every_job_of_every_preset_has_a_cost(config, tmp_path):
    known, _, _ = expected(config, Paths(tmp_path))
    for rule, names in job_names(config).items():
        costs = rule_costs(known, rule)
        assert len(costs) == len(names), rule
        assert all(cost.n_bytes > 0 for cost in costs), rule
    phases = plan_run(config, Paths(tmp_path), 1.0).phases
    every = [cost for rule in job_names(config) for cost in rule_costs(known, rule)]
    assert sum(phase.jobs for phase in phases) == len(every)
    flops = sum(cost.operations.flops for cost in every)
    assert sum(phase.flops for phase in phases) == pytest.approx(flops)
    assert max(phase.peak_bytes for phase in phases) == max(cost.n_bytes for cost in every)


def test_jobs_are_given_their_cost_and_the_stated_margin(config, tmp_path):
    paths = Paths(tmp_path)
    planned, largest = expected(config, paths)[0], known_at_most(config, paths)
    assert planned.extent.positions <= largest.extent.positions
    for rule in job_names(config):
        stages = stages_of(config, rule)
        times = GROWING if stages & GROWING_STAGES else 1
        starts = 2 if "contexts" in stages else 1  # theirs, and one for scattered reads
        most = [(cost.n_bytes, cost.operations.work) for cost in rule_costs(largest, rule)]
        jobs = zip(rule_costs(planned, rule), most, needs_of(config, paths, rule), strict=True)
        for plan, (n_bytes, work), needs in jobs:
            where = f"{rule}: {plan}, {n_bytes}, {work}, {needs}"
            assert plan.n_bytes <= needs.mb * MB <= times * n_bytes + (BASE_MB + 1) * MB, where
            speed = 60 * (SLOW_GPU_FLOPS if needs.gpu else SLOW_FLOPS)
            slowly = work / speed
            assert needs.minutes <= starts * START_MINUTES + slowly, where
            if needs.minutes < DAY:
                assert plan.operations.work / speed <= needs.minutes, where


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("memory_gb", [2, 20, 40, 48, 60, 120])
def test_what_does_not_fit_is_told_alike_by_check_plan_and_jobs(tmp_path, memory_gb, live):
    dimensions = {"n_layers": 32, "d_mlp": 4096, "n_parameters": 10**10}
    models = {
        name: {"hub": f"a/{name}", "revision": "x", "dimensions": dimensions} for name in "ab"
    }
    activations = {"max_documents": 10, "sequence_length": 64, "batch_size": 1}
    config = parse_config(
        {
            "results": str(tmp_path),
            "models": models,
            "ladders": {"l": [["a", "b"]]},
            "activations": {**activations, "keep": not live},
            "correlation": {"method": "screened" if live else "exact", "memory_gb": 100},
            "devices": {"cpu_memory_gb": memory_gb, "offload": "none"},
            "controls": {"untrained_seeds": []},
        }
    )
    paths, outcomes = Paths(tmp_path), []
    for ask in (
        lambda: check_config(config),
        lambda: plan_run(config, paths, 1.0),
        lambda: [needs_of_job(config, paths, rule, {"model": "a"}) for rule in MODEL_STAGES[1:]],
    ):
        try:
            ask()
            outcomes.append("")
        except ModelError as error:
            outcomes.append(str(error))
    assert len(set(outcomes)) == 1, outcomes
    fits = memory_gb * (0.5 if live else 1) > 42  # weights of 40 GB; a live job holds two models
    assert bool(outcomes[0]) is not fits


def test_live_stores_cost_their_models_in_every_job_that_reads_them(tmp_path):
    path = ROOT / "workflow" / "presets" / "pythia-gpt2-opt-small.yaml"
    both = [stored_or_live(path, live) for live in (False, True)]
    stored, live = (expected(config, Paths(tmp_path))[0] for config in both)
    for rule in ("nulls", "intervals", "sweeps", "neurons", "contexts"):
        for before, after in zip(rule_costs(stored, rule), rule_costs(live, rule), strict=True):
            assert after.n_bytes > before.n_bytes + 1e9, rule
            assert after.operations.flops > before.operations.flops, rule
            assert after.n_gpus == 1
    for rule in ("activations", "twins"):  # nothing runs there
        for before, after in zip(rule_costs(stored, rule), rule_costs(live, rule), strict=True):
            assert after.n_bytes < before.n_bytes
            assert (after.operations.flops, after.disk_bytes, after.n_gpus) == (0, 0, 0)


def test_a_setting_that_is_the_runs_own_is_not_swept(tmp_path):
    config = load(ROOT / "config.yaml")
    own = config.alignment.pooling
    counts = []
    for pooling in ([], [own], [own, "last"]):
        sweeps = config.sweeps.model_copy(update={"pooling": pooling})
        counts.append(pairs.n_swept(config.model_copy(update={"sweeps": sweeps})))
    assert counts == [counts[0], counts[0], counts[0] + 1]


def judged(config, **changes):
    section = {"base_url": "http://localhost:1/v1", "model": "m", **changes}
    return parse_config({**config.model_dump(exclude_unset=True), "judge": section})


def test_a_judge_holds_one_table_at_a_time_and_the_means_of_the_validation(tmp_path):
    """Of 48 neurons in two layers on the images of the run and of a generator, 16 cells each."""
    plain = judged(load(ROOT / "workflow" / "presets" / "vision-tiny.yaml"), models=["vit-m"])
    more = plain.model_copy(
        update={"specialization": plain.specialization.model_copy(update={"n_contexts": 50})}
    )
    tested = judged(plain, models=["vit-m", "vit-s"], n_validated=100)
    known = [expected(config, Paths(tmp_path))[0] for config in (plain, more, tested)]
    held = [job_cost(one, "judge", {}).n_bytes for one in known]
    assert held[1] - held[0] == 2 * (50 - 20) * 2 * 48 * (64 + 2 * 4 * 16)
    n_images = max(known[2].positions(name) // 16 for name in ("vit-m", "vit-m@pmf-m"))
    assert held[2] - held[0] == 8 * 5 * 100 * n_images
    assert job_cost(known[2], "judge", {}).operations.flops > 0


def test_a_judge_is_given_the_time_that_its_calls_wait(tmp_path):
    """Two neurons of both kinds in five trials per model; a minute at least."""
    config, given = load(ROOT / "workflow" / "presets" / "tiny.yaml"), []
    for rate in (1e9, 1.0):
        one = judged(config, n_per_trial=2, requests_per_minute=rate)
        given.append(needs_of_job(one, Paths(tmp_path), "judge", {}).minutes)
    assert given[1] - given[0] == 2 * 5 * 2 * len(config.used_models("text")) - 1
    slow = judged(config, n_per_trial=2, requests_per_minute=0.001)
    assert needs_of_job(slow, Paths(tmp_path), "judge", {}).minutes == DAY


def test_intervals_need_their_memory_where_tiles_are_computed_elsewhere(tmp_path):
    config = load(ROOT / "config.yaml")
    dask = config.dask.model_copy(update={"scheduler": "tcp://head:1"})
    elsewhere = config.model_copy(update={"dask": dask})
    pair, paths = config.pairs()[0], Paths(tmp_path)
    given = {
        rule: needs_of_job(elsewhere, paths, rule, {"pair": group_name(pair)}).mb
        for rule in ("correlate", "intervals", "instruments", "sweeps")
    }
    here = dict.fromkeys(("intervals", "instruments"), BASE_MB + 2000)
    assert given == {"correlate": BASE_MB, "sweeps": BASE_MB, **here}


def test_instruments_cost_what_they_look_at(tmp_path):
    """A null and more samples cost more, further trainings less, and what is left out nothing."""
    config, pair = load(ROOT / "config.yaml"), ("pythia-64", "opt-64")
    assert set(config.matching.instruments) == {
        "mutual_nearest",
        "absolute",
        "procrustes",
        "cca",
        "soft",
    }

    def flops(pair, **settings):
        instruments = config.instruments.model_copy(update=settings)
        changed = config.model_copy(update={"instruments": instruments})
        known = known_at_most(changed, Paths(tmp_path))
        return pairs.instruments(known, pair).operations.flops

    first, again = flops(pair), flops(("pythia-64~2", "opt-64"))
    fewer = flops(pair, n_permutations=19)
    assert 0 < again < fewer < 2 * again
    # Per permutation one product of 160 × 160 Gram matrices for every pair of layers.
    n_layers_a, n_layers_b = (
        known_at_most(config, Paths(tmp_path)).size_of(name).shape.n_layers for name in pair
    )
    assert first - fewer == pytest.approx(180 * 2 * 160**2 * n_layers_a * n_layers_b)
    assert first < flops(pair, max_samples=None)
    assert flops(("pythia-1280", "opt-1280")) > 100 * first
    assert flops(("pythia-1280", "opt-1280"), max_neurons=1279) == 0


def test_autoencoders_cost_what_they_train_encode_and_match(tmp_path):
    config = load(ROOT / "workflow" / "presets" / "sae.yaml")

    def costs(**settings):
        changed = config.model_copy(update={"sae": config.sae.model_copy(update=settings)})
        known = replace(known_at_most(changed, Paths(tmp_path)))
        pair = ("pythia-192", "opt-192")
        return (
            sae.autoencoder(known, pair[0]),
            sae.encoded_store(known, pair[0]),
            sae.matched_features(known, pair),
        )

    trained, encoded, matched = costs()
    d, n_features, positions = 192, 4 * 192, known_at_most(config, Paths(tmp_path)).extent.positions
    parameters = (2 * d + 1) * n_features + d
    shown = config.sae.steps * config.sae.batch_size
    judged = 4 * parameters * positions + 2 * d**2 * n_features
    assert trained.operations.flops == pytest.approx(6 * parameters * shown + judged)
    longer, *_ = costs(steps=2 * config.sae.steps)
    more = longer.operations.flops - trained.operations.flops
    assert more == pytest.approx(6 * parameters * shown)
    assert trained.disk_bytes == 4 * parameters
    assert encoded.disk_bytes == 2 * n_features * positions, "float16"
    assert encoded.operations.flops == pytest.approx(2 * d * n_features * positions)
    wider = costs(width=8)
    assert wider[1].disk_bytes == 2 * encoded.disk_bytes
    assert wider[2].operations.flops == pytest.approx(4 * matched.operations.flops)
    per_layer = costs(per="layer")
    assert per_layer[1].disk_bytes == encoded.disk_bytes
    assert per_layer[1].operations.flops == pytest.approx(encoded.operations.flops / 2)
    read = costs(path={"pythia-192": "elsewhere"})[0]
    assert read.operations.flops == pytest.approx(judged)
    assert read.scratch_bytes == 0 < trained.scratch_bytes
    window = min(2**30, 4 * d * positions)
    block = 4096 * (12 * n_features + 48 * d)
    held = 800_000_000 + 2 * window + block + 41 * positions
    assert trained.n_bytes == pytest.approx(held + 7 * 4 * parameters), "as it is trained"
    assert read.n_bytes == pytest.approx(held + 3 * 4 * parameters), "as it is read or written"


def test_tables_of_autoencoders_grow_with_neurons_and_matches(tmp_path):
    config = load(ROOT / "workflow" / "presets" / "sae.yaml")

    def taken(**sections):
        changed = config.model_copy(
            update={
                name: getattr(config, name).model_copy(update=settings)
                for name, settings in sections.items()
            }
        )
        return sae.tables(known_at_most(changed, Paths(tmp_path))).n_bytes

    neurons = 2 * (48 + 96 + 192 + 384)
    features = 4 * (48 + 96 + 192 + 384)
    row = 150 * 9 + 16 * 2 * config.intervals.n_blocks
    assert taken() == pytest.approx(1e9 + 1000 * neurons + row * config.matching.k * features)
    assert taken(sae={"width": 8}) - taken() == pytest.approx(row * config.matching.k * features)
    fewer = taken(controls={"document_seeds": [0]})
    assert taken() - fewer == pytest.approx(150 * 7 * config.matching.k * features)


def test_more_documents_than_are_guessed_are_counted(tmp_path):
    """A hub dataset's size is not known, but the limit may be above what is assumed then."""
    small = load(ROOT / "workflow" / "presets" / "tiny.yaml").model_dump(exclude_unset=True)
    small["corpus"] = {"source": {"kind": "hub", "id": "some/data", "domain": "label"}}
    small.pop("filtering")
    positions = []
    for limits in ({}, {"max_documents": 50_000}):
        config = parse_config({**small, "activations": {**small["activations"], **limits}})
        paths = Paths(tmp_path)
        extents = largest_extent(config, paths), expected_extent(config, paths)[0]
        length = config.activations.sequence_length
        positions.append([extent.positions / length for extent in extents])
    assert positions[1] == [50_000, 50_000]
    assert positions[0][0] >= positions[0][1]


LOADS = [(0.4, False), (4.0, False), (4.1, True), (31.0, True)]  # of eight cores


def test_a_phase_takes_no_more_cores_than_its_jobs_use():
    work, speed = Operations.at(1.0, 8e9), Speed(1e9, 8)
    seconds = {
        cores: Phase("correlation", 1, work, cores=cores).seconds(speed) for cores in (1, 4, 8, 99)
    }
    assert seconds == {cores: (START_SECONDS + 8) / min(cores, 8) for cores in seconds}


def test_a_plan_counts_the_cores_that_jobs_take(tmp_path, monkeypatch):
    monkeypatch.setattr(rosetta.plan.speed, "all_cores", lambda: 8)
    tiny = ROOT / "workflow" / "presets" / "tiny.yaml"
    small = plan_run(load(tiny), Paths(tmp_path))
    assert "of 8 core(s) a capture takes 1, a correlation takes 1" in small.notes
    config = load(tiny).model_dump(exclude_unset=True)
    pair = {
        "ladders": {"pythia-opt": [["pythia-m", "opt-m"]]},
        "training_ladders": {},
        "ablation": None,
    }
    activations = {**config["activations"], "shards_per_job": "one", "n_shards": 1}
    one = plan_run(parse_config({**config, **pair, "activations": activations}), Paths(tmp_path))
    assert "of 8 core(s) a capture takes 4, a correlation takes 8" in one.notes
    cores = {phase.name: phase.cores for phase in one.phases}
    assert cores["activations"] == cores["correlation"] == 8, "two captures, one correlation"


@pytest.mark.parametrize(("average", "busy"), LOADS)
def test_a_plan_says_that_its_speed_is_of_a_busy_machine(tmp_path, monkeypatch, average, busy):
    monkeypatch.setattr(rosetta.plan.speed.os, "getloadavg", lambda: (average, 0.0, 0.0))
    monkeypatch.setattr(rosetta.plan.speed, "all_cores", lambda: 8)
    config = load(ROOT / "workflow" / "presets" / "tiny.yaml")
    text = plan_run(config, Paths(tmp_path)).render()
    assert (f"BUSY MACHINE: load average {average:.1f} on 8 core(s)" in text) is busy
    assert "BUSY" not in plan_run(config, Paths(tmp_path), 1.0, 8).render(), "nothing was measured"


@pytest.mark.parametrize("documents", [2, 2000, 10_000, 12_000, 14_000, 200_000])
def test_jobs_with_less_text_than_there_can_be_cost_no_more(tmp_path, documents):
    """Also where less text means that all neurons are ranked on half-samples, which costs more."""
    config = load(ROOT / "config.yaml")
    most = known_at_most(config, Paths(tmp_path))
    pair = ("pythia-1280", "opt-1280")
    less, more = (
        replace(most, extent=replace(most.extent, positions=n * config.activations.sequence_length))
        for n in (documents, documents * 3 // 2)
    )
    cost = pairs.intervals(replace(less, at_most=False), pair)
    assert cost.operations.work <= pairs.intervals(more, pair).operations.work


def test_a_training_costs_the_same_with_kept_steps(tmp_path):
    """Up to the last of them, and from there on; the weights of each are on disk."""
    config = load(ROOT / "workflow" / "presets" / "tiny.yaml")
    plain = config.model_copy(update={"training_ladders": {}})
    known, without = (expected(one, Paths(tmp_path))[0] for one in (config, plain))
    parts = [COSTS[stage](known, {"model": "pythia-m"}) for stage in ("train_steps", "train")]
    whole = COSTS["train"](without, {"model": "pythia-m"})
    assert sum(part.operations.flops for part in parts) == pytest.approx(whole.operations.flops)
    assert all(part.operations.flops > 0 for part in parts)
    copy = 4 * known.size_of("pythia-m").n_parameters
    assert parts[0].disk_bytes == 2 * copy
    assert parts[1].disk_bytes == whole.disk_bytes


def test_tables_on_training_ladders_hold_all_half_samples_of_all_steps(tmp_path):
    """Three steps of the preset, as many matches as there are neurons."""
    known = expected(load(ROOT / "workflow" / "presets" / "tiny.yaml"), Paths(tmp_path))[0]
    n = min(known.size_of(name).shape.n_neurons for name in ("pythia-m", "opt-m"))
    n_halves = 2 * (known.config.intervals.n_blocks - 1)
    halves = pd.DataFrame({name: np.zeros(n_halves * n, np.int32) for name in PAIR_KEYS})
    halves = halves.assign(r=0.0, half_sample=np.repeat(np.arange(n_halves), n))
    held = 3 * sum(part.memory_usage().sum() for _, part in halves.groupby("half_sample"))
    held += halves.memory_usage().sum() + n_halves * np.zeros((3 * n, 3), bool).nbytes
    assert held <= COSTS["emergence"](known, {}).n_bytes - TABLES <= 1.5 * held
    without = replace(known, config=known.config.model_copy(update={"training_ladders": {}}))
    assert COSTS["emergence"](without, {}).n_bytes == TABLES


def test_steps_of_a_training_cost_what_their_models_do(tmp_path):
    """A pair at a step is captured and correlated like any other, and read twice more."""
    known = expected(load(ROOT / "workflow" / "presets" / "tiny.yaml"), Paths(tmp_path))[0]
    at_step, end = "pythia-m~step-2--opt-m~step-2", "pythia-m--opt-m"
    for stage, of_pair in (("correlate", {"job": 0}), ("intervals", {})):
        costs = [COSTS[stage](known, {"pair": pair, **of_pair}) for pair in (at_step, end)]
        assert costs[0] == costs[1]
    captured = [
        COSTS["activations"](known, {"model": name, "shard": 0})
        for name in ("pythia-m~step-2", "pythia-m")
    ]
    assert captured[0] == captured[1]
    moved = COSTS["past"](known, {"pair": at_step}).operations.moved_bytes
    stores = known.store_bytes("pythia-m") + known.store_bytes("opt-m")
    assert moved == pytest.approx(4 * stores)
