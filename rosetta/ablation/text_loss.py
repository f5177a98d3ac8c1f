"""What documents cost a language model, document by document, under several treatments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from rosetta.ablation.held_neurons import HeldNeurons
from rosetta.activations.capture import padded
from rosetta.activations.tokens import TokenizedDocument
from rosetta.errors import ModelError
from rosetta.models.batches import batches
from rosetta.models.loading_within_memory import input_device
from rosetta.models.tokenizers import n_embedded
from rosetta.progress import bar

# Of a pass on a CPU. Larger tables are asked of the operating system at every pass, which costs
# small models as much as the pass itself.
LOGITS_AT_ONCE = 4_000_000


@torch.inference_mode()
def document_bits(
    model: Any,
    documents: Sequence[TokenizedDocument],
    held: HeldNeurons,
    masks: Sequence[np.ndarray],
    batch_size: int,
) -> np.ndarray:
    """Return the bits that each document costs while neurons are held.

    Every token is predicted from those before it; the first of a document from nothing, and so not
    at all. Documents of like length share a forward pass, and all treatments of a batch follow each
    other.

    Parameters
    ----------
    model : PreTrainedModel
        A loaded causal language model.
    documents : sequence of TokenizedDocument
        As the model reads them.
    held : HeldNeurons
        What its neurons are held at.
    masks : sequence of ndarray of bool, each of shape (n_layers, d_mlp)
        The neurons that are held, treatment by treatment.
    batch_size : int
        Documents per forward pass.

    Returns
    -------
    ndarray of float64, shape (n_treatments, n_documents)
        0 for documents of less than two tokens.

    Raises
    ------
    ModelError
        If a loss is not finite.
    """
    lengths = np.array([len(document.token_ids) for document in documents])
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 1]
    batch_size = _at_a_time(model, int(lengths.max(initial=1)), batch_size)
    bits = np.zeros((len(masks), len(documents)))
    with bar(total=len(order) * len(masks), label="losses", unit="doc") as shown:
        for batch in batches(lengths[order].tolist(), batch_size, model.config):
            inside = order[batch]
            ids, mask = padded([documents[i].token_ids for i in inside])
            for number, one in enumerate(masks):
                with held.holding(one):
                    bits[number, inside] = _bits(model, ids, mask)
                shown.update(len(inside))
    return _checked(bits)


def _at_a_time(model: Any, length: int, batch_size: int) -> int:
    """Return how many documents share a pass: on a CPU no more than logits that are soon reused."""
    if input_device(model).type != "cpu":
        return batch_size
    logits = length * n_embedded(model.config)
    return max(1, min(batch_size, LOGITS_AT_ONCE // logits))


def _bits(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
    """Return the bits that the tokens of each row cost, (n_rows,)."""
    device = input_device(model)
    logits = model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).logits
    # Row by row, so that a CPU's cache holds what is made of the logits.
    losses = [
        functional.cross_entropy(row[: n - 1].float(), one[1:n].to(row.device), reduction="none")
        for row, one, n in zip(logits, ids, mask.sum(dim=1).tolist(), strict=True)
    ]
    return torch.stack([one.double().sum() for one in losses]).cpu().numpy() / math.log(2)


def _checked(bits: np.ndarray) -> np.ndarray:
    if not np.isfinite(bits).all():
        raise ModelError(
            "the loss of a held-out document is not finite. Run the model in float32, or leave the "
            "document out."
        )
    return bits


def predicted_bytes(document: TokenizedDocument) -> int:
    """Return how many bytes of a text its tokens but for the first stand for."""
    return int(document.byte_end[-1] - document.byte_end[0]) if len(document.byte_end) else 0
