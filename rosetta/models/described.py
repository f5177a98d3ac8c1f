"""What the manifest of a model says of it, once the model was checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open

from rosetta.errors import ModelError
from rosetta.models.neurons import NeuronShape


class Described(NamedTuple):
    """A model that was checked.

    Attributes
    ----------
    architecture : str
        The `model_type` of its configuration, or the class of its pipeline.
    shape : NeuronShape
        Its neurons.
    n_parameters : int
        Of all that is loaded of it.
    weights : str
        What its activations depend on, in words and digests.
    facts : dict
        What it reads, or which images it makes.
    """

    architecture: str
    shape: NeuronShape
    n_parameters: int
    weights: str
    facts: dict[str, Any]


def check_finite(path: Path, place: str, suffixes: str | tuple[str, ...] = "") -> None:
    """Check that the weights of a file are numbers, of those whose names end so.

    Raises
    ------
    ModelError
        If one is not finite.
    """
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118
            if name.endswith(suffixes) and not torch.isfinite(file.get_tensor(name).float()).all():
                raise ModelError(
                    f"{place}: {name} in {path} holds values that are not finite: its training "
                    "diverged, or the file is damaged. Give another model."
                )
