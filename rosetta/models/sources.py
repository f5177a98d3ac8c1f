"""Where a model comes from: nothing is loaded here."""

from __future__ import annotations

from dataclasses import dataclass

from rosetta.config import Config
from rosetta.paths import Paths

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
    """

    name: str
    location: str
    revision: str | None = None
    untrained_seed: int | None = None
    dtype: str = "float32"
    key: str | None = None

    @property
    def place(self) -> str:
        """What messages name as the culprit."""
        return self.key or f"models.{self.name}"


def model_source(config: Config, paths: Paths, name: str) -> ModelSource:
    """Return where the model entry `name` of a configuration comes from."""
    entry = config.entry(name)
    if entry.untrained:
        base = model_source(config, paths, entry.untrained.of)
        return ModelSource(name, base.location, base.revision, entry.untrained.seed, entry.dtype)
    if entry.zoo:
        return ModelSource(name, str(paths.model(name)), dtype=entry.dtype)
    if entry.path:
        return ModelSource(name, entry.path, dtype=entry.dtype)
    return ModelSource(name, str(entry.hub), entry.revision, dtype=entry.dtype)
