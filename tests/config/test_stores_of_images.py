"""Which model of a run tells how alike images are, and whose images have known factors."""

import pytest
from workflow_runs import VISION

from rosetta.config import parse_config
from rosetta.config.image_stores import encoder_for, encoders_of, has_factors

CONFIG = parse_config(VISION)


def changed(ladders, **models):
    return parse_config({**VISION, "models": {**VISION["models"], **models}, "ladders": ladders})


@pytest.mark.parametrize(
    ("pair", "encoder"),
    [
        ("pmf-s--vit-s", "mae-s"),  # beside vit-s; clip-s is beside both, but later in the ladders
        ("pmf-s--clip-s", "vit-s"),
        ("vit-s--mae-s", "clip-s"),
        ("pmf-s~2--vit-s", "mae-s"),
        ("pmf-s~untrained-1--vit-s~untrained-1", "mae-s"),
        ("pmf-m--vit-m", "mae-m"),
        ("pmf-s--vit-s--mae-s", "clip-s"),
        ("vit-m--mae-m", None),  # a generator is no encoder, and the others are smaller
    ],
)
def test_the_encoder_is_a_further_model_of_the_size(pair, encoder):
    assert encoder_for(CONFIG, tuple(pair.split("--"))) == encoder


def test_the_nearest_encoder_is_taken():
    """The classifier is beside no model of the pair, but beside one that is."""
    chain = changed({"one": [["pmf-s", "clip-s"]], "two": [["vit-s", "mae-s"], ["vit-m", "mae-m"]]})
    assert encoder_for(chain, ("pmf-s", "clip-s")) is None
    ladders = {
        "three": [["mae-s", "vit-s"]],
        "one": [["pmf-s", "clip-s"]],
        "two": [["clip-s", "mae-s"]],
    }
    joined = changed(ladders)
    assert encoder_for(joined, ("pmf-s", "clip-s")) == "mae-s"
    assert encoder_for(joined, ("clip-s", "mae-s")) == "vit-s"


def test_other_trainings_and_untrained_networks_are_no_encoders():
    again = {"zoo": {"family": "vit", "size": "m", "seed": 9}, "replicate_of": "vit-m"}
    random = {"untrained": {"of": "mae-m", "seed": 1}}
    ladders = {"l": [["vit-m", "mae-m"]], "r": [["mae-m", "mae-u"]]}
    config = changed(ladders, **{"vit-again": again, "mae-u": random})
    assert encoder_for(config, ("vit-m", "mae-m")) is None
    assert encoder_for(config, ("mae-m", "mae-u")) == "vit-m"


def test_encoders_of_stores_are_those_of_their_groups():
    assert encoders_of(CONFIG, "pmf-s") == ["mae-s"]  # of a pair, and of all three
    apart = changed({"one": [["pmf-s", "vit-s"]], "two": [["pmf-s", "mae-s"]]})
    assert encoders_of(apart, "pmf-s") == ["mae-s", "vit-s"]
    assert encoders_of(CONFIG, "vit-s@pmf-s") == ["mae-s"]
    assert encoders_of(CONFIG, "vit-s") == ["clip-s"]
    assert encoders_of(CONFIG, "mae-m") == []


def test_factors_are_known_of_drawn_images_only():
    known = {name: has_factors(CONFIG, name) for name in CONFIG.stores() if "~" not in name}
    assert {name for name, of in known.items() if of} == {"vit-s", "mae-s", "vit-m", "mae-m"}
    digits = parse_config({**VISION, "images": {**VISION["images"], "source": {"kind": "digits"}}})
    assert not has_factors(digits, "vit-s")
