"""`activations.keep: auto`: stores, or models that run again, by what either costs."""

import pytest

from rosetta.config import parse_config


def store_mode(models, devices, pairs, keep="auto"):
    entries = {
        name: {"hub": "org/" + name, "revision": "main", "dimensions": told}
        for name, told in models.items()
    }
    content = {
        "models": entries,
        "ladders": {"l": pairs},
        "devices": devices,
        "activations": {"keep": keep},
    }
    return parse_config(content).store_mode


def language_model(n_parameters):
    return {"n_layers": 12, "d_mlp": 3072, "n_parameters": n_parameters}


GPU, NO_GPU = {"gpu_memory_gb": 72}, {"cpu_memory_gb": 16}
TWO = {"a": language_model(160_000_000), "b": language_model(124_000_000)}


@pytest.mark.parametrize("pairs", [[["a", "b"]], [["a", "b"], ["b", "a"]]])
def test_language_models_run_again_on_gpus_and_are_stored_without(pairs):
    """Also the two of a single pair, which read what they wrote no more than once or twice."""
    assert store_mode(TWO, GPU, pairs) == "live"
    assert store_mode(TWO, NO_GPU, pairs) == "temporary"


def test_sizes_that_are_not_told_decide_alike():
    assert store_mode(dict.fromkeys("ab"), GPU, [["a", "b"]]) == "live"
    assert store_mode(dict.fromkeys("ab"), NO_GPU, [["a", "b"]]) == "temporary"


def test_many_parameters_per_neuron_are_stored_on_gpus_too():
    """Per neuron and position, 2 operations per parameter stand against moving 4 bytes."""
    few_neurons = {**TWO, "a": {"n_layers": 2, "d_mlp": 64, "n_parameters": 4 * 10**9}}
    assert store_mode(few_neurons, GPU, [["a", "b"]]) == "temporary"


@pytest.mark.parametrize(
    ("keep", "expected"), [(True, "kept"), ("temporary", "temporary"), (False, "live")]
)
def test_what_is_asked_for_is_done_whatever_it_costs(keep, expected):
    for devices in (GPU, NO_GPU):
        assert store_mode(TWO, devices, [["a", "b"]], keep) == expected
