"""Training ladders: their steps, what models at a step are called, and what entries they have."""

import json
import shutil

import pytest
import yaml
from commands import assert_rejected, run_here
from helpers import save_tiny_model
from small_configs import GOOD, changed
from workflow_runs import TINY, VISION

from rosetta.config import dump_config, parse_config
from rosetta.config.names import first_training, step_name, step_of
from rosetta.config.training_ladders import (
    kept_steps,
    step_models,
    step_pairs,
    steps_of_model,
    training_rungs,
)
from rosetta.errors import ConfigError
from rosetta.models.sources import model_source
from rosetta.run.paths import Paths
from rosetta.run.stages import STAGES, made_by, pieces_of_job, rule_jobs, slice_name

MODELS = ["f-s", "g-s"]
TRAINING = {"steps": 100, "batch_size": 2, "sequence_length": 64}
ZOO = {**GOOD["zoo"], "training": TRAINING}
HUB = {"n_steps": 143_000, "tokens_per_step": 2_097_152}


def laddered(steps, models=None, **changes):
    ladder = {"models": models or MODELS, "steps": steps}
    return changed(zoo=ZOO, training_ladders={"early": ladder}, **changes)


def hub_models(**checkpoints):
    return {
        name: {"hub": f"a/{name}", "revision": "main", "checkpoints": {**HUB, **checkpoints}}
        for name in MODELS
    }


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        ([5, 20], [5, 20]),
        ({"first": 1, "n": 3}, [1, 10]),
        ({"first": 4, "n": 6}, [4, 8, 14, 28, 53]),
        ({"first": 1, "n": 20}, [1, 2, 3, 4, 5, 7, 9, 11, 14, 18, 23, 30, 38, 48, 62, 78]),
        ({"first": 50, "n": 2}, [50]),
    ],
)
def test_steps_are_listed_or_grow_by_the_same_factor(steps, kept):
    config = parse_config(laddered(steps))
    assert kept_steps(config, "early") == kept
    assert steps_of_model(config, "f-s") == kept
    assert parse_config(yaml.safe_load(dump_config(config))) == config


def test_the_end_of_the_training_is_the_last_rung():
    config = parse_config(laddered([5, 20]))
    assert [tuple(rung) for rung in training_rungs(config, "early")] == [
        (5, 640.0, "f-s~step-5--g-s~step-5"),
        (20, 2560.0, "f-s~step-20--g-s~step-20"),
        (100, 12_800.0, "f-s--g-s"),
    ]
    assert step_pairs(config) == ["f-s~step-5--g-s~step-5", "f-s~step-20--g-s~step-20"]


def test_ladders_may_share_a_model():
    two = {
        "early": {"models": MODELS, "steps": [5, 20]},
        "late": {"models": MODELS, "steps": [20, 60]},
    }
    config = parse_config(changed(zoo=ZOO, training_ladders=two))
    assert steps_of_model(config, "g-s") == [5, 20, 60]
    assert len(step_models(config)) == 6
    assert len(step_pairs(config)) == 3


def test_steps_of_images_read_patches():
    vision = parse_config(VISION)
    models = next(pair for pair in vision.pairs() if not vision.is_generator(pair[0]))
    ladder = {"early": {"models": list(models), "steps": [1]}}
    config = parse_config({**VISION, "training_ladders": ladder})
    family = config.zoo.families[config.entry(models[0]).zoo.family]
    cells = family.image.grid[0] * family.image.grid[1]
    rung = training_rungs(config, "early")[0]
    other = config.zoo.families[config.entry(models[1]).zoo.family].image.grid
    both = (cells + other[0] * other[1]) / 2
    assert rung.tokens == config.zoo.image_training.batch_size * both
    assert step_models(config, "text") == []
    assert step_models(config, "images") == [f"{model}~step-1" for model in models]


def test_names_of_steps_are_names_of_no_other_training():
    assert step_of(step_name("a", 12)) == 12
    assert [step_of(name) for name in ("a", "a~2", "a~untrained-3", "a~step-x")] == [None] * 4
    assert first_training("a~step-12") == first_training("a~2") == "a"


@pytest.mark.parametrize("name", ["f-s~step-7", "f-s~step-100", "f-s~step-", "x~step-5"])
def test_there_are_no_other_steps(name):
    with pytest.raises(ConfigError, match="models: "):
        parse_config(laddered([5, 20])).entry(name)


def test_a_zoo_model_at_a_step_lies_beside_the_final_one(tmp_path):
    config = parse_config(laddered([5]))
    source = model_source(config, Paths(tmp_path), "f-s~step-5")
    assert source.location == str(tmp_path / "models" / "f-s~step-5")
    assert config.modality_of("f-s~step-5") == "text"
    assert config.is_small("f-s~step-5") == config.is_small("f-s")


@pytest.mark.parametrize(
    ("revisions", "found"),
    [("step{step}", "step1000"), ({1000: "abc", 5: "x"}, "abc")],
)
def test_a_hub_model_has_a_revision_per_step(revisions, found, tmp_path):
    ladder = {"early": {"models": MODELS, "steps": [1000]}}
    models = hub_models(revisions=revisions)
    config = parse_config(changed(models=models, training_ladders=ladder))
    entry = config.entry("f-s~step-1000")
    assert (entry.hub, entry.revision, entry.checkpoints) == ("a/f-s", found, None)
    source = model_source(config, Paths(tmp_path), "f-s~step-1000")
    assert (source.location, source.revision) == ("a/f-s", found)
    rungs = training_rungs(config, "early")
    assert [rung.tokens for rung in rungs] == [1000 * 2_097_152, 143_000 * 2_097_152]
    assert rungs[-1].step == 143_000


def steps_of_hub(**checkpoints):
    ladder = {"early": {"models": MODELS, "steps": [1000]}}
    return changed(models=hub_models(**checkpoints), training_ladders=ladder)


PLAIN_HUB = {name: {"hub": f"a/{name}", "revision": "main"} for name in MODELS}
TWINS = {**GOOD["models"], "twin": {"untrained": {"of": "g-s"}}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (steps_of_hub(revisions={5: "x"}), r"models\.f-s\.checkpoints has no step 1000"),
        (
            changed(models=PLAIN_HUB, training_ladders={"early": {"models": MODELS, "steps": [5]}}),
            r"f-s is not trained here; say where its steps are \(models\.f-s\.checkpoints\)",
        ),
        (
            changed(
                models=TWINS,
                ladders={"l": [["f-s", "twin"]]},
                training_ladders={"early": {"models": ["f-s", "twin"], "steps": [5]}},
            ),
            "twin is untrained and has no steps",
        ),
        (
            {
                **VISION,
                "training_ladders": {
                    "early": {"models": VISION["ladders"]["pmf-vit"][0], "steps": [1]}
                },
            },
            "makes images, other ones at every step",
        ),
    ],
    ids=["step", "hub", "untrained", "generator"],
)
def test_what_has_no_steps_is_rejected(content, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(content)


def test_checkpoints_change_no_stamp_of_their_model():
    with_steps = parse_config({**changed(models=hub_models(revisions="step{step}"))})
    without = parse_config(changed(models=PLAIN_HUB))
    for stage in ("model", "activations"):
        assert made_by(with_steps, stage, "f-s") == made_by(without, stage, "f-s")


def test_a_training_ladder_changes_no_stamp_of_what_was_there():
    before, after = parse_config(changed(zoo=ZOO)), parse_config(laddered([5, 20]))
    for rule, jobs in rule_jobs(before).items():
        pieces = [piece for job in jobs for piece in pieces_of_job(before, rule, job)]
        for stage, on in pieces:
            name = slice_name(stage, on)
            same = made_by(before, stage, name) == made_by(after, stage, name)
            assert same or stage == "report", stage


def inputs_of(config, paths):
    return set(STAGES["emergence"].inputs(config, paths, {}))


def test_what_is_screened_for_follows_from_the_null_models_of_all_ladders(tmp_path):
    """The floor of a ladder is of pairs that other ladders count, too."""
    paths, ladders = Paths(tmp_path), {"fg": [["f-s", "g-s"]], "gf": [["g-s", "f-s"]]}
    of_other = {paths.null_matches(name, "g-s--f-s") for name in ("documents", "untrained")}
    auto = {"method": "screened", "screening": {"min_r": "auto"}}
    given = {"method": "screened", "screening": {"min_r": 0.3}}
    found = [
        parse_config(laddered([5, 20], ladders=ladders, correlation=one)) for one in (auto, given)
    ]
    assert of_other <= inputs_of(found[0], paths)
    assert not of_other & inputs_of(found[1], paths)
    fewer = parse_config(laddered([5, 20], correlation=auto))
    assert made_by(found[0], "emergence", "") != made_by(fewer, "emergence", "")
    fewer = parse_config(laddered([5, 20], correlation=given))
    assert made_by(found[1], "emergence", "") == made_by(fewer, "emergence", "")


@pytest.mark.parametrize("name", ["document_seeds", "untrained_seeds"])
def test_other_null_models_make_other_results(name):
    """A null model without seeds is no input, so its lack changes nothing else."""
    seeds = {"document_seeds": [0, 1], "untrained_seeds": [0, 1]}
    made = [
        made_by(parse_config(laddered([5], controls={**seeds, name: of})), "emergence", "")
        for of in ([0, 1], [0], [])
    ]
    assert made[0] != made[1] != made[2] != made[0]


def test_steps_of_local_models_are_folders(tmp_path, texts):
    """From a pattern to matches above the null models, without the hub or a training here."""
    for name, architecture in (("f", "gpt2"), ("g", "opt")):
        for seed, step in enumerate((10, 20)):
            save_tiny_model(tmp_path / f"{name}-{step}", texts, architecture, seed=seed)
        shutil.copy(tmp_path / f"{name}-10" / "tokenizer.json", tmp_path / f"{name}-20")
    rows = [json.dumps({"text": text}) for text in texts]
    (tmp_path / "texts.jsonl").write_text("\n".join(rows))
    content = {
        "corpus": {
            "source": {"kind": "files", "path": "texts.jsonl"},
            "min_document_bytes": 8,
            "splits": {"train": 0.0, "match": 1.0, "pool": 0.0, "heldout": 0.0},
        },
        "models": {
            name: {
                "path": f"{name}-20",
                "checkpoints": {"n_steps": 20, "tokens_per_step": 100, "paths": f"{name}-{{step}}"},
            }
            for name in "fg"
        },
        "ladders": {"fg": [["f", "g"]]},
        "training_ladders": {"early": {"models": ["f", "g"], "steps": [10]}},
        "activations": {"n_shards": 1, "sequence_length": 32},
        "correlation": {"max_k": 1, "precision": "float32"},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
    config = "results/run_config.yaml"
    run(tmp_path, "check", "--configfile", "run.yaml", "--out", config)
    run(tmp_path, "corpus", "--config", config)
    for name in ("f", "g", "f~step-10", "g~step-10"):
        run(tmp_path, "model", "--config", config, "--model", name)
        run(tmp_path, "activations", "--config", config, "--model", name, "--shard", 0)
    located = parse_config(yaml.safe_load((tmp_path / config).read_text()))
    assert located.entry("f~step-10").path == "f-10"
    manifest = json.loads((tmp_path / "results/models/f~step-10.json").read_text())
    assert manifest["source"]["location"] == "f-10"
    assert manifest["training"] is None
    pair = "f~step-10--g~step-10"
    run(tmp_path, "neighbors", "--config", config, "--pair", pair)
    run(tmp_path, "nulls", "--config", config, "--control", "documents", "--pair", pair)
    refused = run_here(
        *("nulls", "--config", config, "--control", "untrained", "--pair", pair), folder=tmp_path
    )
    assert_rejected(refused, "--control: 'untrained' is no null model of f~step-10--g~step-10")
    missing = {**content["models"], "f": {**content["models"]["f"], "path": "f-20"}}
    missing["f"]["checkpoints"] = {**missing["f"]["checkpoints"], "paths": "nowhere-{step}"}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({**content, "models": missing}))
    rejected = run_here("check", "--configfile", "run.yaml", folder=tmp_path)
    assert_rejected(rejected, r"models\.f~step-10\.path: nowhere-10 is not a folder")


def run(folder, *arguments):
    done = run_here(*arguments, folder=folder)
    assert done.code == 0, done


def test_the_preset_of_tests_has_one():
    config = parse_config(TINY)
    (name,) = config.training_ladders
    assert len(kept_steps(config, name)) == 2
