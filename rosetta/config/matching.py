"""The section `matching`."""

from __future__ import annotations

from pydantic import Field

from rosetta.config.base import Section


class Matching(Section):
    """What counts as a match."""

    k: int = Field(1, ge=1, description="mutual k-nearest neighbours")
