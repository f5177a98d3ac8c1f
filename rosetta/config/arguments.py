"""Checking the arguments of functions and the options of commands against sections of the
configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from rosetta.config.base import Section
from rosetta.config.messages import describe_problems
from rosetta.errors import ConfigError

S = TypeVar("S", bound=Section)


def checked(section: type[S], values: Mapping[str, Any], spelled: Callable[[str], str] = str) -> S:
    """Return a section of the configuration that holds the arguments of a function or command.

    Parameters
    ----------
    section : type
        The section.
    values : mapping
        Values by key of the section.
    spelled : callable
        From a key, such as `screening.min_r`, to what the caller's user wrote, for messages.

    Raises
    ------
    ConfigError
        Naming each argument that the section does not admit.
    """
    try:
        return section.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError("; ".join(describe_problems(error.errors(), spelled))) from None
