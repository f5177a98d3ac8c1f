"""What all sections of the configuration have in common."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

T = TypeVar("T")

# File systems hold 255 bytes in a name; a temporary sibling's dots and digits, a job's number and a
# suffix come on top.
MAX_NAME, MAX_JOINED = 64, 180
# In a path, Snakemake takes `{x}` for a wildcard and `<x>` for a variable of its own.
MEANT_TO_SNAKEMAKE = re.compile(r"[{}]|<[a-z][a-z0-9_]*>")
# What the models of a ladder see; the architecture of a model gives it
# (`rosetta.models.architectures`).
Modality = Literal["text", "images"]
Recorded = Literal["neurons", "mlp_input"]
GB = 1_000_000_000  # what keys that end in _gb count
ITEM_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}  # of one value, by its dtype


class Section(BaseModel):
    """Base of all sections; rejects unknown keys, silent conversions, and NaN and infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._]|-(?!-))*")
_TAKEN = (
    ".json",
    ".replicates",
)  # the manifest of `x` is x.json, and x.replicates lies beside what is x's


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name) or name.endswith("-"):
        raise ValueError(
            "names are letters, digits, '.', '_' and single '-', and begin with a letter or digit "
            "(they become file names)"
        )
    if len(name) > MAX_NAME:
        raise ValueError(
            f"names have {MAX_NAME} characters at most, this one {len(name)}; shorten it"
        )
    if name.endswith(_TAKEN):
        raise ValueError(
            "names do not end in .json or .replicates, which the files of other names do; rename it"
        )
    return name


def _check_place(path: str) -> str:
    if not path.strip() or not path.isprintable():
        raise ValueError("a path has visible characters only, and one at least")
    if "://" in path:
        raise ValueError("must be a place on this machine, not an address; download it first")
    if meant := MEANT_TO_SNAKEMAKE.search(path):
        raise ValueError(
            f"must not hold '{meant[0]}', which Snakemake takes for a wildcard or a variable"
        )
    if path.startswith("~"):
        raise ValueError("'~' is not expanded; write the home folder out")
    return path


def _check_folder(path: str) -> str:
    if path.startswith("-"):
        raise ValueError("must not begin with '-', which commands take for an option")
    return path


def _check_distinct(values: list[Any]) -> list[Any]:
    if len({repr(value) for value in values}) < len(values):
        raise ValueError(f"must differ from each other (got {values})")
    return values


Name = Annotated[str, AfterValidator(_check_name)]
Place = Annotated[str, AfterValidator(_check_place)]
Folder = Annotated[Place, AfterValidator(_check_folder)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what generators take and tables hold
Distinct = Annotated[list[T], AfterValidator(_check_distinct)]
