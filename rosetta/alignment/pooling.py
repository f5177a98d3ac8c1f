"""Pooling of runs of rows: the mean, largest or middle value of the tokens of each aligned span."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

STRIP = 256  # rows worked on at once, so that they stay in the processor's cache
GPU_STRIP = 16_384  # on a GPU: few calls matter more than its cache


def strip_rows(where: torch.device) -> int:
    """Return how many rows are best worked on at once."""
    return GPU_STRIP if where.type == "cuda" else STRIP


def pool_into(
    out: torch.Tensor,
    values: torch.Tensor,
    rows: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    pooling: str,
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
    at_once = strip_rows(out.device)
    # Most spans are one token; the others are then overwritten.
    for low in range(0, len(first), at_once):
        head = rows[first[low : low + at_once]]
        taken = slice(int(head[0]), int(head[0]) + len(head))
        consecutive = np.array_equal(head, np.arange(taken.start, taken.stop))
        out[low : low + at_once].copy_(
            values[taken] if consecutive else values[torch.from_numpy(head)]
        )
    lengths = last - first
    for length in np.unique(lengths[lengths > 1]):
        spans = np.flatnonzero(lengths == length)
        step = max(1, at_once // int(length))
        for low in range(0, len(spans), step):
            some = spans[low : low + step]
            tokens = torch.from_numpy(rows[first[some] + np.arange(length)[:, None]])
            _POOLINGS[pooling](out, torch.from_numpy(some), values, tokens)


def _mean(
    out: torch.Tensor, spans: torch.Tensor, values: torch.Tensor, tokens: torch.Tensor
) -> None:
    """Write means over axis 0 of `tokens`, exact where all values are equal, as of dead neurons."""
    first = out[spans]
    above = torch.zeros_like(first)
    for row in tokens[1:]:
        above += values[row].to(out.dtype).sub_(first)
    out[spans] = first.add_(above, alpha=1 / len(tokens))


def _max(
    out: torch.Tensor, spans: torch.Tensor, values: torch.Tensor, tokens: torch.Tensor
) -> None:
    out[spans] = _gathered(out, values, tokens).amax(dim=0)


def _median(
    out: torch.Tensor, spans: torch.Tensor, values: torch.Tensor, tokens: torch.Tensor
) -> None:
    ordered = _gathered(out, values, tokens).sort(dim=0).values
    middle = len(ordered) // 2
    out[spans] = (
        ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    )


def _gathered(out: torch.Tensor, values: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return values[tokens.ravel()].to(out.dtype).view(*tokens.shape, -1)


# Each takes the tokens of some spans, (length, n_spans) rows of `values`; `out` holds their first
# tokens already.
_POOLINGS: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], None]] = {
    "mean": _mean,
    "max": _max,
    "median": _median,
}
