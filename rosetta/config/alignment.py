"""The section `alignment`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rosetta.config.base import Modality, Section
from rosetta.errors import ConfigError

Pooling = Literal["mean", "max", "median"]
Grid = Literal["larger", "smaller", "anchor"]
# What several stored rows can become, by what the models see.
POOLINGS: dict[Modality, tuple[Pooling, ...]] = {
    "text": ("mean", "max", "median"),
    "images": ("mean",),
}


class Alignment(Section):
    """How the stored rows of an aligned position become one value."""

    pooling: Pooling = Field(
        "mean",
        description="over the tokens of a span; of images, whose cells are weighted means, mean "
        "only",
    )
    grid: Grid = Field(
        "larger",
        description="grid that both models' cells are resampled to, of images: the one of more "
        "cells (the first model's if they have as many), of fewer, or that of the first model of a "
        "pair, which is the anchor",
    )


def check_pooling(pooling: str, modality: Modality, key: str = "alignment.pooling") -> None:
    """Check that a pooling is known for what the models see.

    Raises
    ------
    ConfigError
        If it is not.
    """
    if pooling not in POOLINGS[modality]:
        raise ConfigError(
            f"{key}: {pooling} is not defined for {modality}, whose positions know only "
            f"{' and '.join(POOLINGS[modality])}. Set it to {POOLINGS[modality][0]}."
        )
