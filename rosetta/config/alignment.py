"""The section `alignment`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rosetta.config.base import Section


class Alignment(Section):
    """How the tokens inside an aligned span become one value."""

    pooling: Literal["mean", "max", "median"] = Field(
        "mean", description="over the tokens of a span"
    )
