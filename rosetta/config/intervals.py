"""The section `intervals`: confidence intervals from half-samples of the documents."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from rosetta.config.base import Section
from rosetta.hadamard import is_order


def _check_order(n_blocks: int) -> int:
    if not is_order(n_blocks):
        lower, upper = (
            next(filter(is_order, range(n_blocks, end, step))) for end, step in ((0, -1), (2048, 1))
        )
        raise ValueError(
            f"no Hadamard matrix of order {n_blocks} is made, so take {lower} or {upper}"
        )
    return n_blocks


NumberOfBlocks = Annotated[int, Field(ge=4, le=1000), AfterValidator(_check_order)]


class Intervals(Section):
    """Confidence intervals from half-samples of the documents."""

    n_blocks: NumberOfBlocks = Field(
        20,
        description="blocks of documents; each of n_blocks − 1 balanced halves of them is "
        "matched, and its complement. "
        "An order of a Hadamard matrix: 4, 8, 12, 16, 20, 24, 32, 40, 44, 48, 60, 64, …",
    )
    max_teraflops: float = Field(
        20.0,
        ge=0,
        description="re-match all neurons on every half-sample if that takes at most this many "
        "10¹² operations and "
        "fits the memory budget; otherwise among each neuron's nearest neighbours",
    )
