"""Aligned spans of two or more tokenizations of the same documents (method, section 2).

Between two consecutive byte boundaries that ALL tokenizations share lies one aligned span. Tokens
never cross a shared boundary, so every token belongs to at most one span, and the tokens of a span
are consecutive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch

from rosetta.alignment.pooling import pool_into
from rosetta.alignment.positions import AlignedPositions


@dataclass(frozen=True)
class TokenRanges:
    """Byte ranges of the tokens of many documents under one tokenization.

    Only tokens that stand for bytes are listed; within a document they are in order and without
    gaps, from byte 0 on.

    Attributes
    ----------
    document_index : ndarray of int, shape (n_tokens,)
        Document of each token, non-decreasing.
    byte_start, byte_end : ndarray of int, shape (n_tokens,)
        Byte range in the document, `byte_start < byte_end`.
    """

    document_index: np.ndarray
    byte_start: np.ndarray
    byte_end: np.ndarray


@dataclass(frozen=True)
class AlignedSpans:
    """Aligned positions of several tokenizations.

    Attributes
    ----------
    document_index, byte_start, byte_end : ndarray of int64, shape (n_spans,)
        Where each span lies.
    first, last : tuple of ndarray of int64, each of shape (n_spans,)
        Per tokenization, the half-open range of tokens that overlap each span.
    """

    document_index: np.ndarray
    byte_start: np.ndarray
    byte_end: np.ndarray
    first: tuple[np.ndarray, ...]
    last: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.byte_start)


def aligned_spans(tokenizations: Sequence[TokenRanges], n_documents: int) -> AlignedSpans:
    """Return the aligned spans of two or more tokenizations of the same documents.

    Boundaries are those that all tokenizations have, with 0 and the end of the common covered
    prefix of each document included. All documents are handled at once: each is given its own
    stretch of one long axis.

    Example: of `the cats`, A reads the tokens `the| ca|ts` and B `th|e| cats`. Both have boundaries
    at the bytes 0, 3 and 8, so the spans are `the` and ` cats`: tokens [0, 1) and [1, 3) of A,
    tokens [0, 2) and [2, 3) of B. Had B read no further than byte 3, ` cats` would be no span.

    Parameters
    ----------
    tokenizations : sequence of TokenRanges
        One per model.
    n_documents : int
        Number of documents.
    """
    covered = np.stack([_covered(ranges, n_documents) for ranges in tokenizations])
    prefix = covered.min(axis=0)
    offset = np.concatenate([[0], np.cumsum(covered.max(axis=0) + 1)]).astype(np.int64)
    starts = [offset[ranges.document_index] + ranges.byte_start for ranges in tokenizations]
    ends = [offset[ranges.document_index] + ranges.byte_end for ranges in tokenizations]

    used = np.flatnonzero(prefix)
    shared = reduce(np.intersect1d, [np.union1d(s, e) for s, e in zip(starts, ends, strict=True)])
    owner = np.searchsorted(offset, shared, side="right") - 1
    shared = shared[shared <= offset[owner] + prefix[owner]]
    boundaries = np.union1d(shared, np.concatenate([offset[used], offset[used] + prefix[used]]))

    owner = np.searchsorted(offset, boundaries, side="right") - 1
    inside = owner[:-1] == owner[1:]
    low, high, document = boundaries[:-1][inside], boundaries[1:][inside], owner[:-1][inside]
    return AlignedSpans(
        document_index=document,
        byte_start=low - offset[document],
        byte_end=high - offset[document],
        first=tuple(np.searchsorted(e, low, side="right") for e in ends),
        last=tuple(np.searchsorted(s, high, side="left") for s in starts),
    )


def _covered(ranges: TokenRanges, n_documents: int) -> np.ndarray:
    covered = np.zeros(n_documents, dtype=np.int64)
    np.maximum.at(covered, ranges.document_index, ranges.byte_end)
    return covered


@dataclass(frozen=True)
class Segments(AlignedPositions):
    """Positions of text: each is a run of the tokens of one model.

    Attributes
    ----------
    rows : ndarray of int, shape (n_tokens,)
        Row of each token that stands for bytes, ascending; special tokens may lie between.
    first, last : ndarray of int, shape (n_positions,)
        Half-open range of `rows` of each position: never empty, ascending, without overlap.
    """

    rows: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @property
    def begin(self) -> np.ndarray:
        """First row that each position needs, shape (n_positions,)."""
        begin: np.ndarray = self.rows[self.first]
        return begin

    @property
    def end(self) -> np.ndarray:
        """Row after the last that each position needs, shape (n_positions,)."""
        end: np.ndarray = self.rows[self.last - 1] + 1
        return end

    def some(self, which: slice | np.ndarray) -> Segments:
        """Return some of the positions, in order."""
        return Segments(self.sample[which], self.rows, self.first[which], self.last[which])

    def counted_from(self, row: int) -> Segments:
        """Return the same positions with rows counted from `row`, keeping only rows they need."""
        if not len(self):
            return self
        skipped = self.first[0]
        rows = self.rows[skipped : self.last[-1]] - row
        return Segments(self.sample, rows, self.first - skipped, self.last - skipped)

    def holding(self, marks: np.ndarray) -> np.ndarray:
        """Return which positions need a marked row; `marks` is bool of shape (n_rows,)."""
        until = np.concatenate([[0], np.cumsum(marks[self.rows])])
        found: np.ndarray = until[self.last] > until[self.first]
        return found

    def pool_into(
        self, out: torch.Tensor, values: torch.Tensor, which: slice, pooling: str
    ) -> None:
        """Pool tokens to positions by mean, max or median (`rosetta.alignment.pooling`)."""
        pool_into(out, values, self.rows, self.first[which], self.last[which], pooling)
