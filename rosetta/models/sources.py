"""Where a model comes from, and whether its files match its manifest; loads nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rosetta.config import Config
from rosetta.config.base import Recorded
from rosetta.config.corpus import HUB_ID
from rosetta.config.pipelines import Pipeline
from rosetta.errors import ModelError
from rosetta.models.folders import check_model_folder, model_files
from rosetta.run.paths import Paths
from rosetta.storage.damage import DamageError
from rosetta.storage.manifests import check_files, describe

KIND = "model"


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from.

    Attributes
    ----------
    name : str
        Name of the model entry, for messages.
    location : str
        Local folder or hub id.
    revision : str or None
        Commit or tag of a hub model.
    untrained_seed : int or None
        If set, the weights are the architecture's default random initialisation with this seed.
    dtype : str
        Precision of the forward pass.
    key : str or None
        What messages name as the culprit, where it is not the model entry.
    pipeline : Pipeline or None
        How it makes images, if it is a pipeline of diffusers.
    recorded : {'neurons', 'mlp_input'}
        What counts as a unit (`rosetta.models.recorded`).
    """

    name: str
    location: str
    revision: str | None = None
    untrained_seed: int | None = None
    dtype: str = "float32"
    key: str | None = None
    pipeline: Pipeline | None = None
    recorded: Recorded = "neurons"

    @property
    def place(self) -> str:
        """What messages name as the culprit."""
        return self.key or f"models.{self.name}"


def model_source(config: Config, paths: Paths, name: str) -> ModelSource:
    """Return where the model entry `name` of a configuration comes from."""
    entry = config.entry(name)
    if entry.untrained:
        base = model_source(config, paths, entry.untrained.of)
        seed = entry.untrained.seed
        return replace(base, name=name, untrained_seed=seed, dtype=entry.dtype)
    if entry.zoo:
        return ModelSource(name, str(paths.model(name)), dtype=entry.dtype)
    location, revision = (entry.path, None) if entry.path else (str(entry.hub), entry.revision)
    return ModelSource(
        name,
        location,
        revision,
        dtype=entry.dtype,
        pipeline=entry.pipeline,
        recorded=entry.recorded,
    )


def named_source(model: str, revision: str, dtype: str, option: str) -> ModelSource:
    """Return where the model comes from that an option of a command names: a folder, or the hub.

    What looks like a path is one: the hub is not asked for it.

    Raises
    ------
    ModelError
        If it is a path, and no folder of a model in Hugging Face format.
    """
    path = Path(model)
    in_a_folder = path.parent != Path() and path.parent.is_dir()
    if path.exists() or in_a_folder or not re.fullmatch(HUB_ID, model):
        check_model_folder(path, option)
        return ModelSource(model, model, dtype=dtype, key=option)
    return ModelSource(model, model, revision, dtype=dtype, key=option)


def describe_model(source: ModelSource) -> dict[str, dict[str, Any]] | None:
    """Return size and digest of a local model's files; None for one of the hub.

    Those of an untrained twin are its base model's, without the weights that it has not: of a
    pipeline the transformer's.
    """
    folder = Path(source.location)
    if source.revision is not None:
        return None
    random = folder / "transformer" if source.pipeline else folder
    files = (
        file
        for file in model_files(folder)
        if source.untrained_seed is None or file.suffix != ".safetensors" or file.parent != random
    )
    return describe(folder, files)


def check_model(manifest: dict[str, Any], path: Path) -> None:
    """Check that a local model is still the one that its manifest, in the file `path`, describes.

    Raises
    ------
    ModelError
        If a file is not as it was, and this is not a model of the run.
    StoreError
        If a file of a model of the run is damaged.
    """
    if manifest["files"] is None:
        return
    folder, made = Path(manifest["source"]["location"]), manifest["made_by"]
    # Of an untrained twin, whose files are those of its base model; or of a step of a training.
    entry = made.get("base") or made.get("entry") or {}
    made_here = made.get("stage") == "train" or entry.get("zoo") is not None
    if made_here:  # in the results folder, from wherever it is looked at
        folder = path.with_name(folder.name)
    try:
        check_files(
            folder,
            manifest["files"],
            folder.with_name(f"{folder.name}.json") if made_here else path,
        )
    except DamageError as damage:
        if made_here:
            raise
        raise ModelError(
            f"{damage.path}: not what it was when models.{manifest['source']['name']} was "
            "looked at first. Bring it "
            "back, or run the workflow again, so that everything made from the old one is "
            "recomputed."
        ) from None
