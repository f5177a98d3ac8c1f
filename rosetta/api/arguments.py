"""Checks of the arguments of public functions: an error names the argument and the fix.

Arguments that are keys of the configuration too are checked by `rosetta.config.arguments`, which
knows their limits.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosetta.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN_CHARACTERS = 80


def as_path(argument: str, value: Any) -> Path:
    """Return the path of a folder, which may be there or not.

    Raises
    ------
    ConfigError
        If it is neither a string nor a Path.
    """
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise wrong(argument, value, "a folder", "Give its path, a string or a Path")
    return Path(value)


def as_store(argument: str, value: Any) -> Path:
    """Return the folder of stores that an argument gives, as a `ModelStore` or by its path.

    Raises
    ------
    ConfigError
        If it gives something else.
    """
    folder = getattr(value, "folder", value)
    if not isinstance(folder, str | os.PathLike):
        fix = "Give what rosetta.capture returned, or its folder"
        raise wrong(argument, value, "a store", fix)
    return as_path(argument, folder)


def as_int(argument: str, value: Any) -> int:
    """Return a whole number, also one of NumPy.

    Raises
    ------
    ConfigError
        If it is something else, True and False included.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise wrong(argument, value, "a whole number", "Give one without quotes, such as 1")
    return int(value)


def as_float(argument: str, value: Any) -> float:
    """Return a number, also one of NumPy.

    Raises
    ------
    ConfigError
        If it is something else, True and False included.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise wrong(argument, value, "a number", "Give one without quotes, such as 0.5")
    return float(value)


def as_flag(argument: str, value: Any) -> bool:
    """Return a value that is True or False.

    Raises
    ------
    ConfigError
        If it is something else: a string is true whatever it says.
    """
    if not isinstance(value, bool):
        raise wrong(argument, value, "True or False", "Give one of them")
    return value


def as_text(argument: str, value: Any, what: str, fix: str) -> str:
    """Return a string that says something; `what` it should be and the `fix` go into the error.

    Raises
    ------
    ConfigError
        If it is something else.
    """
    if not isinstance(value, str) or not value.strip():
        raise wrong(argument, value, what, fix)
    return value


def as_mapping(argument: str, value: Any) -> dict[str, Any]:
    """Return the content of a mapping.

    Raises
    ------
    ConfigError
        If it is something else.
    """
    if not isinstance(value, Mapping):
        raise wrong(argument, value, "a mapping of keys to values", "Give a dictionary")
    return dict(value)


def as_axes(argument: str, value: Any) -> Axes:
    """Return axes of matplotlib.

    Raises
    ------
    ConfigError
        If it is something else, such as a figure or an array of axes.
    """
    from matplotlib.axes import Axes

    if not isinstance(value, Axes):
        fix = "Give one that plt.subplots() returned, or leave it out"
        raise wrong(argument, value, "Axes of matplotlib", fix)
    return value


def as_one_of(argument: str, value: Any, there: Iterable[str], place: str, what: str) -> str:
    """Return a name that a place knows.

    Parameters
    ----------
    argument : str
        Name of the argument.
    value : object
        What was given.
    there : iterable of str
        The names that there are.
    place, what : str
        Where they are, and what one of them is called, for the error.

    Raises
    ------
    ConfigError
        If it has no such name. The error lists the names and suggests the nearest one.
    """
    names = list(there)
    name = as_text(argument, value, f"the name of a {what}", f"Give one of {', '.join(names)}")
    if name not in names:
        nearest = get_close_matches(name, names, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        has = ", ".join(names) or "none"
        raise ConfigError(f"{place}: has no {what} {name!r}; it has {has}.{hint}")
    return name


def wrong(argument: str, value: Any, what: str, fix: str) -> ConfigError:
    """Return the error of an argument of another kind than the function takes."""
    plain = isinstance(value, str | int | float | tuple) or value is None
    shown = repr(value) if plain else f"a {type(value).__name__}"
    if len(shown) > _SHOWN_CHARACTERS:
        shown = shown[:_SHOWN_CHARACTERS] + "…"
    return ConfigError(f"{argument}: {shown} is not {what}. {fix}.")
