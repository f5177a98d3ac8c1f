"""The configuration of controls and uncertainty: exclusions, null models, intervals, sweeps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from rosetta.config.base import Distinct, Section, Seed
from rosetta.hadamard import is_order

NULLS = ("permutation", "documents", "untrained")
# Permuted positions leave no relation at all between two models. Any two neurons that see spaces exceed what remains,
# so a count above it would be that of all matches: this null has counts of its own, and no statistic.
CALIBRATING = tuple(name for name in NULLS if name != "permutation")


class Exclusions(Section):
    """What takes no part in correlations besides dead neurons and special positions."""

    first_position: bool = Field(
        False,
        description="leave out spans that hold the first token of a document that stands for text: attention sinks lie "
        "there, or on the BOS token before it",
    )
    max_norm: float | None = Field(
        None, gt=1, description="leave out spans with a token whose norm over all neurons exceeds this × the median"
    )
    variance_floor: float = Field(
        0.0, ge=0, description="leave out neurons whose variance over tokens is below this × their model's median"
    )


class Controls(Section):
    """Null models, through the same code path as the main result (method, section 6)."""

    permutation_seeds: Distinct[Seed] = Field(
        [0], description="one correlation per pair and seed, the positions of its second model permuted"
    )
    document_seeds: Distinct[Seed] = Field(
        [0, 1, 2, 3, 4],
        description="one correlation per pair and seed, the documents of its second model exchanged for others of the "
        "same domain, position by position",
    )
    untrained_seeds: Distinct[Seed] = Field(
        [0, 1, 2],
        description="one correlation per pair and seed, of randomly initialised twins of both models; "
        "their stores are deleted once used",
    )
    null_quantile: float = Field(
        0.99,
        gt=0,
        lt=1,
        description="matches count as above a null if r exceeds this quantile of the null's matched r, "
        "one threshold for all rungs of a ladder",
    )

    @property
    def names(self) -> list[str]:
        """The null models that have any seed."""
        return [name for name in NULLS if self.seeds(name)]

    def seeds(self, name: str) -> list[int]:
        """Return the seeds of a null model."""
        return {
            "permutation": self.permutation_seeds,
            "documents": self.document_seeds,
            "untrained": self.untrained_seeds,
        }[name]


class Intervals(Section):
    """Confidence intervals from half-samples of the documents."""

    n_blocks: int = Field(
        20,
        ge=4,
        le=1000,
        description="blocks of documents; each of n_blocks − 1 balanced halves of them is matched, and its complement. "
        "An order of a Hadamard matrix: 4, 8, 12, 16, 20, 24, 32, 40, 44, 48, 60, 64, …",
    )
    max_teraflops: float = Field(
        20.0,
        ge=0,
        description="re-match all neurons on every half-sample if that takes at most this many 10¹² operations and "
        "fits the memory budget; otherwise among each neuron's nearest neighbours",
    )

    @field_validator("n_blocks")
    @classmethod
    def _check_order(cls, n_blocks: int) -> int:
        if not is_order(n_blocks):
            lower, upper = (next(filter(is_order, range(n_blocks, end, step))) for end, step in ((0, -1), (2048, 1)))
            raise ValueError(f"no Hadamard matrix of order {n_blocks} is made, so take {lower} or {upper}")
        return n_blocks


class Sweeps(Section):
    """How the result depends on choices. k and threshold cost nothing; each other setting is a correlation anew."""

    k: Distinct[Annotated[int, Field(ge=1)]] | None = Field(
        None, description="k to match with; 1, 2, 5 and 10, as far as correlation.max_k allows, if not given"
    )
    thresholds: Distinct[Annotated[float, Field(ge=-1, lt=1)]] = Field(
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], description="correlations that matches have to exceed"
    )
    pooling: Distinct[Literal["mean", "max", "median"]] = Field(
        [], description="poolings in place of alignment.pooling"
    )
    budgets: bool = Field(False, description="1/2, 1/4, 1/8, … of the documents; together about one correlation more")
    split_half: bool = Field(
        False, description="two disjoint halves of the documents, no source in both; one correlation more"
    )
    exclusions: Distinct[Exclusions] = Field([], description="exclusions in place of the configuration's")
