"""Checking the arguments of public functions against the sections of the configuration."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError

from rosetta.config.base import Section
from rosetta.config.messages import describe_problems
from rosetta.errors import ConfigError

S = TypeVar("S", bound=Section)


def checked(section: type[S], values: dict[str, Any], names: dict[str, str] | None = None) -> S:
    """Return a section of the configuration that holds the arguments of a function.

    Parameters
    ----------
    section : type
        The section.
    values : dict
        Values by key of the section.
    names : dict of str to str, optional
        What the function calls a key, where the two names differ.

    Raises
    ------
    ConfigError
        Naming each argument that the section does not admit.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        renamed = [
            {**problem, "loc": _renamed(problem["loc"], names or {})} for problem in error.errors()
        ]
        raise ConfigError("; ".join(describe_problems(renamed))) from None


def _renamed(location: tuple[int | str, ...], names: dict[str, str]) -> tuple[int | str, ...]:
    return tuple(names.get(part, part) if isinstance(part, str) else part for part in location)
