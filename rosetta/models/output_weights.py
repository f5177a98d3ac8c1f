"""What a neuron writes and the vocabulary reads: output weights and unembeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from accelerate.utils import align_module_device

from rosetta.errors import ModelError
from rosetta.models.architectures.registry import architecture_of
from rosetta.models.architectures.text import text_config
from rosetta.models.sites import by_module, neuron_sites, output_weights_together


def output_weights(model: Any, place: str) -> Iterator[torch.Tensor]:
    """Yield the output weight vectors of every layer's neurons, float32 of shape (d_mlp, d_model).

    They are the columns of the down projection: what one unit of a neuron's activation adds to the
    residual stream, gated MLPs included. In a mixture of experts that is before the routing weight,
    or the shared expert's gate, which scale it by token.
    """
    for sites in neuron_sites(model, place):
        weights = (
            weight for group in by_module(sites) for weight in output_weights_together(group)
        )
        yield torch.cat([weight.float().cpu() for weight in weights])


def unembedding(
    model: Any, place: str, ids: Sequence[int], *, fold_final_norm: bool = False
) -> torch.Tensor:
    """Return the directions of the residual stream that raise the logit of each token.

    Rows of the embedding matrix that belong to no token only pad it, and are left out, whether they
    lie beyond the tokenizer's ids or in holes between them; so are tokens without a row. Where the
    model projects the residual stream before unembedding (OPT-350M), that projection is part of the
    directions.

    Parameters
    ----------
    model : PreTrainedModel
        A causal language model with tied or untied embeddings.
    place : str
        What messages name as the culprit.
    ids : sequence of int
        Ids of the tokenizer's tokens.
    fold_final_norm : bool
        Whether to carry the final norm's gain (and a LayerNorm's centring) over to the directions.

    Returns
    -------
    Tensor of float32, shape (|V|, d_model)
        In the order of the ids.

    Raises
    ------
    ModelError
        If the model has no unembedding, or one that does not fit the residual stream.
    """
    head = model.get_output_embeddings()
    if head is None:
        raise ModelError(
            f"{place}: has no output embedding, so its neurons have no vocabulary to write to."
        )
    directions = _weight(head)
    directions = directions[[id_ for id_ in ids if id_ < len(directions)]]
    projection = getattr(model.get_decoder(), "project_out", None)
    if projection is not None:
        directions = directions @ _weight(projection)
    _check_width(directions, text_config(model.config).hidden_size, place)
    return _fold(directions, _final_norm(model)) if fold_final_norm else directions


def _check_width(directions: torch.Tensor, d_model: int, place: str) -> None:
    if directions.shape[1] != d_model:
        raise ModelError(
            f"{place}: its unembedding vectors have {directions.shape[1]} entries and its "
            f"residual stream {d_model}; "
            "how the one is projected to the other is not known."
        )


def _weight(module: Any) -> torch.Tensor:
    """Return a copy of a module's weight in float32, in main memory, from wherever it is."""
    with align_module_device(module):
        return module.weight.detach().float().cpu()


def _final_norm(model: Any) -> Any:
    """Return the norm before the unembedding, or None where there is none (OPT-350M normalises
    after each layer).
    """
    path = architecture_of(model.config.model_type, "").final_norm
    parent, _, name = path.rpartition(".")
    return getattr(model.get_submodule(parent), name)


@torch.no_grad()
def _fold(directions: torch.Tensor, norm: Any) -> torch.Tensor:
    if norm is None:
        return directions
    if not isinstance(norm, torch.nn.LayerNorm):
        # A root-mean-square norm maps the vector of ones to its gain, however it stores it (Gemma:
        # as gain − 1).
        with align_module_device(norm):
            ones = torch.ones(
                directions.shape[1], dtype=norm.weight.dtype, device=norm.weight.device
            )
        return directions * norm(ones).float().cpu()
    scaled = directions if norm.weight is None else directions * _weight(norm)
    return scaled - scaled.mean(dim=1, keepdim=True)
