"""How large autoencoders are, and what they take, for the plan."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rosetta.config.sae import Sae
from rosetta.errors import ConfigError
from rosetta.models.neurons import NeuronShape
from rosetta.sae.folders import part_folders, stated_size

BLOCK = 4096  # rows that stay together when they are shuffled, and that are encoded at once
FEATURES_AT_ONCE = 1024  # whose weights are in memory in float64 together
WINDOW_BYTES = 2**30  # of rows that are in memory to be mixed


class SaeSize(NamedTuple):
    """How many autoencoders a model has, and their size.

    Attributes
    ----------
    n_parts : int
        One, or one per layer.
    d_in, n_features : int
        Inputs and features of each.
    loaded : bool
        Whether they are read, not trained.
    """

    n_parts: int
    d_in: int
    n_features: int
    loaded: bool

    @property
    def n_parameters(self) -> int:
        """Weights of one of them."""
        return (2 * self.d_in + 1) * self.n_features + self.d_in


def sae_size(settings: Sae, model: str, shape: NeuronShape) -> SaeSize:
    """Return the size of a model's autoencoders; of loaded ones as their folder tells it.

    A folder that is not there, as where a run is only planned, counts as one of `width`.

    Raises
    ------
    ModelError
        As `rosetta.sae.folders.stated_size`.
    """
    n_parts = shape.n_layers if settings.per == "layer" else 1
    d_in = shape.n_neurons // n_parts
    n_features, path = settings.width * d_in, settings.path.get(model)
    if path and Path(path).is_dir():
        first = part_folders(Path(path), settings.per, n_parts)[0]
        n_features = stated_size(first, f"sae.path.{model}")[1]
    return SaeSize(n_parts, d_in, n_features, bool(path))


def check_active(settings: Sae, size: SaeSize) -> None:
    """Check that an autoencoder that is trained has as many features as may be active.

    Raises
    ------
    ConfigError
        If it has fewer.
    """
    if settings.k > size.n_features:
        raise ConfigError(
            f"sae.k: is {settings.k}, but an autoencoder of {size.d_in} neurons has "
            f"{size.n_features} features (sae.width: {settings.width}). Lower it."
        )
