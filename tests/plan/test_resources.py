"""What jobs ask of a cluster: exact where sizes are known, monotone in the model, for every rule
that says so.
"""

from pathlib import Path

import pytest

from rosetta.config import group_name, load_config, parse_config
from rosetta.models.known_sizes import planned_capture
from rosetta.plan.resources import (
    BASE_MB,
    MB,
    START_MINUTES,
    model_size,
    needs_of_job,
)
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.storage.manifests import write_manifest

ROOT = Path(__file__).parents[2]
MODEL_RULES = ("train", "model", "activations", "twins", "vocabulary", "neurons")


def test_the_default_run_fits_a_workstation(tmp_path):
    config, paths = load_config(ROOT / "config.yaml"), Paths(tmp_path)
    needs = [
        needs_of_job(config, paths, rule, {"model": model})
        for rule in MODEL_RULES
        for model in config.used_models()
    ]
    needs += [
        needs_of_job(config, paths, rule, {"pair": group_name(pair)})
        for rule in ("correlate", "intervals", "sweeps")
        for pair in config.pairs()
    ]
    needs.append(needs_of_job(config, paths, "filter_score", {"shard": 0}))
    needs.append(needs_of_job(config, paths, "filter_pretrain", {"training": "rosetta-0"}))
    assert all(BASE_MB <= need.mb < 8000 for need in needs)
    assert all(15 <= need.minutes < 24 * 60 for need in needs)


def test_the_size_of_a_zoo_model_is_near_the_truth_before_and_exact_after(tmp_path):
    config, paths = load_config(ROOT / "config.yaml"), Paths(tmp_path)
    before = model_size(config, paths, "opt-1280")
    assert before.shape.n_neurons == 1280
    shape = before.shape.facts
    content = {
        "kind": "model",
        "made_by": made_by(config, "model", "opt-1280"),
        **shape,
        "n_parameters": 900_000,
    }
    write_manifest(paths.model_manifest("opt-1280"), content)
    assert model_size(config, paths, "opt-1280") == (before.shape, 900_000)
    assert before.n_parameters == pytest.approx(900_000, rel=0.5)


def test_large_models_need_more(tmp_path):
    def model(n_layers, n_parameters):
        return {
            "hub": "a/b",
            "revision": "x",
            "dimensions": {"n_layers": n_layers, "d_mlp": 1000, "n_parameters": n_parameters},
        }

    config = parse_config(
        {
            "models": {"s": model(4, 10**8), "l": model(40, 10**10)},
            "ladders": {"x": [["s", "l"]]},
            "correlation": {"memory_gb": 32},
            "activations": {"max_documents": 2},
            "corpus": {"max_documents": 100},
        }
    )
    paths = Paths(tmp_path)
    for rule in ("activations", "twins", "vocabulary", "neurons"):
        small, large = (needs_of_job(config, paths, rule, {"model": name}) for name in "sl")
        assert large.mb > small.mb, rule
        assert large.minutes >= small.minutes, rule
    assert needs_of_job(config, paths, "activations", {"model": "l"}).mb > 1.3 * 4 * 10**4, (
        "the weights, in MB"
    )
    one = needs_of_job(config, paths, "correlate", {"pair": "s--l"})
    assert one.mb == BASE_MB + 32_000
    five = needs_of_job(config, paths, "nulls", {"pair": "s--l", "control": "documents"})
    assert five.minutes > one.minutes
    four = needs_of_job(config, paths, "correlate", {"pair": "s--l"}, threads=4)
    assert four.mb == one.mb
    assert (one.minutes - START_MINUTES) / 4 == pytest.approx(four.minutes - START_MINUTES, abs=1)
    cluster = config.model_copy(
        update={"dask": config.dask.model_copy(update={"scheduler": "tcp://head:1"})}
    )
    assert needs_of_job(cluster, paths, "correlate", {"pair": "s--l"}).mb == BASE_MB, (
        "its workers have their own"
    )


def test_long_jobs_that_gain_from_a_gpu_ask_for_one_where_the_configuration_says_so(tmp_path):
    config, paths = load_config(ROOT / "config.yaml"), Paths(tmp_path)
    large = {
        "dimensions": {"n_layers": 40, "d_mlp": 10_000, "n_parameters": 10**10},
        "hub": "a/b",
        "revision": "x",
    }
    models = {**config.model_dump(exclude_unset=True)["models"], "large": large}
    data = {**config.model_dump(exclude_unset=True), "models": models, "gpu_from_minutes": 60}
    on_gpu = parse_config(data)
    pair = config.pairs()[0]
    assert needs_of_job(config, paths, "activations", {"model": "opt-1280"}).gpu == 0
    assert needs_of_job(on_gpu, paths, "activations", {"model": "opt-1280"}).gpu == 0, "it is short"
    assert needs_of_job(on_gpu, paths, "activations", {"model": "large"}).gpu == 1
    assert needs_of_job(on_gpu, paths, "vocabulary", {"model": "large"}).gpu == 0, (
        "nothing there runs on a GPU"
    )
    every = parse_config({**data, "gpu_from_minutes": 0})
    assert needs_of_job(every, paths, "correlate", {"pair": group_name(pair)}).gpu == 1
    assert needs_of_job(every, paths, "filter_score", {}).gpu == 1
    elsewhere = every.model_copy(
        update={"dask": every.dask.model_copy(update={"scheduler": "tcp://head:1"})}
    )
    assert needs_of_job(elsewhere, paths, "correlate", {"pair": group_name(pair)}).gpu == 0, (
        "its workers have them"
    )


def of_billions(n):
    return {
        "hub": "a/b",
        "revision": "x",
        "dimensions": {"n_layers": 40, "d_mlp": 10_000, "n_parameters": n * 10**9},
    }


@pytest.mark.parametrize("given", [None, 100])
def test_where_activations_are_not_stored_their_readers_need_what_models_need(tmp_path, given):
    """Two models lie beside the tiles of a pair, and no more in a job on a group of three."""
    models = {name: of_billions(n) for name, n in {"a": 5, "b": 6, "c": 7}.items()}
    content = {"models": models, "ladders": {"x": [["a", "b", "c"]]}, "gpu_from_minutes": 0}
    activations = {"max_documents": 10, "batch_size": 2}
    content |= {"activations": activations, "correlation": {"memory_gb": 32, "method": "screened"}}
    devices = {} if given is None else {"devices": {"cpu_memory_gb": given}}
    stored = parse_config({**content, **devices})
    live = parse_config({**content, **devices, "activations": {**activations, "keep": False}})
    paths, tables = (
        Paths(tmp_path),
        1000 + 3 * 40 * 10_000 * live.specialization.n_contexts * 64 // MB,
    )
    takes = {
        name: planned_capture(live, name, model_size(live, paths, name)).n_bytes / MB
        for name in models
    }
    if given is not None:
        assert sum(sorted(takes.values())[1:]) <= given * 1000, "each model has half"
    pair, contexts = (
        needs_of_job(live, paths, "correlate", {"pair": "a--b"}),
        needs_of_job(live, paths, "contexts", {"group": "a--b--c"}),
    )
    assert pair.mb == pytest.approx(BASE_MB + 32_000 + takes["a"] + takes["b"], abs=1)
    assert contexts.mb == pytest.approx(BASE_MB + tables + takes["b"] + takes["c"], abs=1)
    assert needs_of_job(stored, paths, "correlate", {"pair": "a--b"}).mb == BASE_MB + 32_000
    assert needs_of_job(stored, paths, "contexts", {"group": "a--b--c"}) == (
        BASE_MB + tables,
        30,
        0,
    )
    assert needs_of_job(live, paths, "neurons", {"model": "a"}).gpu == 1, "the model runs again"
    assert needs_of_job(stored, paths, "neurons", {"model": "a"}).gpu == 0
    assert contexts.gpu == 1
