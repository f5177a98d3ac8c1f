"""Single files of a model, in its folder or on the hub."""

from __future__ import annotations

import json
from typing import Any

from transformers.utils.hub import cached_file

from rosetta.models.sources import ModelSource


def source_file(source: ModelSource, name: str) -> str | None:
    """Return where a file of a model is, of the hub at the revision that is asked for; None if it
    has none.
    """
    return cached_file(
        source.location, name, revision=source.revision, _raise_exceptions_for_missing_entries=False
    )


def source_json(source: ModelSource, name: str) -> dict[str, Any]:
    """Return the content of a JSON file of a model; nothing if it has none.

    Raises
    ------
    ValueError
        If the file is no JSON object.
    """
    path = source_file(source, name)
    if path is None:
        return {}
    with open(path, encoding="utf-8") as stream:
        content = json.load(stream)
    if not isinstance(content, dict):
        raise ValueError(f"{name} is not a JSON object")
    return content
