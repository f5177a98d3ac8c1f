"""The section `controls`: null models, and which of them calibrate counts."""

from __future__ import annotations

from pydantic import Field

from rosetta.config.base import Distinct, Section, Seed

NULLS = ("permutation", "documents", "untrained")
# Permuted positions leave no relation at all between two models. Any two neurons that see spaces
# exceed what remains, so a count above it would be that of all matches: this null has counts of its
# own, and no statistic.
CALIBRATING = tuple(name for name in NULLS if name != "permutation")


class Controls(Section):
    """Null models, through the same code path as the main result (method, section 6)."""

    permutation_seeds: Distinct[Seed] = Field(
        [0],
        description="one correlation per pair and seed, the positions of its second model permuted",
    )
    document_seeds: Distinct[Seed] = Field(
        [0, 1, 2, 3, 4],
        description="one correlation per pair and seed, the documents of its second model "
        "exchanged for others of the "
        "same domain, position by position",
    )
    untrained_seeds: Distinct[Seed] = Field(
        [0, 1, 2],
        description="one correlation per pair and seed, of randomly initialised twins of both "
        "models; "
        "their stores are deleted once used, except those of small models",
    )
    null_quantile: float = Field(
        0.99,
        gt=0,
        lt=1,
        description="matches count as above a null if r exceeds this quantile of the null's "
        "matched r, "
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
