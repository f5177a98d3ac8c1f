"""Which sequences may share a forward pass, so that each reads the same alone and in any batch."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from rosetta.errors import ModelError
from rosetta.models.architectures.text import text_config

_LIMIT = "original_max_position_embeddings"


def length_limits(config: Any) -> list[int]:
    """Return the lengths above which a model reads all positions differently.

    LongRoPE rotates by one set of frequencies up to `original_max_position_embeddings` tokens and
    by another above, and the library chooses between them by the longest row of a batch. Dynamic
    NTK changes above `max_position_embeddings` only, and longer sequences are rejected
    (`rosetta.models.loading.check_context`); other kinds never change.
    """
    return sorted({rope[_LIMIT] for rope in _longropes(config)})


def check_length_limits(config: Any, place: str) -> None:
    """Check that a transformers configuration gives what `length_limits` reads.

    Raises
    ------
    ModelError
        If a LongRoPE has no limit, or one that is no number of tokens.
    """
    for rope in _longropes(config):
        limit = rope.get(_LIMIT)
        if not isinstance(limit, int) or limit < 1:
            raise ModelError(
                f"{place}: config.json gives {limit!r} as {_LIMIT} of a LongRoPE "
                "(rope_parameters). Give the number of "
                "tokens up to which its short_factor holds."
            )


def _longropes(config: Any) -> list[dict[str, Any]]:
    found = getattr(text_config(config), "rope_parameters", None) or {}
    by_layer_type = [rope for rope in found.values() if isinstance(rope, dict)]
    return [rope for rope in (found, *by_layer_type) if rope.get("rope_type") == "longrope"]


def batches(lengths: Sequence[int], batch_size: int, config: Any) -> Iterator[slice]:
    """Yield batches of `batch_size` sequences in order, cut where a length limit lies.

    Parameters
    ----------
    lengths : sequence of int
        Tokens that the model reads of each sequence.
    batch_size : int
        Sequences per forward pass, at most.
    config : PreTrainedConfig
        The model's.
    """
    limits = length_limits(config)
    for start in range(0, len(lengths), batch_size):
        numbers = range(start, min(start + batch_size, len(lengths)))
        for _, alike in groupby(numbers, key=lambda i: bisect_left(limits, lengths[i])):
            together = list(alike)
            yield slice(together[0], together[-1] + 1)
