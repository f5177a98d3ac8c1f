"""The manifest of a model: its identity and sizes, the digests of its files, and what it reads."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from rosetta.errors import ModelError
from rosetta.models.architectures.registry import is_generator, modality_of
from rosetta.models.described import Described, check_finite
from rosetta.models.diffusion.description import describe_pipeline, pipeline_identity
from rosetta.models.folders import check_model_folder, stale_index, weight_files
from rosetta.models.hub import check_safetensors
from rosetta.models.image_inputs import image_input
from rosetta.models.licences import licence_of
from rosetta.models.loading import load_config_of, load_pretrained, random_model
from rosetta.models.neuron_counts import recorded_shape
from rosetta.models.neurons import NeuronShape
from rosetta.models.recorded import recorded_sites
from rosetta.models.sources import KIND, ModelSource, check_model, describe_model
from rosetta.models.tokenizers import check_vocabulary, load_tokenizer, tokenizer_facts
from rosetta.progress import say
from rosetta.storage.digests import digest_folder, digest_json
from rosetta.storage.manifests import read_manifest, write_manifest

_WEIGHTS = (
    ".weight",
    ".bias",
    ".gate_up_proj",
    ".down_proj",
)  # the last two of all experts of a layer at once


def write_model_manifest(
    source: ModelSource, path: Path, made_by: dict, training: dict | None = None
) -> NeuronShape:
    """Check a model end to end and write its manifest: identity, sizes, digests."""
    described = describe_pipeline(source) if source.pipeline else _described(source)
    shape = described.shape
    where_from = {
        name: value for name, value in asdict(source).items() if name not in ("key", "pipeline")
    }
    content = {
        "kind": KIND,
        "made_by": made_by,
        "source": where_from,
        "architecture": described.architecture,
        **shape.facts,
        "n_neurons": shape.n_neurons,
        "n_parameters": described.n_parameters,
        "weights": described.weights,
        **described.facts,
        "training": training,
        "licence": licence_of(source, trained_here=training is not None),
        "files": describe_model(source),
    }
    write_manifest(path, content)
    return shape


def _described(source: ModelSource) -> Described:
    """Check a model of transformers end to end, and return what its manifest says of it."""
    if source.revision is None:
        check_model_folder(Path(source.location), source.place)
    elif source.untrained_seed is None:
        check_safetensors(source.location, source.revision, source.place)
    config = load_config_of(source)
    shape = recorded_shape(source.recorded, config, source.place)
    reads = _input_facts(source, config)
    if source.revision is None and source.untrained_seed is None:
        if stale := stale_index(Path(source.location)):
            say(f"{source.place}: {stale}")
        _check_files(source, config)
    with torch.device("meta"):
        recorded_sites(source.recorded, random_model(config, source.place), source.place)
    weights = _weights_identity(source, config, source.location)
    return Described(config.model_type, shape, count_parameters(config), weights, reads)


def _input_facts(source: ModelSource, config: Any) -> dict[str, Any]:
    """Return a manifest's facts of what a model reads: its tokenizer, or how it is shown images; of
    a generator, which images it makes.
    """
    if is_generator(config.model_type):
        return {"grid": list(config.grid), "size": config.image_size, "n_classes": config.n_classes}
    if modality_of(config.model_type, source.place) == "images":
        return image_input(source, config).facts
    tokenizer = load_tokenizer(source)
    check_vocabulary(tokenizer, config, source.place)
    return tokenizer_facts(source, tokenizer)


def _check_files(source: ModelSource, config: Any) -> None:
    """Check that a folder's weights fit its configuration and are numbers; of a language model,
    buffers, such as masks, may be infinite.
    """
    load_pretrained(source, config, torch.device("meta"))
    every = modality_of(config.model_type, source.place) == "images"
    folder = Path(source.location)
    for name in weight_files(folder, source.place):
        check_finite(folder / name, source.place, "" if every else _WEIGHTS)


def count_parameters(config: Any) -> int:
    """Return the number of parameters that a configuration implies, without allocating them."""
    with torch.device("meta"):
        model = random_model(config, "config.json")
    return sum(parameter.numel() for parameter in model.parameters())


def checked_manifest(source: ModelSource, path: Path) -> dict[str, Any]:
    """Return a model's manifest, once it was found to describe the model as it is.

    Raises
    ------
    RosettaError
        If the manifest or a file of the model is missing or damaged, or the weights were replaced
        since.
    """
    manifest = read_manifest(path, KIND)
    check_model(manifest, path)
    found = (
        pipeline_identity(source)
        if source.pipeline
        else _weights_identity(source, load_config_of(source), manifest["source"]["location"])
    )
    if found != manifest["weights"]:
        raise ModelError(
            f"{source.place}: the weights of {source.location} are not those that {path} "
            "describes. "
            "Run the workflow again, so that everything made from the old ones is recomputed."
        )
    return manifest


def _weights_identity(source: ModelSource, config: Any, location: str) -> str:
    """Return what tells a model's weights from others.

    `location` is what the model's manifest calls its folder, which the library writes into the
    configuration: a job may spell it in another way.
    """
    if source.untrained_seed is not None:
        told = {**config.to_dict(), "_name_or_path": location}
        return (
            f"untrained {source.untrained_seed} of {digest_json(told)} by torch {torch.__version__}"
        )
    if source.revision is not None:
        return f"{source.location}@{getattr(config, '_commit_hash', None) or source.revision}"
    return digest_folder(Path(source.location), "*.safetensors")
