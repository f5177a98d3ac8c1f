"""The step that captures activations."""

from __future__ import annotations

from functools import partial

import torch

from rosetta.activations.capture import capture_shard
from rosetta.activations.inputs import ShardInputs
from rosetta.activations.live import write_live_store
from rosetta.config import Config
from rosetta.config.ladders import check_modalities, check_scales
from rosetta.errors import ConfigError
from rosetta.models.known_sizes import known_neurons
from rosetta.models.modality import known_modality
from rosetta.run.paths import Paths


def activations_step(config: Config, paths: Paths, model: str, shard: int) -> None:
    """Capture one shard of the match split; where stores are never written, say how its rows are made."""
    settings = config.activations
    config.entry(model)
    # What no check before the run knew.
    check_modalities(config, partial(known_modality, config, paths))
    check_scales(config, partial(known_neurons, config, paths))
    if not 0 <= shard < settings.n_shards:
        raise ConfigError(f"--shard: {shard} is not among the {settings.n_shards} shards (activations.n_shards).")
    # One thread: sums split over threads round differently, and shards are the unit of parallelism.
    torch.set_num_threads(1)
    if config.store_mode == "live":
        write_live_store(config, paths, model, shard)
    else:
        inputs = ShardInputs.of(config, paths, model, shard)
        capture_shard(inputs, settings, paths.store_manifest(model, settings.n_shards, shard), shard)
