"""The section `judge`: what fits together, and what is rejected early."""

import pytest
from small_configs import ENDPOINT, changed

from rosetta.config import parse_config
from rosetta.config.judge import judged_stores
from rosetta.errors import ConfigError
from rosetta.judging.budget import most_calls
from rosetta.plan.checks import check_config

SECOND = {**ENDPOINT, "model": "n"}
IMAGES = {
    "zoo": {
        "families": {
            "p": {"architecture": "pmf", "seed": 0, "image": {"image_size": 16, "patch_size": 4}},
            "v": {"architecture": "vit", "seed": 1, "image": {"image_size": 16, "patch_size": 4}},
            "w": {"architecture": "vit", "seed": 2, "image": {"image_size": 16, "patch_size": 4}},
        },
        "sizes": {"s": {"n_layers": 1, "d_model": 16, "d_mlp": 32, "n_heads": 2}},
    },
    "images": {"source": {"kind": "procedural", "n_images": 600}, "size": 16},
    "specialization": {"n_contexts": 50},
    "models": {f"{name}-s": {"zoo": {"family": name, "size": "s"}} for name in "pvw"},
    "ladders": {"vw": [["v-s", "w-s"]], "pv": [["p-s", "v-s"]]},
}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"models": ["x"]}, r"judge\.models: 'x' is in no ladder; name some of f-s, g-s"),
        ({"top_k": 1}, r"judge\.top_k: .*greater than or equal to 2"),
        ({"top_k": 51}, r"judge\.top_k: .*less than or equal to 50"),
        ({"top_k": 30}, r"judge\.top_k: 30 is above specialization\.n_contexts \(20\)"),
        ({"top_k_sweep": [2, 50]}, r"judge\.top_k_sweep: 50 is above specialization\.n_contexts"),
        ({"top_k": 2, "top_k_sweep": [21]}, r"judge\.top_k_sweep: 21 is above"),
        ({"top_k_sweep": [2, 2]}, r"judge\.top_k_sweep: must differ"),
        (
            {"second": ENDPOINT},
            r"judge\.second\.model: 'm' is the first judge's too",
        ),
        ({"max_cost": 1.0}, r"judge\.max_cost: says nothing without judge\.price_per_call"),
        (
            {"max_cost": 1.0, "price_per_call": 0.1, "second": ENDPOINT},
            r"judge\.max_cost: says nothing without judge\.second\.price_per_call",
        ),
        ({"n_validated": 5}, r"judge\.n_validated: no judged model sees images"),
        ({"n_trials": 1}, r"judge\.n_trials: .*greater than or equal to 2"),
        ({"base_url": "ftp://x"}, r"judge\.base_url: must be an address"),
        ({"second": {**ENDPOINT, "base_url": "x"}}, r"judge\.second\.base_url: must be an address"),
        ({"api_key_variable": "sk-secret"}, r"judge\.api_key_variable: must be the name"),
    ],
)
def test_what_does_not_fit_is_rejected(section, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_config(changed(judge={**ENDPOINT, **section}))
    assert "sk-secret" not in str(caught.value)


def test_every_set_of_images_of_a_model_is_judged():
    config = parse_config({**IMAGES, "judge": {**ENDPOINT, "n_validated": 5, "top_k": 50}})
    assert judged_stores(config) == ["v-s", "v-s@p-s", "w-s", "p-s"]
    named = parse_config({**IMAGES, "judge": {**ENDPOINT, "models": ["p-s", "v-s"]}})
    assert judged_stores(named) == ["p-s", "v-s", "v-s@p-s"]
    most = most_calls(config, lambda model: None)
    assert (most.verdicts, most.validation, most.second) == (4 * 1000, 4 * 50, 0)
    small = most_calls(config, {"v-s": 32, "w-s": 32, "p-s": 10_000}.get)
    assert small.verdicts == 3 * 30 + 1000, "32 neurons make 5 trials of 3 and 3"


def test_a_sweep_and_a_second_judge_are_more_calls():
    section = {**ENDPOINT, "top_k_sweep": [2, 20, 10], "second": SECOND, "n_per_trial": 10}
    config = parse_config(changed(judge=section))
    assert config.judge.all_top_k == [20, 2, 10]
    most = most_calls(config, lambda model: None)
    assert (most.verdicts, most.second) == (2 * 100 * 3, 2 * 100)


@pytest.mark.parametrize("key", ["judge", "judge.second"])
def test_a_missing_key_is_found_before_a_run(key, monkeypatch, tmp_path):
    pytest.importorskip("openai")
    monkeypatch.setenv("THERE", "sk-5d1f")
    here, missing = {**ENDPOINT, "api_key_variable": "THERE"}, ENDPOINT
    section = missing if key == "judge" else {**here, "second": SECOND}
    config = parse_config(changed(judge=section, results=str(tmp_path)))
    with pytest.raises(ConfigError, match=rf"^{key}\.api_key_variable: .* NO_SUCH_KEY is not set"):
        check_config(config)
