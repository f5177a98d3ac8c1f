"""What held-out text costs a model, in bits per byte."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

from rosetta.models.tokenizers import texts_to_ids
from rosetta.models.zoo.recipes import END_OF_TEXT_ID

HELDOUT_TOKENS = 32_768


class Reading(NamedTuple):
    """Token ids of a document as a model sees them, and the bytes that are predicted."""

    ids: Sequence[int]
    n_bytes: int


def training_readings(tokenizer: Any, texts: list[str], sequence_length: int) -> Iterator[Reading]:
    """Yield documents as a zoo training shows them: first tokens after END_OF_TEXT."""
    spelled = tokenizer.backend_tokenizer.id_to_token
    for text in texts:
        (ids,) = texts_to_ids(tokenizer, [text])
        ids = ids[: sequence_length - 1]
        # A zoo tokenizer spells every byte by one character.
        yield Reading([END_OF_TEXT_ID, *ids], sum(len(spelled(id_)) for id_ in ids))


@torch.no_grad()
def bits_per_byte(model: Any, readings: Iterable[Reading]) -> float:
    """Return the cross-entropy of documents in bits per UTF-8 byte, comparable across tokenizers.

    Documents are read until `HELDOUT_TOKENS` tokens are predicted. NaN without documents.
    """
    nats, n_bytes, n_tokens = 0.0, 0, 0
    for reading in readings:
        if len(reading.ids) > 1:
            ids = torch.tensor([list(reading.ids)])
            nats += float(model(input_ids=ids, labels=ids).loss) * (len(reading.ids) - 1)
            n_bytes += reading.n_bytes
            n_tokens += len(reading.ids) - 1
        if n_tokens >= HELDOUT_TOKENS:
            break
    return nats / math.log(2) / n_bytes if n_bytes else float("nan")
