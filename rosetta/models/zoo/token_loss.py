"""The cross-entropy of the next token, with the unembedding in it, some positions at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ROWS = 128  # positions at a time: their logits over 2,048 tokens stay in a core's cache


class _UnembeddedLoss(torch.autograd.Function):
    """Mean cross-entropy of hidden states after the unembedding.

    Written out, it makes no table of all logits: they are needed once only, since the gradient of
    the loss is softmax − one-hot. That halves the time of a small model's step.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, unembedding: Tensor, targets: Tensor) -> Tensor:
        to_hidden = torch.empty_like(hidden)
        to_unembedding = torch.zeros_like(unembedding.mT, memory_format=torch.contiguous_format)
        total = hidden.new_zeros(())
        for start in range(0, len(targets), ROWS):
            rows, wanted = hidden[start : start + ROWS], targets[start : start + ROWS, None]
            logits = rows @ unembedding.mT
            shares = logits.softmax(-1)
            # A row's log-sum, from its largest share: exponentials are what costs most here.
            log_sums = logits.amax(-1, keepdim=True) - shares.amax(-1, keepdim=True).log()
            total += (log_sums - logits.gather(1, wanted)).sum()
            shares.scatter_add_(1, wanted, shares.new_full(wanted.shape, -1.0))
            torch.mm(shares, unembedding, out=to_hidden[start : start + ROWS])
            to_unembedding.addmm_(rows.mT, shares)
        ctx.save_for_backward(to_hidden.div_(len(targets)), to_unembedding.mT / len(targets))
        return total / len(targets)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, Tensor, None]:
        to_hidden, to_unembedding = ctx.saved_tensors
        return outer[0] * to_hidden, outer[0] * to_unembedding, None


def next_token_loss(model: Any, batch: Tensor) -> Tensor:
    """Return the mean cross-entropy of the next token: a language model's own loss, in less time.

    Of models whose logits are the unembedding of the last hidden states and nothing more.

    Parameters
    ----------
    model : PreTrainedModel
    batch : Tensor of int64, shape (n_sequences, sequence_length)

    Returns
    -------
    Tensor, shape ()
        Nats per token.
    """
    # Given, because OPT would sum a mask for them, for which a GPU has no repeatable algorithm.
    positions = torch.arange(batch.shape[1], device=batch.device)[None]
    hidden = model.base_model(
        input_ids=batch, position_ids=positions, use_cache=False
    ).last_hidden_state
    return _UnembeddedLoss.apply(
        hidden[:, :-1].flatten(0, 1),
        model.get_output_embeddings().weight,
        batch[:, 1:].flatten(),
    )
