"""What a model entry sees, text or images, as far as it is known before the model is loaded."""

from __future__ import annotations

from pathlib import Path

from rosetta.config import Config
from rosetta.config.base import Modality
from rosetta.models.architectures.registry import modality_of
from rosetta.models.folders import folder_modality
from rosetta.models.known_sizes import known_manifest
from rosetta.run.paths import Paths


def known_modality(config: Config, paths: Paths, name: str) -> Modality | None:
    """Return a model's modality, or None if it is not known before the model is downloaded.

    Its architecture gives it, which is told by the local folder, the zoo's recipe, or the manifest
    of an earlier run. An untrained twin has its model's.

    Raises
    ------
    ModelError
        If the architecture is not supported.
    """
    twin = config.entry(name).untrained
    base = twin.of if twin else name
    entry = config.entry(base)
    if entry.path and Path(entry.path).exists() and not entry.pipeline:
        return folder_modality(Path(entry.path), f"models.{base}.path")
    if entry.path or entry.modality == "images":  # what a plan is made for
        return entry.modality
    if entry.zoo:
        architecture = config.zoo.families[entry.zoo.family].architecture
        return modality_of(architecture, f"zoo.families.{entry.zoo.family}")
    manifest = known_manifest(config, paths, base)
    return modality_of(manifest["architecture"], f"models.{base}") if manifest else None
