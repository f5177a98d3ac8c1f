"""Aligned spans of two or more tokenizations of the same documents, and pooling to them (method, section 2).

Between two consecutive byte boundaries that ALL tokenizations share lies one aligned span. Tokens never cross
a shared boundary, so every token belongs to at most one span, and the tokens of a span are consecutive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch

STRIP = 256  # rows worked on at once, so that they stay in the processor's cache


@dataclass(frozen=True)
class TokenRanges:
    """Byte ranges of the tokens of many documents under one tokenization.

    Only tokens that stand for bytes are listed; within a document they are in order and without gaps, from
    byte 0 on.

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

    Boundaries are those that all tokenizations have, with 0 and the end of the common covered prefix of each
    document included. All documents are handled at once: each is given its own stretch of one long axis.

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


def pool_into(
    out: torch.Tensor, values: torch.Tensor, rows: np.ndarray, first: np.ndarray, last: np.ndarray, pooling: str
) -> None:
    """Pool token rows to spans, in the precision of `out`.

    Parameters
    ----------
    out : Tensor, shape (n_spans, n_units)
        Where the spans go; its dtype is the precision to pool in.
    values : Tensor, shape (n_rows, n_units)
        Activations as stored.
    rows : ndarray of int, shape (n_tokens,)
        Row of `values` of every token.
    first, last : ndarray of int, shape (n_spans,)
        Half-open range of tokens of each span, never empty.
    pooling : {'mean', 'max', 'median'}
        What becomes of the tokens of a span.
    """
    if not len(first):
        return
    # Most spans are one token; the others are then overwritten.
    for low in range(0, len(first), STRIP):
        head = rows[first[low : low + STRIP]]
        taken = slice(int(head[0]), int(head[0]) + len(head))
        consecutive = np.array_equal(head, np.arange(taken.start, taken.stop))
        out[low : low + STRIP].copy_(values[taken] if consecutive else values[torch.from_numpy(head)])
    lengths = last - first
    for length in np.unique(lengths[lengths > 1]):
        spans = np.flatnonzero(lengths == length)
        step = max(1, STRIP // int(length))
        for low in range(0, len(spans), step):
            some = spans[low : low + step]
            tokens = torch.from_numpy(rows[first[some] + np.arange(length)[:, None]])
            _POOLINGS[pooling](out, torch.from_numpy(some), values, tokens)


def _mean(out: torch.Tensor, spans: torch.Tensor, values: torch.Tensor, tokens: torch.Tensor) -> None:
    """Write means over axis 0 of `tokens`, exact where all values are equal: dead neurons must stay constant."""
    first = out[spans]
    above = torch.zeros_like(first)
    for row in tokens[1:]:
        above += values[row].to(out.dtype).sub_(first)
    out[spans] = first.add_(above, alpha=1 / len(tokens))


def _max(out: torch.Tensor, spans: torch.Tensor, values: torch.Tensor, tokens: torch.Tensor) -> None:
    out[spans] = _gathered(out, values, tokens).amax(dim=0)


def _median(out: torch.Tensor, spans: torch.Tensor, values: torch.Tensor, tokens: torch.Tensor) -> None:
    ordered = _gathered(out, values, tokens).sort(dim=0).values
    middle = len(ordered) // 2
    out[spans] = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _gathered(out: torch.Tensor, values: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return values[tokens.ravel()].to(out.dtype).view(*tokens.shape, -1)


# Each takes the tokens of some spans, (length, n_spans) rows of `values`; `out` holds their first tokens already.
_POOLINGS: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], None]] = {
    "mean": _mean,
    "max": _max,
    "median": _median,
}
