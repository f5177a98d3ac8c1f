"""The section `instruments`: how ways to match are compared (`matching.instruments`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rosetta.config.base import Section, Seed
from rosetta.config.intervals import NumberOfBlocks
from rosetta.config.matching import MUTUAL_NEAREST

if TYPE_CHECKING:
    from rosetta.config.root import Config


class Instruments(Section):
    """How `matching.instruments` are compared. All of them read the same sums of one pass."""

    max_neurons: int = Field(
        4096,
        ge=1,
        description="leave out pairs of which a model has more neurons: sums and operations grow "
        "with the square and the cube of it",
    )
    max_samples: int | None = Field(
        None, ge=2, description="look at the first so many documents or images; null: all"
    )
    n_blocks: NumberOfBlocks = Field(
        4,
        description="blocks of samples; on each of n_blocks − 1 balanced halves of them what needs "
        "a fit is fitted, and all instruments are judged on its complement; then the other way "
        "round. An order of a Hadamard matrix: 4, 8, 12, 16, 20, …",
    )
    variance: float = Field(
        0.99,
        gt=0,
        le=1,
        description="procrustes and cca: share of the variance that the principal components hold",
    )
    max_components: int = Field(256, ge=1, description="the same: at most so many of them")
    soft_smoothing: float = Field(
        0.02, ge=0.005, le=1, description="soft: entropy's weight, in units of r"
    )
    soft_price: float = Field(
        0.0, ge=-1, lt=1, description="soft: r below which a unit is better left unmatched"
    )
    soft_neighbors: int = Field(
        32, ge=1, description="soft: a unit shares its mass among so many nearest neighbours"
    )
    null: Literal["documents", "permutation"] = Field(
        "documents",
        description="null model that counts have to exceed: exchanged samples, or permuted "
        "positions, above which instruments that pair all units count nearly all",
    )
    null_quantile: float = Field(
        0.95,
        gt=0,
        lt=1,
        description="a match counts if its score exceeds this quantile of the scores that its "
        "instrument finds under the null model, one threshold per ladder; lower than "
        "controls.null_quantile, because one seed makes few matches",
    )
    null_seed: Seed = Field(0, description="seed of that null model")
    n_permutations: int = Field(
        199,
        ge=19,
        le=99_999,
        description="similarity: permutations of the samples that it is calibrated with",
    )


def instrument_problems(config: Config) -> list[str]:
    """Return what is wrong with the instruments that a configuration asks for."""
    asked = config.matching.instruments
    if not asked or MUTUAL_NEAREST in asked:
        return []
    return [
        f"matching.instruments: lacks {MUTUAL_NEAREST}, which the others are compared with. Add it"
    ]
