"""The tokens that a training reads: documents in a seeded order, a separator before each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rosetta.errors import CorpusError
from rosetta.models.tokenizers import texts_to_ids
from rosetta.models.zoo.recipes import END_OF_TEXT_ID


def packed_tokens(
    tokenizer: Any,
    texts: list[str],
    n_tokens: int,
    seed: int,
    separator: int = END_OF_TEXT_ID,
    check: Callable[[list[int], str], None] | None = None,
) -> np.ndarray:
    """Return `n_tokens` of documents in seeded order, each after a separator.

    Every pass over the documents has an order of its own. `check` is called with the ids and the
    text of each.

    Returns
    -------
    ndarray of int32, shape (n_tokens,)

    Raises
    ------
    CorpusError
        If the training split is empty.
    """
    check_training_texts(texts)
    rng = np.random.default_rng(seed)
    pieces: list[np.ndarray] = []
    total = 0
    while total < n_tokens:
        order = rng.permutation(len(texts))
        for start in range(0, len(order), 1000):
            batch = [texts[i] for i in order[start : start + 1000]]
            for ids, text in zip(texts_to_ids(tokenizer, batch), batch, strict=True):
                if check is not None:
                    check(ids, text)
                pieces.append(np.asarray([separator, *ids], dtype=np.int32))
                total += len(pieces[-1])
            if total >= n_tokens:
                break
    return np.concatenate(pieces)[:n_tokens]


def check_training_texts(texts: list[str]) -> None:
    """Check that there is text to train on.

    Raises
    ------
    CorpusError
        If the training split is empty.
    """
    if not texts:
        raise CorpusError(
            "corpus.splits.train: no document landed in this split to train on. Raise it or "
            "give more text."
        )
