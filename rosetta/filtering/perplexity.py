"""Perplexity of held-out documents."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import torch

from rosetta.activations.capture import padded
from rosetta.errors import CorpusError, ModelError
from rosetta.filtering.document_scores import encode
from rosetta.inputs.text.documents import document_name
from rosetta.models.batches import batches
from rosetta.models.tokenizers import check_embedded
from rosetta.storage.digests import hash64


@torch.inference_mode()
def perplexity(
    model: Any,
    tokenizer: Any,
    texts: list[str],
    separator: int,
    sequence_length: int,
    batch_size: int,
) -> tuple[float, int]:
    """Return exp(mean negative log likelihood per token), `inf` on overflow, and n_tokens.

    Every token of every document is predicted once: the first from the separator, the others from
    what precedes them in the document, at most `sequence_length` tokens back. Longer documents are
    read in windows, each of which begins with the last token of the one before.

    Parameters
    ----------
    model, tokenizer
        A causal language model and its fast tokenizer.
    texts : list of str
        Documents.
    separator : int
        Token before a document.
    sequence_length : int
        Tokens that the model reads at a time.
    batch_size : int
        Windows per forward pass.

    Raises
    ------
    CorpusError
        If there is no token to predict.
    ModelError
        If a token has no embedding, or the likelihood is not a number.
    """
    check = partial(check_embedded, tokenizer=tokenizer, config=model.config, place="perplexity")
    windows: list[np.ndarray] = []
    for found, text in zip(encode(tokenizer, texts), texts, strict=True):
        check(found.ids, document_name(hash64(text)))
        windows += _windows(found.ids[found.is_text], separator, sequence_length)
    if not windows:
        raise CorpusError(
            "perplexity: no held-out document of the target domain. Raise corpus.splits.heldout."
        )
    windows.sort(key=len)
    nats, n_tokens = 0.0, 0
    for together in batches([len(window) - 1 for window in windows], batch_size, model.config):
        nats_here, n_here = _nats(model, windows[together])
        nats += nats_here
        n_tokens += n_here
    return _perplexity_of(nats, n_tokens), n_tokens


def _windows(ids: np.ndarray, separator: int, sequence_length: int) -> list[np.ndarray]:
    """Return what the model reads of a document: all but the last token of each is read, all but
    the first predicted.

    Of tokens a b c d e, at two a time: [separator a b], [b c d], [d e].
    """
    ids = np.concatenate([[separator], ids]).astype(np.int64)
    return [ids[at : at + sequence_length + 1] for at in range(0, len(ids) - 1, sequence_length)]


def _nats(model: Any, windows: list[np.ndarray]) -> tuple[float, int]:
    """Return the negative log likelihood of the predicted tokens of windows, and their number."""
    ids, mask = (batch.to(model.device) for batch in padded(windows))
    logits = model(
        input_ids=ids[:, :-1], attention_mask=mask[:, :-1], use_cache=False
    ).logits.float()
    wanted = ids[:, 1:].masked_fill(mask[:, 1:] == 0, -100)
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), wanted.flatten(), reduction="none"
    )
    return float(losses.double().sum()), int((wanted != -100).sum())


def _perplexity_of(nats: float, n_tokens: int) -> float:
    if math.isnan(nats):
        raise ModelError(
            "perplexity: the model's likelihood of held-out text is not a number: its training "
            "diverged (lower "
            "filtering.pretraining.learning_rate), or its forward pass overflows "
            "(models.NAME.dtype: bfloat16 or "
            "float32)."
        )
    with np.errstate(over="ignore"):
        return float(np.exp(nats / n_tokens))
