"""The section `sweeps`: how the result depends on choices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rosetta.config.alignment import Grid
from rosetta.config.base import Distinct, Section
from rosetta.config.exclusions import Exclusions

# Settings of the sweep `image_source`: images of the run's own source, and of a rung's generator.
SOURCE, GENERATED = "source", "generated"


class Sweeps(Section):
    """How the result depends on choices. k and threshold cost nothing; each other setting is a
    further correlation.
    """

    k: Distinct[Annotated[int, Field(ge=1)]] | None = Field(
        None,
        description="k to match with; 1, 2, 5 and 10, as far as correlation.max_k allows, if "
        "not given",
    )
    thresholds: Distinct[Annotated[float, Field(ge=-1, lt=1)]] = Field(
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
        description="correlations that matches have to exceed",
    )
    pooling: Distinct[Literal["mean", "max", "median"]] = Field(
        [], description="poolings in place of alignment.pooling"
    )
    grid: Distinct[Grid] = Field(
        [], description="grids in place of alignment.grid, of models that see images"
    )
    image_source: bool = Field(
        False,
        description="of two models that are compared on the images of the source and each with a "
        "generator: the images that this made, and as many of the source",
    )
    budgets: bool = Field(
        False,
        description="1/2, 1/4, 1/8, … of the documents or images; together about one correlation "
        "more",
    )
    split_half: bool = Field(
        False,
        description="two disjoint halves of the documents, no source in both; one correlation more",
    )
    exclusions: Distinct[Exclusions] = Field(
        [], description="exclusions in place of the configuration's"
    )
