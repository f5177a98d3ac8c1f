"""The steps that capture activations, and the one that checks stores."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from rosetta.config import Config, twin_name
from rosetta.config.ladders import check_modalities, check_scales
from rosetta.config.names import model_of_store
from rosetta.errors import ConfigError
from rosetta.models.known_sizes import known_neurons
from rosetta.models.modality import known_modality
from rosetta.models.sources import model_source
from rosetta.models.trainings import check_trainings
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by


def activations_step(
    config: Config, paths: Paths, model: str, shard: int, threads: int = 1
) -> None:
    """Capture one shard of the samples; without stores, write how its rows are computed.

    `model` names the stores: a model's own, or of images that a generator made (`store_name`). Sums
    split over several threads round differently, in the last bits.
    """
    import torch

    settings = config.activations
    config.entry(model)
    # What no check before the run knew.
    check_modalities(config, partial(known_modality, config, paths))
    check_trainings(config, paths)
    check_scales(config, partial(known_neurons, config, paths))
    if not 0 <= shard < settings.n_shards:
        raise ConfigError(
            f"--shard: {shard} is not among the {settings.n_shards} shards (activations.n_shards)."
        )
    torch.set_num_threads(threads)
    say(f"{model}, shard {shard}: {threads} thread(s)")
    if config.store_mode == "live":
        _describe_live(config, paths, model, shard)
    elif config.modality_of(model) == "images":
        from rosetta.activations.image_shards import capture_images

        capture_images(config, paths, model, shard)
    else:
        _capture_text(config, paths, model, shard)


def _describe_live(config: Config, paths: Paths, name: str, shard: int) -> None:
    """Write how the rows of a store are computed; a generator makes the images that others see."""
    from rosetta.activations.image_shards import make_images
    from rosetta.activations.live import write_live_store

    if config.is_generator(name):
        make_images(config, paths, name, shard)
    write_live_store(config, paths, name, shard)


def _capture_text(config: Config, paths: Paths, model: str, shard: int) -> None:
    from rosetta.activations.capture import capture_shard
    from rosetta.activations.inputs import ShardInputs

    settings = config.activations
    inputs = ShardInputs.of(config, paths, model, shard)
    capture_shard(inputs, settings, paths.store_manifest(model, settings.n_shards, shard), shard)


def twins_step(config: Config, paths: Paths, model: str, threads: int = 1) -> None:
    """Write the manifests of a language model's untrained twins, and capture all their shards."""
    from rosetta.models.model_manifest import write_model_manifest

    for seed in config.controls.untrained_seeds:
        twin = twin_name(model, seed)
        source = model_source(config, paths, twin)
        write_model_manifest(source, paths.model_manifest(twin), made_by(config, "model", twin))
    for name in config.twin_stores(model):
        for shard in range(config.activations.n_shards):
            activations_step(config, paths, name, shard, threads)


def captured_step(config: Config, paths: Paths, model: str) -> None:
    """Write what all stores of a model that sees images hold, once they are there."""
    from rosetta.activations.captured import write_captured

    trained = config.replicates(model)
    names = [name for name in config.stores() if model_of_store(name) in trained]
    n_shards = config.activations.n_shards
    write_captured({name: paths.stores(name, n_shards) for name in names}, paths.captured(model))


def store_check_step(path: Path) -> Iterator[str]:
    """Check one store, given its manifest, or all shard stores of a folder.

    Yields
    ------
    str
        What each store holds, once it was found to be right.

    Raises
    ------
    StoreError
        At the first thing that is wrong.
    """
    from rosetta.activations.folders import open_store, open_stores
    from rosetta.activations.store import Store
    from rosetta.activations.validation import check_store, summary

    path = path.with_suffix(".json") if path.suffix == ".zarr" else path
    for store in open_stores(path) if path.is_dir() else [open_store(path)]:
        if not isinstance(store, Store):  # live: its class brings transformers
            yield f"{store.path}: live, made by running the model again; there is nothing to check"
        else:
            check_store(store)
            yield summary(store)
