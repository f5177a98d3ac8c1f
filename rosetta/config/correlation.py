"""The section `correlation`, with its method `screened`."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from rosetta.config.base import Section
from rosetta.errors import ConfigError


class Screening(Section):
    """How `correlation.method: screened` finds the pairs of neurons that are worth an exact
    correlation.
    """

    sketch_rows: int | None = Field(
        None,
        ge=64,
        le=2**24,
        description="rows m of the sketches, a power of two; chosen by the planner if not given",
    )
    n_candidates: int = Field(
        4,
        ge=1,
        le=1000,
        description="candidates K for the first exact pass, of a neuron with many rivals",
    )
    failure_probability: float = Field(
        1e-6, gt=0, lt=0.1, description="that anything in the result of a pair differs from `exact`"
    )
    min_r: Annotated[float, Field(gt=-1, lt=1)] | Literal["auto"] | None = Field(
        None,
        description="give up on matches with r below this; none by default, so all are found; "
        "auto: what r has to exceed to count above a null model, in the ladders of the pair",
    )

    @property
    def floor(self) -> float:
        """The r below which matches are given up; -inf if none is.

        Raises
        ------
        ConfigError
            If null models are still to tell it.
        """
        if self.min_r == "auto":
            raise ConfigError(
                "correlation.screening.min_r: auto takes the floor from the null models of a run. "
                "Give a number."
            )
        return -math.inf if self.min_r is None else self.min_r

    @model_validator(mode="after")
    def _power_of_two(self) -> Screening:
        if self.sketch_rows and self.sketch_rows & (self.sketch_rows - 1):
            raise ValueError(f"sketch_rows must be a power of two (got {self.sketch_rows})")
        return self


class Correlation(Section):
    """How cross-model correlations are computed."""

    method: Literal["exact", "screened"] = Field(
        "exact",
        description="all pairs exactly, or candidates found in sketches, exactly and certified",
    )
    max_k: int = Field(
        10, ge=1, le=1000, description="neighbours kept per neuron; one more is kept for margins"
    )
    memory_gb: float = Field(2.0, gt=0, le=100_000, description="memory budget of one job")
    n_jobs: int = Field(1, ge=1, le=10_000, description="jobs that share the tiles of a pair")
    precision: Literal["auto", "float32", "bfloat16", "float64"] = Field(
        "auto",
        description="what is multiplied; auto: bfloat16 where the machine has it natively, else "
        "float32. bfloat16 moves r by up to 0.003 where there are few positions, and less the more "
        "there are; for the third digit of r, or the same r on every machine, take float32",
    )
    screening: Screening = Screening()

    @property
    def floor_of_nulls(self) -> bool:
        """Whether null models tell what is screened for: they are matched before."""
        return self.method == "screened" and self.screening.min_r == "auto"

    @model_validator(mode="after")
    def _one_job(self) -> Correlation:
        if self.method == "screened" and self.n_jobs > 1:
            raise ValueError(
                "n_jobs must be 1 with method screened; spread its tasks with dask.n_workers"
            )
        return self
