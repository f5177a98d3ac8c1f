"""Ladders of models that see images: which stores they need, and what is wrong with them."""

import pytest
from workflow_runs import TINY, VISION

from rosetta.config import parse_config
from rosetta.errors import ConfigError

CONFIG = parse_config(VISION)


def test_other_models_of_a_rung_are_shown_what_its_generator_makes():
    assert CONFIG.stores_of("pmf-m--vit-m") == ("pmf-m", "vit-m@pmf-m")
    assert CONFIG.stores_of("vit-m--mae-m") == ("vit-m", "mae-m")
    assert CONFIG.stores_of("pmf-s~2--vit-s") == ("pmf-s~2", "vit-s@pmf-s~2")


def test_twins_are_shown_what_the_trained_generator_makes():
    pair = "pmf-s~untrained-1--clip-s~untrained-1"
    assert CONFIG.stores_of(pair) == ("pmf-s~untrained-1", "clip-s~untrained-1@pmf-s")
    assert CONFIG.twin_stores("pmf-s") == ["pmf-s~untrained-0", "pmf-s~untrained-1"]
    assert set(CONFIG.twin_stores("vit-s")) == {
        f"vit-s~untrained-{seed}{shown}" for seed in (0, 1) for shown in ("", "@pmf-s")
    }


def test_every_training_of_a_model_is_shown_what_every_training_of_its_generator_makes():
    names = [name for name in CONFIG.stores() if name.startswith("clip-s")]
    assert sorted(names) == [
        "clip-s@pmf-s",
        "clip-s@pmf-s~2",
        "clip-s~2@pmf-s",
        "clip-s~2@pmf-s~2",
    ]
    assert CONFIG.stores_of_model("vit-s") == ["vit-s@pmf-s", "vit-s"]
    assert CONFIG.judged_generators() == [("pmf-s", "vit-s"), ("pmf-m", "vit-m")]


def test_a_name_of_stores_is_of_its_model():
    for name in ("vit-m@pmf-m", "vit-s~2@pmf-s~2", "vit-s~untrained-0@pmf-s"):
        assert CONFIG.modality_of(name) == "images"
        assert not CONFIG.is_generator(name)
    assert CONFIG.is_generator("pmf-s~2")
    assert CONFIG.is_generator("pmf-s~untrained-0")


def test_a_run_may_hold_both_modalities():
    both = {
        **VISION,
        "zoo": {
            **VISION["zoo"],
            "families": {**VISION["zoo"]["families"], **TINY["zoo"]["families"]},
            "training": TINY["zoo"]["training"],
        },
        "models": {**VISION["models"], **TINY["models"]},
        "ladders": {**VISION["ladders"], **TINY["ladders"]},
        "activations": TINY["activations"],
    }
    config = parse_config(both)
    assert config.modalities == ["images", "text"]
    assert config.text_ladders == TINY["ladders"]
    assert sorted(config.used_models("text")) == sorted(TINY["models"])
    assert config.used_models("images") == CONFIG.used_models()
    assert config.stores_of("pythia-s--opt-s") == ("pythia-s", "opt-s")


HUB = {"hub": "a/b", "revision": "main"}
TWIN = {"untrained": {"of": "pmf-s"}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ladders": {"l": [["vit-s", "pmf-s"]]}},
            r"ladders\.l\[0\]: the generator pmf-s is not the only one, and first",
        ),
        ({"ladders": {"l": [["pmf-s", "pmf-m"]]}}, r"the generator pmf-m is not the only one"),
        (
            {"models": {**VISION["models"], "grey": TWIN}, "ladders": {"l": [["grey", "vit-s"]]}},
            r"ladders\.l\[0\]: grey is untrained and makes images of nothing",
        ),
        ({"alignment": {"pooling": "max"}}, r"alignment\.pooling: needs tokens in spans"),
        ({"exclusions": {"first_position": True}}, r"exclusions\.first_position: needs tokens"),
        (
            {"models": {**VISION["models"], "x": {**HUB, "generator": True}}},
            r"models\.x: generator: true needs modality: images",
        ),
        (
            {"models": {**VISION["models"], "x": {**HUB, "recorded": "mlp_input"}}},
            r"models\.x: recorded: mlp_input needs modality: images",
        ),
        (
            {
                "models": {
                    **VISION["models"],
                    "x": {"zoo": {"family": "vit", "size": "s"}, "modality": "images"},
                }
            },
            r"models\.x: modality and generator go with path or hub",
        ),
    ],
)
def test_what_is_wrong_is_told(changes, message):
    with pytest.raises(ConfigError, match=message):
        parse_config({**VISION, **changes})
