"""The section `matching`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rosetta.config.base import Distinct, Section

MUTUAL_NEAREST = "mutual_nearest"
Instrument = Literal[
    "mutual_nearest", "absolute", "spearman", "procrustes", "cca", "soft", "hungarian"
]


class Matching(Section):
    """What counts as a match."""

    k: int = Field(1, ge=1, description="mutual k-nearest neighbours")
    instruments: Distinct[Instrument] = Field(
        [],
        description="ways to match that are compared on the same half of the samples: "
        "mutual_nearest (needed), absolute (by |r|), spearman, procrustes, cca, soft, hungarian; "
        "none by default",
    )
