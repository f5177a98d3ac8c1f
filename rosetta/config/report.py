"""The section `report`."""

from __future__ import annotations

from pydantic import Field

from rosetta.config.base import Section


class Report(Section):
    """What the report shows."""

    n_matches: int = Field(10, ge=0, description="matches shown per pair, highest r first")
    n_contexts: int = Field(5, ge=1, description="top contexts shown per neuron")
