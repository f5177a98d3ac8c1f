"""Further trainings of a model: what they are called, seeded with, and counted in."""

import pytest
import yaml

from rosetta.config import dump_config, parse_config
from rosetta.config.ladders import check_scales
from rosetta.errors import ConfigError
from rosetta.run.stages import find_stage

ZOO = {
    "families": {
        "f": {"architecture": "gpt2", "seed": 1},
        "g": {"architecture": "opt", "seed": 2},
    },
    "sizes": {"s": {"n_layers": 1, "d_model": 16, "d_mlp": 32, "n_heads": 2, "replicates": 2}},
}
SMALL = {
    "zoo": ZOO,
    "models": {f"{name}-s": {"zoo": {"family": name, "size": "s"}} for name in "fg"},
    "ladders": {"fg": [["f-s", "g-s"]]},
    "activations": {"sequence_length": 64},
}


def hub_run(**models):
    named = {
        name: {"hub": f"a/{name}", "revision": "main", **more} for name, more in models.items()
    }
    corpus = {"splits": {"train": 0.0, "match": 1.0, "pool": 0.0, "heldout": 0.0}}
    return {"models": named, "ladders": {"l": [["a", "b"]]}, "corpus": corpus}


def test_a_zoo_model_is_trained_as_often_as_its_size_says():
    config = parse_config(SMALL)
    assert config.replicates("f-s") == ("f-s", "f-s~2")
    assert config.used_models() == ["f-s", "g-s"]
    assert config.all_models() == ["f-s", "f-s~2", "g-s", "g-s~2"]
    assert parse_config(yaml.safe_load(dump_config(config))) == config


def test_all_trainings_of_a_rung_are_crossed():
    config = parse_config(SMALL)
    crossed = [("f-s", "g-s"), ("f-s", "g-s~2"), ("f-s~2", "g-s"), ("f-s~2", "g-s~2")]
    assert config.replicate_groups(("f-s", "g-s")) == crossed
    assert config.all_pairs() == crossed
    assert config.pairs() == crossed[:1]


def test_the_groups_of_three_models_share_their_pairs():
    zoo = {**ZOO, "families": {**ZOO["families"], "h": {"architecture": "llama", "seed": 3}}}
    models = {f"{name}-s": {"zoo": {"family": name, "size": "s"}} for name in "fgh"}
    config = parse_config({**SMALL, "zoo": zoo, "models": models, "ladders": {"l": [list(models)]}})
    assert len(config.replicate_groups(tuple(models))) == 8
    assert len(config.all_pairs()) == 8  # the anchor's two trainings with two of each other model


def test_every_training_has_a_seed_of_its_own():
    config = parse_config(SMALL)
    seeds = [config.entry(name).zoo.seed for name in config.all_models()]
    assert [seeds[0], seeds[2]] == [None, None], "the first training has the family's seed"
    assert len({seeds[1], seeds[3]}) == 2
    slices = [find_stage("train").config_slice(config, name) for name in config.all_models()]
    assert slices[0] != slices[1]
    assert slices[1]["seed"] == seeds[1]


def test_more_replicates_do_not_change_the_first_training():
    once = {**SMALL, "zoo": {**ZOO, "sizes": {"s": {**ZOO["sizes"]["s"], "replicates": 1}}}}
    train = find_stage("train")
    assert train.config_slice(parse_config(once), "f-s") == train.config_slice(
        parse_config(SMALL), "f-s"
    )


@pytest.mark.parametrize("name", ["f-s~3", "f-s~1", "f-s~two", "x~2"])
def test_there_are_no_other_trainings(name):
    with pytest.raises(ConfigError, match=r"models: has no"):
        parse_config(SMALL).entry(name)


def test_hub_models_name_what_they_replicate():
    config = parse_config(hub_run(a={}, b={}, c={"replicate_of": "a"}))
    assert config.replicates("a") == ("a", "c")
    assert config.all_pairs() == config.replicate_groups(("a", "b")) == [("a", "b"), ("c", "b")]


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"c": {"replicate_of": "x"}}, r"models\.c\.replicate_of: no model is named 'x'"),
        ({"c": {"replicate_of": "c"}}, r"models\.c\.replicate_of: 'c' is itself a replicate"),
        (
            {"c": {"replicate_of": "a"}, "d": {"replicate_of": "c"}},
            r"models\.d\.replicate_of: 'c' is itself a replicate",
        ),
        ({"b": {"replicate_of": "a"}}, r"models\.b\.replicate_of: ladders name 'b' too"),
    ],
)
def test_replicates_that_cannot_be(models, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(hub_run(**{"a": {}, "b": {}, **models}))


def test_replicates_are_of_matched_scale():
    config = parse_config(hub_run(a={}, b={}, c={"replicate_of": "a"}))
    with pytest.raises(ConfigError, match="c has 900 neurons"):
        check_scales(config, {"a": 100, "b": 110, "c": 900}.get)


@pytest.mark.parametrize(
    ("more", "ladders", "rejected"),
    [
        ({"zoo": {"family": "f", "size": "s"}}, [["f-s", "again"]], True),
        ({"zoo": {"family": "f", "size": "s", "seed": 1}}, [["f-s", "again"]], True),
        ({"zoo": {"family": "f", "size": "s", "seed": 7}}, [["f-s", "again"]], False),
        ({"zoo": {"family": "f", "size": "s"}, "replicate_of": "f-s"}, [["f-s", "g-s"]], True),
        ({"zoo": {"family": "f", "size": "s"}}, [["f-s", "g-s"]], False),
    ],
    ids=["same family and size", "the family's seed", "another seed", "replicate", "unused"],
)
def test_one_training_under_two_names_is_rejected(more, ladders, rejected):
    content = {**SMALL, "models": {**SMALL["models"], "again": more}, "ladders": {"l": ladders}}
    if rejected:
        with pytest.raises(ConfigError, match=r"models\.again\.zoo: is the training of 'f-s' once"):
            parse_config(content)
    else:
        parse_config(content)
