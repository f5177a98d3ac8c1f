"""The stages that capture activations: of the models, and of their untrained twins."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from rosetta.config import Config
from rosetta.config.names import generator_of_store, model_of_store
from rosetta.config.training_ladders import step_models
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.run.stages.models import model_slice
from rosetta.run.stages.record import Sized, Slice, Stage, Wildcards, per_image_model


def _shards(config: Config, *, generated: bool) -> list[Wildcards]:
    """Return the shards of generators' own stores, or of all others."""
    every = [*config.stores(), *step_models(config)]
    names = [name for name in every if config.is_generator(name) == generated]
    return [
        {"model": name, "shard": i} for name in names for i in range(config.activations.n_shards)
    ]


def _with_twins(config: Config) -> list[Wildcards]:
    models = config.used_models("text") if config.controls.untrained_seeds else []
    return [{"model": model} for model in models]


def twin_shards(config: Config, model: str) -> list[Wildcards]:
    """Return the shards of all stores of the untrained twins of a model that sees images."""
    shards = range(config.activations.n_shards)
    return [{"model": name, "shard": i} for name in config.twin_stores(model) for i in shards]


def _shards_of_twins(config: Config) -> list[Wildcards]:
    return [job for model in config.used_models("images") for job in twin_shards(config, model)]


def _activations(config: Config, name: str) -> Slice:
    """Return what stores depend on; `name` is theirs."""
    images = config.modality_of(name) == "images"
    how = {"keep", "max_left_out", "shards_per_job", "max_images"}
    of_text = {"max_documents", "sequence_length"}
    settings = config.activations.model_dump(mode="json", exclude=how | of_text if images else how)
    found = {
        "model": model_of_store(name),
        "model_dtype": config.entry(name).dtype,
        "activations": settings,
        "live": config.store_mode == "live",
    }
    if not images:
        return found
    generator = name if config.is_generator(name) else generator_of_store(name)
    if generator:
        made = config.images.generated.model_dump(mode="json")
        return {**found, "generator": generator, "generated": made}
    return {**found, "max_images": config.activations.max_images}


def _twins(config: Config, model: str) -> Slice:
    names = config.twin_stores(model)
    of_models = [model_slice(config, model_of_store(name)) for name in names]
    of_stores = [_activations(config, name) for name in names]
    return {"twins": [{**a, **b} for a, b in zip(of_models, of_stores, strict=True)]}


def _twin_store(config: Config, name: str) -> Slice:
    """Return what a store of an untrained twin depends on; `name` is the store's."""
    return {**model_slice(config, model_of_store(name)), **_activations(config, name)}


def _twinned(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the model that untrained twins are made of: a twin's own base, or the model itself."""
    twin = config.entry(job["model"]).untrained
    return [paths.model_manifest(twin.of if twin else job["model"])]


CAPTURES = Sized(by="model", gpu="always", cores="share")

STAGES = (
    Stage(
        name="activations",
        version=5,
        phase="activations",
        reads=("corpus", "images", "train", "model", "generate", "captured"),
        job="{model}.{shard}-of-{n_parts}",
        n_parts=lambda config: config.activations.n_shards,
        jobs=partial(_shards, generated=False),
        config_slice=_activations,
        slice_by="model",
        resources=CAPTURES,
        inputs=files.both(files.shown, files.model_of_stores),
        makes=files.store,
    ),
    Stage(
        name="generate",
        version=1,
        phase="activations",
        reads=("train", "model"),
        job="{model}.{shard}-of-{n_parts}",
        n_parts=lambda config: config.activations.n_shards,
        jobs=partial(_shards, generated=True),
        config_slice=_activations,
        slice_by="model",
        resources=CAPTURES,
        inputs=files.model_of_stores,
        makes=files.both(files.store, files.generated),
    ),
    Stage(
        name="captured",
        version=1,
        phase="activations",
        reads=("generate", "activations"),
        job="{model}",
        jobs=per_image_model,
        inputs=files.all_stores,
        makes=files.one("captured", "model"),
        local=True,
    ),
    Stage(
        name="twins",
        version=3,
        phase="twins",
        reads=("corpus", "train", "model"),
        job="{model}",
        jobs=_with_twins,
        config_slice=_twins,
        slice_by="model",
        resources=CAPTURES,
        inputs=files.both(files.corpus, _twinned),
        makes=files.both(files.twin_manifests, files.twin_stores),
    ),
    # A model has as many stores of twins as it is shown images by, so each shard is a job.
    Stage(
        name="image_twins",
        version=2,
        phase="twins",
        reads=("images", "model", "generate", "captured"),
        job="{model}.{shard}-of-{n_parts}",
        n_parts=lambda config: config.activations.n_shards,
        jobs=_shards_of_twins,
        config_slice=_twin_store,
        slice_by="model",
        resources=CAPTURES,
        inputs=files.both(files.shown_to_twin, files.model_of_stores),
        makes=files.store,
    ),
)
