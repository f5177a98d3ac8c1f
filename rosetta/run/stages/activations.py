"""The stages that capture activations: of the models, and of their untrained twins."""

from __future__ import annotations

from pathlib import Path

from rosetta.config import Config, twin_name
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.run.stages.models import model_slice
from rosetta.run.stages.record import Sized, Slice, Stage, Wildcards, per_model


def _shards(config: Config) -> list[Wildcards]:
    shards = range(config.activations.n_shards)
    return [{"model": model, "shard": i} for model in config.all_models() for i in shards]


def _with_twins(config: Config) -> list[Wildcards]:
    return per_model(config) if config.controls.untrained_seeds else []


def _activations(config: Config, model: str) -> Slice:
    how = {"keep", "max_left_out", "shards_per_job"}
    return {
        "model": model,
        "model_dtype": config.entry(model).dtype,
        "activations": config.activations.model_dump(mode="json", exclude=how),
        "live": config.store_mode == "live",
    }


def _twins(config: Config, model: str) -> Slice:
    names = [twin_name(model, seed) for seed in config.controls.untrained_seeds]
    twins = [{**model_slice(config, name), **_activations(config, name)} for name in names]
    return {"twins": twins}


def _twinned(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the model that untrained twins are made of: a twin's own base, or the model itself."""
    twin = config.entry(job["model"]).untrained
    return [paths.model_manifest(twin.of if twin else job["model"])]


STAGES = (
    Stage(
        name="activations",
        version=5,
        phase="activations",
        reads=("corpus", "train", "model"),
        job="{model}.{shard}-of-{n_parts}",
        n_parts=lambda config: config.activations.n_shards,
        jobs=_shards,
        config_slice=_activations,
        slice_by="model",
        resources=Sized(by="model", gpu="always"),
        inputs=files.both(files.corpus, files.model),
        makes=files.store,
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
        resources=Sized(by="model", gpu="always"),
        inputs=files.both(files.corpus, _twinned),
        makes=files.both(files.twin_manifests, files.twin_stores),
    ),
)
