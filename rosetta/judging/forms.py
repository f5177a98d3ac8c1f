"""Answers in a form: JSON objects that a model is asked for, and what counts as one."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

A = TypeVar("A", bound=BaseModel)


class MalformedAnswer(ValueError):
    """An answer that is not the JSON object that was asked for."""


def parse_form(text: str, form: type[A]) -> A:
    """Return the answer in a model's reply; a fence around the JSON is taken off.

    Raises
    ------
    MalformedAnswer
        If it is not the JSON object that was asked for.
    """
    fenced = re.fullmatch(r"\s*```(?:json)?\s*(.*?)\s*```\s*", text, re.DOTALL)
    try:
        return form.model_validate_json(fenced[1] if fenced else text)
    except ValidationError as error:
        problem = error.errors()[0]
        raise MalformedAnswer(" ".join([*map(str, problem["loc"]), problem["msg"]])) from None


def schema_of(form: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a form, as endpoints take it; its title is the form's name."""
    return form.model_json_schema()
