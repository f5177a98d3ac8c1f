"""The stages of sparse autoencoders: of models, of stores, of pairs, and of all rungs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rosetta.config import Config
from rosetta.config.names import model_of_store
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.run.stages.analysis import laddered
from rosetta.run.stages.correlation import ON_PAIRS, seen
from rosetta.run.stages.record import Sized, Slice, Stage, Wildcards, once, per_pair

# What a loaded autoencoder does not depend on.
_OF_TRAINING = {
    "width",
    "k",
    "steps",
    "batch_size",
    "learning_rate",
    "seed",
    "dead_after",
    "aux_k",
    "aux_weight",
}


def _per_model(config: Config) -> list[Wildcards]:
    return [{"model": model} for model in config.used_models()] if config.sae else []


def _per_store(config: Config) -> list[Wildcards]:
    models = config.used_models() if config.sae else []
    return [{"model": name} for model in models for name in config.stores_of_model(model)]


def _per_pair(config: Config) -> list[Wildcards]:
    return per_pair(config) if config.sae else []


def _once(config: Config) -> Sequence[Wildcards]:
    return once(config) if config.sae else []


def _sae(config: Config, model: str) -> Slice:
    """Return what a model's autoencoders depend on."""
    if config.sae is None:
        return {}
    path = config.sae.path.get(model)
    left_out = {"path", "checkpoint_every", *(_OF_TRAINING if path else ())}
    settings = config.sae.model_dump(mode="json", exclude=left_out)
    return {"sae": settings, "path": path, "stores": config.stores_of_model(model)}


def _encode(config: Config, _name: str) -> Slice:
    return {"dtype": config.activations.dtype}


def _match(config: Config, _pair: str) -> Slice:
    """Return what matches of features depend on: as of neurons, but exactly correlated."""
    return {
        **seen(config),
        "precision": config.correlation.precision,
        "k": config.matching.k,
        "document_seeds": config.controls.document_seeds,
        "intervals": config.intervals.model_dump(mode="json"),
        "memory_gb": config.correlation.memory_gb / config.dask.n_processes,
    }


def _tables(config: Config, name: str) -> Slice:
    return {**laddered(config, name), "bootstrap": config.bootstrap.model_dump(mode="json")}


def _stores(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return all shards that first trainings of a model are matched on."""
    names = config.stores_of_model(job["model"])
    found = [path for name in names for path in files.stores(config, paths, {"model": name})]
    images = config.modality_of(job["model"]) == "images"
    return [*found, *([paths.captured(job["model"])] if images else [])]


def _stores_of_name(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the shards of one name, and the autoencoder of their model."""
    model = model_of_store(job["model"])
    images = config.modality_of(model) == "images"
    waited = [paths.captured(model)] if images else []
    return [
        *files.stores(config, paths, job),
        *waited,
        paths.autoencoder_manifest(model),
    ]


def _feature_stores(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    n_shards = config.activations.n_shards
    return [
        paths.features.store_manifest(job["model"], n_shards, shard) for shard in range(n_shards)
    ]


def _of_both(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the features of both models of a pair."""
    names = config.stores_of(job["pair"])
    return [path for name in names for path in _feature_stores(config, paths, {"model": name})]


def _matched(_config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    pair, of = job["pair"], paths.features
    return [
        of.null_matches("documents", pair),
        of.neighbors_part(pair, 0, 1),
        of.intervals(pair),
        of.replicates(pair),
        of.matches(pair),
    ]


def _all_matched(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    return [path for job in _per_pair(config) for path in _matched(config, paths, job)]


STAGES = (
    Stage(
        name="sae",
        version=2,
        phase="autoencoders",
        reads=("corpus", "images", "activations", "generate", "captured"),
        job="{model}",
        jobs=_per_model,
        config_slice=_sae,
        slice_by="model",
        resources=Sized(by="model"),
        inputs=files.both(files.samples, _stores),
        makes=lambda _, paths, job: [
            paths.autoencoder_manifest(job["model"]),
            paths.autoencoder_neurons(job["model"]),
            paths.autoencoder_samples(job["model"]),
            paths.features.model_manifest(job["model"]),
        ],
    ),
    Stage(
        name="sae_encode",
        version=1,
        phase="autoencoders",
        reads=("activations", "generate", "captured", "sae"),
        job="{model}",
        jobs=_per_store,
        config_slice=_encode,
        resources=Sized(by="model"),
        inputs=_stores_of_name,
        makes=_feature_stores,
    ),
    Stage(
        name="sae_match",
        version=1,
        phase="autoencoders",
        reads=("corpus", "images", "sae_encode"),
        job="{pair}",
        jobs=_per_pair,
        config_slice=_match,
        resources=ON_PAIRS,
        inputs=files.both(files.samples, _of_both),
        makes=_matched,
    ),
    Stage(
        name="sae_tables",
        version=2,
        phase="results",
        reads=(
            "train",
            "model",
            "nulls",
            "match",
            "anchors",
            "vocabulary",
            "neurons",
            "image_neurons",
            "sae",
            "sae_match",
        ),
        jobs=_once,
        config_slice=_tables,
        tables={
            "sae": "per model: its sparse autoencoder, how much it explains of held-out samples, "
            "with an interval, and its dead features",
            "sae_neurons": "per neuron: what is left unexplained of it, features that it takes, "
            "and its interference with others",
            "sae_polarization": "per rung: means of these of Rosetta Neurons, of the others, and "
            "the difference, with intervals",
            "sae_polarization_by_model": "the same per model",
            "sae_trends": "per ladder: how the means change with every doubling of size",
            "sae_features": "per rung: features that match, also above exchanged samples, with "
            "intervals",
            "sae_feature_scaling": "their exponents, against neurons and against live features",
        },
        inputs=files.both(
            files.of_models("autoencoder_manifest"),
            files.of_models("autoencoder_neurons"),
            files.of_models("autoencoder_samples"),
            lambda config, paths, job: files.of_models("model_manifest")(
                config, paths.features, job
            ),
            _all_matched,
            files.profiles,
            files.image_profiles,
            files.of_groups("rosetta"),
            files.of_pairs("matches"),
            files.all_nulls,
            files.of_models("model_manifest"),
        ),
    ),
    Stage(
        name="sae_figures",
        version=1,
        phase="results",
        reads=("sae_tables",),
        jobs=_once,
        local=True,
        figures={
            "sae": "what autoencoders say of Rosetta Neurons and of the others, by size, and how "
            "many of their features match",
        },
        inputs=files.tables("sae_polarization", "sae_features", "sae_feature_scaling"),
    ),
)
