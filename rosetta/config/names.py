"""Names of twins, replicates, steps, stores and groups of models, and entries by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from rosetta.errors import ConfigError

T = TypeVar("T")
PAIR_SEPARATOR = "--"
# No entry's own name holds a ~.
TWIN_SEPARATOR = "~untrained-"
STEP_SEPARATOR = "~step-"
REPLICATE_SEPARATOR = "~"
SHOWN_SEPARATOR = "@"


def entry_of(entries: Mapping[str, T], name: str, key: str) -> T:
    """Return an entry of a section by its name.

    Raises
    ------
    ConfigError
        If there is none; the message lists those that there are.
    """
    if name not in entries:
        raise ConfigError(f"{key}: has no {name!r}; it has {', '.join(entries) or 'none'}.")
    return entries[name]


def twin_name(model: str, seed: int) -> str:
    """Return the name of a model's untrained twin."""
    return f"{model}{TWIN_SEPARATOR}{seed}"


def replicate_name(model: str, number: int) -> str:
    """Return the name of a zoo model's training: the model's own for number 1, else `model~2`, …"""
    return model if number == 1 else f"{model}{REPLICATE_SEPARATOR}{number}"


def step_name(model: str, step: int) -> str:
    """Return the name of a model at a step of its training: `vit-s~step-40`."""
    return f"{model}{STEP_SEPARATOR}{step}"


def step_of(name: str) -> int | None:
    """Return the step of the training that a model's name tells; None where it tells none."""
    step = name.partition(STEP_SEPARATOR)[2]
    return int(step) if step.isdecimal() else None


def first_training(name: str) -> str:
    """Return the model that a training, or a step of one, is of: `vit-s` for `vit-s~2`."""
    return name.partition(REPLICATE_SEPARATOR)[0]


def store_name(model: str, generator: str | None) -> str:
    """Return the name of a model's stores: `vit-s@pmf-s` are of images that pmf-s generated.

    Those of the samples of the run, and a generator's of its own images, have the model's name.
    """
    return model if generator in (None, model) else f"{model}{SHOWN_SEPARATOR}{generator}"


def model_of_store(name: str) -> str:
    """Return the model that stores are of."""
    return name.partition(SHOWN_SEPARATOR)[0]


def generator_of_store(name: str) -> str | None:
    """Return the generator whose images the stores of another model are of, if any."""
    return name.partition(SHOWN_SEPARATOR)[2] or None


def group_pairs(group: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the (anchor, other) pairs of a rung."""
    return [(group[0], other) for other in group[1:]]


def group_name(group: tuple[str, ...]) -> str:
    """Return the file name of a pair or larger group of models."""
    return PAIR_SEPARATOR.join(group)
