"""The configuration's documentation, generated from its model (`docs/configuration.md`)."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

_HEAD = """# Configuration

Generated from `rosetta/config/` by `rosetta config-reference`; a test keeps both in step. Unknown
keys are rejected. A preset given with `--configfile` stands alone: nothing of `config.yaml` is
merged into it, and keys it leaves out have the defaults below.
"""


def render_reference(model: type[BaseModel]) -> str:
    """Return the Markdown reference of a configuration model: one table per section."""
    return "\n".join([_HEAD, *_sections("", model, set())]).rstrip() + "\n"


def _sections(prefix: str, model: type[BaseModel], seen: set[type]) -> Iterator[str]:
    if model in seen:
        return
    seen.add(model)
    yield f"## {f'`{prefix}`' if prefix else 'Top level'}\n"
    yield f"{inspect.getdoc(model) or ''}\n"
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    nested = []
    for name, info in model.model_fields.items():
        parts = list(_models_in(info.annotation))
        default = _default(info)
        yield (
            f"| `{name}` | {_type(info.annotation)} | {default} | "
            f"{info.description or _summary(parts)} |"
        )
        mapping = typing.get_origin(info.annotation) is dict
        path = ".".join(filter(None, [prefix, name, "<name>" if mapping else ""]))
        nested += [(path, part) for part in parts]
    yield ""
    for path, part in nested:
        yield from _sections(path, part, seen)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models_in(part)


def _summary(parts: list[type[BaseModel]]) -> str:
    summary = (inspect.getdoc(parts[0]) or "").split("\n\n")[0] if parts else ""
    return " ".join(summary.split())


def _default(info: Any) -> str:
    if info.is_required():
        return "required"
    value = info.default
    if value is PydanticUndefined or isinstance(value, BaseModel):
        return "see below"
    return f"`{json.dumps(value)}`"


def _type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(part) for part in arguments))
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"mapping of names to {_type(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return {
        "JsonValue": "any value",
        "NoneType": "null",
        "str": "text",
        "int": "integer",
        "float": "number",
        "bool": "true/false",
    }.get(getattr(annotation, "__name__", ""), str(annotation))
