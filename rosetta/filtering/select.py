"""Selecting documents by score: exact for any sharding, in memory of the selection.

Documents are taken by score, highest first, and equal scores by id, lowest first. A token budget
takes documents as long as those before hold fewer tokens than the budget, so the document that
reaches it is the last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from rosetta.errors import PlanError

BUFFERED = 1_000_000  # documents that are held back before what cannot be selected is let go of


class Scored(NamedTuple):
    """Scores of some documents.

    Attributes
    ----------
    id : ndarray of uint64, shape (n,)
    score : ndarray of float64, shape (n,)
    tokens : ndarray of int64, shape (n,)
        What the documents take of a budget.
    """

    id: np.ndarray
    score: np.ndarray
    tokens: np.ndarray

    def take(self, rows: np.ndarray | slice) -> Scored:
        """Return some of the documents."""
        return Scored(*(values[rows] for values in self))


class Amount(NamedTuple):
    """How much is taken; what is None sets no limit.

    Attributes
    ----------
    tokens : int or None
        Take documents until they hold this many tokens.
    count : int or None
        Take this many documents.
    above : float or None
        Take documents whose score exceeds this.
    """

    tokens: int | None = None
    count: int | None = None
    above: float | None = None


def select(blocks: Iterable[Scored], amount: Amount) -> Scored:
    """Return the documents that are taken from a pool, best first.

    A document that the best of some of the blocks already leave out is not taken from all of them
    either, so only what is still in question is held: the selection, and a buffer.

    Parameters
    ----------
    blocks : iterable of Scored
        The pool, in any order and in blocks of any size.
    amount : Amount
        How much is taken.
    """
    kept, waiting, n_waiting = _NOTHING, [], 0
    for block in blocks:
        if amount.above is not None:
            block = block.take(block.score > amount.above)
        waiting.append(block)
        n_waiting += len(block.id)
        if n_waiting >= BUFFERED:
            kept, waiting, n_waiting = _best([kept, *waiting], amount), [], 0
    return _best([kept, *waiting], amount)


_NOTHING = Scored(np.empty(0, np.uint64), np.empty(0), np.empty(0, np.int64))


def _best(blocks: list[Scored], amount: Amount) -> Scored:
    joined = Scored(*(np.concatenate(values) for values in zip(*blocks, strict=True)))
    ordered = joined.take(np.lexsort((joined.id, -joined.score)))
    n = len(ordered.id)
    if amount.tokens is not None:
        n = int(np.searchsorted(np.cumsum(ordered.tokens), amount.tokens)) + 1
    return ordered.take(slice(min(n, amount.count) if amount.count is not None else n))


def exactly(value: float) -> Fraction:
    """Return the number that was written: 7 percent of 100 are 7, though 0.07 * 100 > 7 in floating
    point.
    """
    return Fraction(str(value))


def percentile_of(scores: Iterable[np.ndarray], percentile: float) -> float:
    """Return the lowest score that `percentile` percent of scores do not exceed."""
    column = np.concatenate(list(scores))
    place = percentile_place(percentile, len(column))
    return float(np.partition(column, place)[place])


def percentile_place(percentile: float, n: int) -> int:
    """Return where, of n scores in ascending order, the lowest one stands that `percentile` percent
    do not exceed.
    """
    return max(1, math.ceil(exactly(percentile) * n / 100)) - 1


def check_amount(
    amount: Amount, tokens: int, documents: int, keys: dict[str, str], *, unit: str = "tokens"
) -> None:
    """Check that a pool holds what is to be taken from it.

    Parameters
    ----------
    amount : Amount
        What is to be taken.
    tokens, documents : int
        What the pool holds; of tokens, a bound is enough.
    keys : dict
        What messages name as the culprit, for `tokens` and `count`.
    unit : str
        What `tokens` counts.

    Raises
    ------
    PlanError
        If the pool holds less.
    """
    asked = (
        ("tokens", amount.tokens, tokens, unit),
        ("count", amount.count, documents, "documents"),
    )
    for name, wanted, held, what in asked:
        if wanted is not None and wanted > held:
            raise PlanError(
                f"{keys[name]}: {wanted:,} is more than the pool's {held:,} {what}, so nothing "
                "would be filtered. "
                "Lower it."
            )


def membership(ids: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """Return which of `ids` are among the sorted ids `selected`, a boolean each."""
    if not len(selected):
        return np.zeros(len(ids), dtype=bool)
    at = np.minimum(np.searchsorted(selected, ids), len(selected) - 1)
    return selected[at] == ids


def read_blocks(frames: Iterable, column: str) -> Iterator[Scored]:
    """Yield blocks from tables with the columns id, tokens and `column`."""
    for frame in frames:
        yield Scored(
            frame["id"].to_numpy(np.uint64),
            frame[column].to_numpy(np.float64),
            frame["tokens"].to_numpy(),
        )
