"""From a family and a size to the transformers configuration of a zoo model."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig

from rosetta.config.zoo import ZooFamily, ZooSize, ZooTraining

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 0
ROUTER_LOSS = 0.01  # weight of the loss that keeps experts in use


def zoo_model_config(family: ZooFamily, size: ZooSize, training: ZooTraining) -> Any:
    """Return the transformers configuration of a zoo model."""
    build = RECIPES[family.architecture]
    return AutoConfig.for_model(
        family.architecture,
        vocab_size=family.vocab_size,
        bos_token_id=END_OF_TEXT_ID,
        eos_token_id=END_OF_TEXT_ID,
        pad_token_id=None,  # a padding index would freeze the embedding of a token that is trained
        # A short training learns faster with two tables: OPT by 0.1 bits per byte.
        tie_word_embeddings=False,
        **build(size, training.sequence_length),
    )


def _common(size: ZooSize, context: int) -> dict[str, Any]:
    return {
        "hidden_size": size.d_model,
        "num_hidden_layers": size.n_layers,
        "num_attention_heads": size.n_heads,
        "intermediate_size": size.d_mlp,
        "max_position_embeddings": context,
        "initializer_range": weight_spread(size),
    }


def weight_spread(size: ZooSize) -> float:
    """Return the standard deviation of weights at the start, for products as wide as what enters.

    The library's 0.02 is made for widths of thousands; at these it keeps layers silent for long.
    """
    return size.d_model**-0.5


def _gpt2(size: ZooSize, context: int) -> dict[str, Any]:
    dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    dimensions = {
        "n_embd": size.d_model,
        "n_layer": size.n_layers,
        "n_head": size.n_heads,
        "n_inner": size.d_mlp,
    }
    return {
        **dimensions,
        "n_positions": context,
        "initializer_range": weight_spread(size),
        **dropout,
    }


def _opt(size: ZooSize, context: int) -> dict[str, Any]:
    common = _common(size, context)
    return {
        "ffn_dim": common.pop("intermediate_size"),
        "init_std": common.pop("initializer_range"),
        "word_embed_proj_dim": size.d_model,
        "dropout": 0.0,
        **common,
    }


def _grouped(size: ZooSize, context: int) -> dict[str, Any]:
    return {
        **_common(size, context),
        "num_key_value_heads": size.n_heads,
        "head_dim": size.d_model // size.n_heads,
    }


def _mixture(size: ZooSize, context: int) -> dict[str, Any]:
    experts = size.experts
    assert experts is not None, "the configuration is checked for it"
    return {
        **_grouped(size, context),
        "num_experts": experts.n_experts,
        "num_experts_per_tok": experts.per_token,
        "moe_intermediate_size": (size.d_mlp - experts.d_shared) // experts.n_experts,
        "shared_expert_intermediate_size": experts.d_shared,
        "router_aux_loss_coef": ROUTER_LOSS,
    }


# By `model_type`; each of them stands in a table of `rosetta.models.architectures`, too.
RECIPES = {
    "gpt_neox": _common,
    "gpt2": _gpt2,
    "opt": _opt,
    "qwen2": _grouped,
    "llama": _grouped,
    "mistral": _grouped,
    "gemma": _grouped,
    "qwen2_moe": _mixture,
}
