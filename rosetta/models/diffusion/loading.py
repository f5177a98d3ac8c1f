"""Loading pipelines of diffusers, part by part, from safetensors or a seed."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from transformers.utils.hub import extract_commit_hash

from rosetta.config.pipelines import Pipeline
from rosetta.errors import ModelError, brief
from rosetta.extras import naming_extras
from rosetta.models.devices import CPU
from rosetta.models.diffusion.facts import CONFIGURATIONS, PipelineFacts, pipeline_facts
from rosetta.models.diffusion.folders import Part, parts_of
from rosetta.models.folders import PIPELINE, check_plain
from rosetta.models.hub import CONVERSION
from rosetta.models.source_files import source_file, source_json
from rosetta.models.sources import ModelSource
from rosetta.models.weights_fit import check_fit


def settings_of(source: ModelSource) -> Pipeline:
    """Return how a pipeline makes images, as its entry says."""
    assert source.pipeline is not None, "callers ask for pipelines only"
    return source.pipeline


def facts_of(source: ModelSource) -> PipelineFacts:
    """Return what a pipeline makes, of a folder or of the hub.

    Raises
    ------
    RosettaError
        If a configuration file cannot be read, the pipeline is not supported, or a setting does not
        fit it.
    """
    index, transformer, vae = (_configuration(source, name) for name in CONFIGURATIONS)
    return pipeline_facts(index, transformer, vae, settings_of(source), source.place)


def transformer_config(source: ModelSource) -> dict[str, Any]:
    """Return the configuration of a pipeline's transformer."""
    return _configuration(source, CONFIGURATIONS[1])


def commit_of(source: ModelSource) -> str | None:
    """Return the commit of a pipeline of the hub that a revision stands for, where it is told."""
    return extract_commit_hash(source_file(source, PIPELINE), None)


def _configuration(source: ModelSource, name: str) -> dict[str, Any]:
    try:
        content = source_json(source, name)
    except Exception as error:  # transformers raises many kinds
        raise ModelError(
            f"{source.place}: cannot read {name} of {source.location} ({brief(error)})."
            f"{_what_to_check(source)}"
        ) from None
    if not content:
        where = " in the cache or on the hub" if source.revision else ""
        raise ModelError(
            f"{source.place}: there is no {name} of {source.location}{where}, so it is no pipeline "
            f"of diffusers, or not all of it.{_what_to_check(source)}"
        )
    return content


def _what_to_check(source: ModelSource) -> str:
    if source.revision is None:
        return " Give a folder that a pipeline's save_pretrained wrote."
    return " Check id, revision and the network; gated models need `hf auth login`."


def empty_parts(source: ModelSource) -> dict[str, Any]:
    """Return the parts of a pipeline that have weights, without any: on the device `meta`.

    Raises
    ------
    ModelError
        If a part is of code of its own, or its configuration does not build it.
    """
    with torch.device("meta"):
        return {part.name: _built(source, part, kind) for part, kind in _classes(source).items()}


def load_pipeline(source: ModelSource, facts: PipelineFacts, device: torch.device = CPU) -> Any:
    """Return a pipeline whose parts are in evaluation mode.

    Of an untrained twin the transformer has random weights; the other parts are as they are.

    Parameters
    ----------
    source : ModelSource
        The pipeline.
    facts : PipelineFacts
        What it makes.
    device : device
        Takes all of it.

    Raises
    ------
    ModelError
        If a part is of code of its own, weights are missing, are not safetensors or do not fit
        their configuration.
    """
    kinds = _classes(source)
    importlib.import_module("diffusers.utils.logging").disable_progress_bar()
    parts = {part.name: _loaded(source, part, kind) for part, kind in kinds.items()}
    try:
        pipeline = _library("diffusers", source, facts.name).from_pretrained(
            source.location,
            revision=source.revision,
            use_safetensors=True,
            trust_remote_code=False,
            **parts,
        )
    except Exception as error:
        raise ModelError(
            f"{source.place}: cannot load the pipeline of {source.location} ({brief(error)})."
        ) from None
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _classes(source: ModelSource) -> dict[Part, type]:
    """Return the classes of the parts that have weights: not of schedulers and tokenizers."""
    place = f"{source.place}: {source.location}"
    found = {}
    for part in parts_of(_configuration(source, PIPELINE), place):
        kind = _library(part.library, source, part.kind)
        if issubclass(kind, torch.nn.Module):
            found[part] = kind
    return found


def _library(library: str, source: ModelSource, name: str) -> Any:
    """Return a class of a library."""
    with naming_extras(f"{source.place}.pipeline"):
        found = getattr(importlib.import_module(library), name, None)
    if found is None:
        raise ModelError(
            f"{source.place}: {library} has no {name}, which {PIPELINE} of {source.location} asks "
            "for. Upgrade it, or give another pipeline."
        )
    return found


def _built(source: ModelSource, part: Part, kind: Any) -> Any:
    """Return a part of its configuration and random numbers."""
    config = _configuration(source, f"{part.name}/config.json")
    check_plain(config, f"{source.place}: {part.name}")
    try:
        if part.library == "diffusers":
            return kind.from_config(config)
        return kind(kind.config_class.from_dict(config))
    except Exception as error:
        raise ModelError(
            f"{source.place}: {part.kind} cannot be built from {part.name}/config.json of "
            f"{source.location} ({brief(error)})."
        ) from None


def _loaded(source: ModelSource, part: Part, kind: Any) -> Any:
    """Return a part with its weights or, of an untrained twin's transformer, random ones."""
    if part.name == "transformer" and source.untrained_seed is not None:
        torch.manual_seed(source.untrained_seed)
        return _built(source, part, kind).to(getattr(torch, source.dtype)).eval()
    check_plain(_configuration(source, f"{part.name}/config.json"), f"{source.place}: {part.name}")
    try:
        module, info = kind.from_pretrained(
            source.location,
            subfolder=part.name,
            revision=source.revision,
            dtype=getattr(torch, source.dtype),
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told, and rejected with all others
        )
    except Exception as error:
        advice = f" {CONVERSION}" if source.revision else ""
        raise ModelError(
            f"{source.place}: cannot load {part.name} of {source.location} "
            f"({brief(error)}).{advice}"
        ) from None
    check_fit(info, f"{source.place}: the weights of {part.name} of {source.location}")
    return module.eval()
