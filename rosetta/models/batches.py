"""Which sequences may share a forward pass, so that each reads the same alone and in any batch."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from rosetta.models.neurons import text_config


def length_limits(config: Any) -> list[int]:
    """Return the lengths above which a model of a transformers configuration reads all positions differently.

    LongRoPE rotates by one set of frequencies up to `original_max_position_embeddings` tokens and by another above, and
    the library chooses between them by the longest row of a batch. Dynamic NTK changes above `max_position_embeddings`
    only, and longer sequences are refused (`rosetta.models.loading.check_context`); other kinds never change.
    """
    found = getattr(text_config(config), "rope_parameters", None) or {}
    by_layer_type = [rope for rope in found.values() if isinstance(rope, dict)]
    kinds = [rope for rope in (found, *by_layer_type) if rope.get("rope_type") == "longrope"]
    return sorted({rope["original_max_position_embeddings"] for rope in kinds})


def batches(lengths: Sequence[int], batch_size: int, config: Any) -> Iterator[slice]:
    """Yield which sequences are read together: `batch_size` in order, cut where a length limit lies between two.

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
