"""The step that makes the untrained twins of a model."""

from __future__ import annotations

from rosetta.config import Config, twin_name
from rosetta.models import sources
from rosetta.models.model_manifest import write_model_manifest
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.steps.activations import activations_step


def twins_step(config: Config, paths: Paths, model: str) -> None:
    """Write the manifests of a model's untrained twins and capture all of their shards."""
    for seed in config.controls.untrained_seeds:
        twin = twin_name(model, seed)
        source = sources.model_source(config, paths, twin)
        write_model_manifest(source, paths.model_manifest(twin), made_by(config, "model", twin))
        for shard in range(config.activations.n_shards):
            activations_step(config, paths, twin, shard)
