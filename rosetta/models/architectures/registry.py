"""Every architecture that is supported, and the modality that it gives a model."""

from __future__ import annotations

from collections.abc import Mapping

from rosetta.config.base import Modality
from rosetta.errors import ModelError
from rosetta.models.architectures import generators, images, text
from rosetta.models.architectures.record import Architecture

# A further modality is a further table; no `model_type` stands in two of them.
TABLES: dict[Modality, Mapping[str, Architecture]] = {
    "text": text.ARCHITECTURES,
    "images": {**images.ARCHITECTURES, **generators.ARCHITECTURES},
}


def architecture_of(model_type: str | None, place: str) -> Architecture:
    """Return the entry of a `model_type` in the tables.

    Raises
    ------
    ModelError
        If the architecture is not supported; the message lists those that are.
    """
    return TABLES[modality_of(model_type, place)][str(model_type)]


def modality_of(model_type: str | None, place: str) -> Modality:
    """Return what models of a `model_type` see: the modality of the table that holds it.

    Raises
    ------
    ModelError
        If the architecture is not supported; the message lists those that are.
    """
    for modality, table in TABLES.items():
        if isinstance(model_type, str) and model_type in table:
            return modality
    supported = ", ".join(name for table in TABLES.values() for name in table)
    raise ModelError(
        f"{place}: architecture {model_type!r} is not supported. Supported: {supported}."
    )


def is_generator(model_type: str | None) -> bool:
    """Tell whether models of a `model_type` make images."""
    return model_type in generators.ARCHITECTURES
