"""The step that captures activations."""

from __future__ import annotations

import torch

from rosetta.activations.capture import capture_shard
from rosetta.config import Config, entry_of
from rosetta.corpus.build import read_split, shard_bounds
from rosetta.errors import ConfigError
from rosetta.files import read_manifest
from rosetta.models import loading
from rosetta.paths import Paths
from rosetta.stages import made_by


def activations_step(config: Config, paths: Paths, model: str, shard: int) -> None:
    """Capture one shard of the match split."""
    settings = config.activations
    entry_of(config.models, model, "models")
    if not 0 <= shard < settings.n_shards:
        raise ConfigError(f"--shard: {shard} is not among the {settings.n_shards} shards (activations.n_shards).")
    manifest = read_manifest(paths.model_manifest(model), loading.KIND)
    corpus = read_manifest(paths.corpus_manifest, "corpus")
    documents = read_split(paths, "match", settings.max_documents)
    low, high = shard_bounds(len(documents), settings.n_shards, shard)
    mine = documents.iloc[low:high]
    # One thread: sums split over threads round differently, and shards are the unit of parallelism.
    torch.set_num_threads(1)
    source = loading.model_source(config, paths, model)
    loading.check_weights(source, manifest)
    capture_shard(
        loading.load_model(source),
        loading.load_tokenizer(source),
        list(zip(mine["id"].tolist(), mine["text"].tolist(), strict=True)),
        settings,
        paths.store_manifest(model, settings.n_shards, shard),
        shard=shard,
        made_by={
            **made_by(config, "activations", model),
            "weights": manifest["weights"],
            "tokenizer": manifest["tokenizer"],
            "corpus": corpus["files"]["match"],
        },
        place=model,
    )
