"""What the manifest of a model says of a pipeline of diffusers: it is checked end to end first."""

from __future__ import annotations

from pathlib import Path

import torch

from rosetta.models.described import Described, check_finite
from rosetta.models.diffusion.facts import PipelineFacts
from rosetta.models.diffusion.folders import WHOLE_OF, check_pipeline_folder, pipeline_weights
from rosetta.models.diffusion.loading import (
    commit_of,
    empty_parts,
    facts_of,
    settings_of,
    transformer_config,
)
from rosetta.models.diffusion.sites import diffusion_sites
from rosetta.models.folders import model_files, weight_shapes
from rosetta.models.hub import PIPELINE_WEIGHTS, check_safetensors
from rosetta.models.sources import ModelSource
from rosetta.models.weights_fit import check_fit
from rosetta.storage.digests import digest_file, digest_json

# Masks among the weights of text encoders may be infinite.
_WEIGHTS = (".weight", ".bias")


def describe_pipeline(source: ModelSource) -> Described:
    """Check a pipeline, and return what its manifest says of it.

    Raises
    ------
    RosettaError
        If its class is not supported, a setting does not fit it, or weights are missing, are not
        safetensors, or do not fit their configuration.
    """
    if source.revision is None:
        check_pipeline_folder(Path(source.location), settings_of(source), source.place)
    elif source.untrained_seed is None:
        check_safetensors(source.location, source.revision, source.place, PIPELINE_WEIGHTS)
    facts, parts = facts_of(source), empty_parts(source)
    diffusion_sites(parts["transformer"], facts, source.place)
    if source.revision is None:
        _check_files(source, parts["transformer"])
    made = {"grid": list(facts.grid), "size": facts.size, "n_classes": len(facts.classes)}
    settings = settings_of(source).model_dump(mode="json", exclude={"class_names"})
    return Described(
        architecture=facts.name,
        shape=facts.shape,
        n_parameters=sum(p.numel() for part in parts.values() for p in part.parameters()),
        weights=_identity(source, facts),
        facts={**made, "classes": list(facts.classes), "pipeline": settings},
    )


def _check_files(source: ModelSource, transformer: torch.nn.Module) -> None:
    """Check that a folder's weights are numbers, and that the transformer's fit it."""
    folder = Path(source.location)
    for part, paths in pipeline_weights(folder, source.place).items():
        if part != "transformer" or source.untrained_seed is None:
            for path in paths:
                check_finite(path, source.place, _WEIGHTS)
    if source.untrained_seed is not None:
        return
    wanted = {name: list(values.shape) for name, values in transformer.state_dict().items()}
    found = weight_shapes(folder / "transformer", source.place, WHOLE_OF["diffusers"])
    info = {
        "missing_keys": wanted.keys() - found.keys(),
        "unexpected_keys": found.keys() - wanted.keys(),
        "mismatched_keys": [
            (name, found[name], wanted[name])
            for name in sorted(wanted.keys() & found.keys())
            if found[name] != wanted[name]
        ],
    }
    check_fit(info, f"{source.place}: the weights of the transformer in {folder}")


def pipeline_identity(source: ModelSource) -> str:
    """Return what the images and activations of a pipeline depend on.

    Raises
    ------
    RosettaError
        As `rosetta.models.diffusion.loading.facts_of`.
    """
    return _identity(source, facts_of(source))


def _identity(source: ModelSource, facts: PipelineFacts) -> str:
    settings = settings_of(source).model_dump(mode="json", exclude={"class_names"})
    made = f"made as {digest_json({**settings, 'classes': list(facts.classes)})}"
    if source.revision is not None:
        weights = f"{source.location}@{commit_of(source) or source.revision}"
    else:
        folder = Path(source.location)  # schedulers and tokenizers make images, too
        files = model_files(folder)
        weights = digest_json({str(file.relative_to(folder)): digest_file(file) for file in files})
    if source.untrained_seed is None:
        return f"{weights} {made}"
    return (
        f"untrained {source.untrained_seed} of {digest_json(transformer_config(source))} by torch "
        f"{torch.__version__} in {weights} {made}"
    )
