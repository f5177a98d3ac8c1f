"""What is wrong with values, in words: one line per key, with the value and how to fix it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rosetta.config.corpus import KINDS
from rosetta.config.images import IMAGE_KINDS
from rosetta.config.training_ladders import STEP_FORMS

_FIXES = {
    "extra_forbidden": "unknown key; remove it or correct its spelling",
    "missing": "required key is missing; add it",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "list_type": "must be a list",
    "recursion_loop": "refers to itself; write it out",
}
# What is in the wrong place may be a secret, and a message goes into logs.
_UNSHOWN = ("extra_forbidden", "secret")
_SHOWN_CHARACTERS = 80


def describe_problems(problems: Iterable[Any], spelled: Callable[[str], str] = str) -> list[str]:
    """Return one line per key that pydantic finds wrong; without a key for the whole.

    `spelled` says how the user wrote a key, where that is not as in a configuration.
    """
    said: dict[str, list[str]] = {}
    values: dict[str, str] = {}
    for problem in problems:
        key = _key(problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        unquoted = problem["loc"][-1:] == ("[key]",) or isinstance(problem["input"], int | float)
        if problem["type"] == "string_type" and unquoted:
            message += "; put it in quotes, without which YAML takes it for something else"
        if problem["type"] == "union_tag_not_found":
            message = _kinds_to_add(IMAGE_KINDS if problem["loc"][0] == "images" else KINDS)
        said.setdefault(key, []).append(
            _FIXES.get(problem["type"], message[0].lower() + message[1:])
        )
        values[key] = "" if problem["type"] in _UNSHOWN else _shown(problem["input"])
    return [
        f"{spelled(key)}: {' or '.join(messages)}{values[key]}"
        if key
        else f"{' or '.join(messages)}{values[key]}"
        for key, messages in said.items()
    ]


def _kinds_to_add(kinds: tuple[str, ...]) -> str:
    *others, last = (f"`kind: {kind}`" for kind in kinds)
    return f"add {', '.join(others)} or {last}"


def _key(location: tuple[Any, ...]) -> str:
    """Return a key as a user writes it, without pydantic's names of the kinds that a value might
    have been of.
    """
    parts: list[str] = []
    for part in location:
        is_kind = isinstance(part, str) and (
            part == "constrained-int" or ("[" in part and part.endswith("]"))
        )
        is_tag = part in {*KINDS, *IMAGE_KINDS} and parts and parts[-1] == ".source"
        is_tag = is_tag or part in STEP_FORMS
        if not is_kind and not is_tag:
            parts.append(
                f"[{part}]"
                if isinstance(part, int)
                else f".{part if part.isprintable() else ascii(part)}"
            )
    return "".join(parts).lstrip(".")


def _shown(value: Any) -> str:
    if not isinstance(value, str | int | float | bool) and value is not None:
        return ""
    text = repr(value)
    return f" (got {text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + '…'})"
