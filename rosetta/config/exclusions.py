"""The section `exclusions`: which neurons and positions are not correlated."""

from __future__ import annotations

from pydantic import Field

from rosetta.config.base import Section


class Exclusions(Section):
    """What is excluded from correlations apart from dead neurons and special positions."""

    first_position: bool = Field(
        False,
        description="leave out spans that hold the first token of a document that stands for "
        "text: attention sinks lie "
        "there, or on the BOS token before it. Of images it leaves out nothing: their cells are "
        "seen at once",
    )
    max_norm: float | None = Field(
        None,
        gt=1,
        description="leave out spans with a token, or cells made of one, whose norm over all "
        "neurons exceeds this × the median",
    )
    variance_floor: float = Field(
        0.0,
        ge=0,
        description="leave out neurons whose variance over tokens is below this × their model's "
        "median",
    )
