"""The stages that train models, or find and check them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rosetta.config import Config, twin_name
from rosetta.config.models import ModelEntry
from rosetta.config.names import first_training, step_of
from rosetta.config.training_ladders import step_models, steps_of_model
from rosetta.config.zoo import Zoo, ZooFamily, ZooRecipe
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.run.stages.record import Sized, Slice, Stage, Wildcards


def _recipes(config: Config) -> dict[str, ZooRecipe]:
    """Return the recipes of all models that are trained here, by the training's name."""
    return {name: recipe for name in _needed(config) if (recipe := config.entry(name).zoo)}


def _needed(config: Config) -> list[str]:
    """Return the needed models, and the further trainings of those that ladders name."""
    return list(dict.fromkeys([*config.needed_models(), *config.all_models()]))


def _families(config: Config) -> list[Wildcards]:
    families = dict.fromkeys(recipe.family for recipe in _recipes(config).values())
    read = (name for name in families if config.zoo.families[name].modality == "text")
    return [{"family": family} for family in read]


def _trained(config: Config) -> list[Wildcards]:
    return [{"model": model} for model in _recipes(config)]


def _found(config: Config) -> list[Wildcards]:
    trained, seeds = _recipes(config), config.controls.untrained_seeds
    found = [model for model in _needed(config) if model not in trained]
    found += step_models(config)
    # One of a language model is found by the job that captures it, which has all its stores.
    twins = [twin_name(model, seed) for model in config.used_models("images") for seed in seeds]
    return [{"model": model} for model in [*found, *twins]]


def _tokenizer(config: Config, family: str) -> Slice:
    return {
        "family": config.zoo.families[family].model_dump(mode="json", exclude_none=True),
        "tokenizer_bytes": config.zoo.training.tokenizer_bytes,
    }


def _train(config: Config, model: str) -> Slice:
    recipe = config.entry(model).zoo
    if recipe is None:
        return {}
    family = config.zoo.families[recipe.family]
    return {
        "model": model,
        "seed": family.seed if recipe.seed is None else recipe.seed,
        "family": family.model_dump(mode="json", exclude_none=True),
        "size": config.zoo.sizes[recipe.size].model_dump(
            mode="json", exclude_none=True, exclude={"replicates"}
        ),
        "training": _training(config.zoo, family),
    }


def _training(zoo: Zoo, family: ZooFamily) -> dict[str, Any]:
    """Return how models of a family are trained."""
    if family.modality == "text":
        # The size of a tokenizer's text is the tokenizer's; how often to save changes no result.
        how = {"tokenizer_bytes", "checkpoint_every"}
        return zoo.training.model_dump(mode="json", exclude=how)
    found = zoo.image_training.model_dump(mode="json", exclude={"checkpoint_every"})
    return {**found, "steps": found["steps"][family.task]}


def _kept(config: Config) -> list[Wildcards]:
    return [{"model": model} for model in _recipes(config) if steps_of_model(config, model)]


def _train_steps(config: Config, model: str) -> Slice:
    return {**_train(config, model), "steps": steps_of_model(config, model)}


def model_slice(config: Config, model: str) -> Slice:
    """Return what a model is made of: its entry, and the entry of the model it is a twin of."""
    entry = config.entry(model)
    twin = entry.untrained
    base = {"base": _made_of(config.models[twin.of])} if twin else {}
    return {"model": model, "entry": _made_of(entry), **base}


def _made_of(entry: ModelEntry) -> dict[str, Any]:
    """Return what of an entry says what the model is; whose replicate it is changes no result.

    What entries once had no word of is left out where it says nothing new, so that models made
    before stay valid.
    """
    said = {"modality", "generator"} if entry.modality == "text" else set()
    said |= {"recorded"} if entry.recorded == "neurons" else set()
    said |= set() if entry.pipeline else {"pipeline"}
    other = {"replicate_of", "checkpoints"}  # which is of its steps, models of their own
    content = entry.model_dump(mode="json", exclude={*other, *said})
    if entry.zoo and entry.zoo.seed is None:
        del content["zoo"]["seed"]
    return content


def _learnt_from(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return what a model is trained on: texts, as its tokenizer cuts them, or images."""
    if config.modality_of(job["model"]) == "images":
        return [paths.image_set(split) for split in ("train", "heldout")]
    recipe = config.entry(job["model"]).zoo
    tokenizer = [paths.tokenizer_manifest(recipe.family)] if recipe else []
    return [paths.corpus_manifest, *tokenizer]


def _base(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    # An untrained twin takes configuration and tokenizer from the model that it is a twin of. A
    # step of a training is kept on the way to its end; no rule may declare what tells it, so the
    # end, or what its job makes last, has to be there too.
    name, entry = job["model"], config.entry(job["model"])
    if step_of(name) is not None and entry.zoo:
        model = first_training(name)
        last = [paths.captured(model)] if config.modality_of(name) == "images" else []
        return [paths.training_steps(model), paths.model_manifest(model), *last]
    return [paths.model_manifest(entry.untrained.of)] if entry.untrained else []


STAGES = (
    Stage(
        name="tokenizer",
        version=3,
        phase="tokenizers",
        reads=("corpus",),
        job="{family}",
        jobs=_families,
        config_slice=_tokenizer,
        slice_by="family",
        resources=Sized(by="stage"),
        inputs=files.corpus,
        makes=files.one("tokenizer_manifest", "family"),
    ),
    # Before the rest of the training, which goes on from its checkpoint.
    Stage(
        name="train_steps",
        version=1,
        phase="training",
        reads=("corpus", "images", "tokenizer"),
        job="{model}",
        jobs=_kept,
        config_slice=_train_steps,
        slice_by="model",
        resources=Sized(by="model"),
        inputs=_learnt_from,
        makes=files.one("training_steps", "model"),
    ),
    Stage(
        name="train",
        version=5,
        phase="training",
        reads=("corpus", "images", "tokenizer"),
        job="{model}",
        jobs=_trained,
        config_slice=_train,
        slice_by="model",
        resources=Sized(by="model"),
        inputs=_learnt_from,
        makes=files.model,
    ),
    Stage(
        name="model",
        version=3,
        phase="models",
        # Of an untrained twin: the model that it is a twin of; of a step: the whole training.
        reads=("train_steps", "train", "model", "captured"),
        job="{model}",
        jobs=_found,
        config_slice=model_slice,
        slice_by="model",
        resources=Sized(by="model"),
        inputs=_base,
        makes=files.model,
    ),
)
