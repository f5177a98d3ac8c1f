"""Architectures of language models: one table, keyed by the configuration's `model_type`.

A neuron is one coordinate of the input of a layer's MLP down projection (method, section 1; Dravid
2026, section 3.1); in a mixture of experts, of one expert's. To support another architecture, add
an entry to `ARCHITECTURES`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rosetta.models.architectures.record import Architecture, Experts, part_of


def text_config(config: Any) -> Any:
    """Return the part of a configuration that describes the language model."""
    return part_of(config, "text_config")


def _intermediate_size(config: Any) -> int:
    return config.intermediate_size


def _inner_size(config: Any) -> int:
    return getattr(config, "n_inner", None) or 4 * config.n_embd


def _falcon_size(config: Any) -> int:
    return getattr(config, "ffn_hidden_size", None) or 4 * config.hidden_size


_GATED = Architecture(
    "model.layers.{layer}.mlp.down_proj",
    _intermediate_size,
    ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
)
_MIXTURE = Architecture(
    None, None, ("q_proj", "k_proj", "v_proj", "o_proj"), experts=Experts("moe_intermediate_size")
)
_FUSED = ("query_key_value", "dense_h_to_4h", "dense_4h_to_h")

ARCHITECTURES: dict[str, Architecture] = {
    "gpt_neox": Architecture(
        "gpt_neox.layers.{layer}.mlp.dense_4h_to_h",
        _intermediate_size,
        (*_FUSED, "attention.dense"),
        final_norm="gpt_neox.final_layer_norm",
    ),
    "gpt2": Architecture(
        "transformer.h.{layer}.mlp.c_proj",
        _inner_size,
        ("c_attn", "c_proj", "c_fc"),
        n_layers="n_layer",
        final_norm="transformer.ln_f",
        transposed=True,
    ),
    "gptj": Architecture(
        "transformer.h.{layer}.mlp.fc_out",
        _inner_size,
        ("q_proj", "k_proj", "v_proj", "out_proj", "fc_in", "fc_out"),
        n_layers="n_layer",
        final_norm="transformer.ln_f",
    ),
    "opt": Architecture(
        "model.decoder.layers.{layer}.fc2",
        lambda config: config.ffn_dim,
        ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
        final_norm="model.decoder.final_layer_norm",
    ),
    "bloom": Architecture(
        "transformer.h.{layer}.mlp.dense_4h_to_h",
        lambda config: 4 * config.hidden_size,
        (*_FUSED, "self_attention.dense"),
        n_layers="n_layer",
        final_norm="transformer.ln_f",
    ),
    "falcon": Architecture(
        "transformer.h.{layer}.mlp.dense_4h_to_h",
        _falcon_size,
        (*_FUSED, "self_attention.dense"),
        final_norm="transformer.ln_f",
    ),
    "phi": Architecture(
        "model.layers.{layer}.mlp.fc2",
        _intermediate_size,
        ("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"),
        final_norm="model.final_layernorm",
    ),
    "phi3": replace(_GATED, projections=("qkv_proj", "o_proj", "gate_up_proj", "down_proj")),
    "starcoder2": Architecture(
        "model.layers.{layer}.mlp.c_proj",
        _intermediate_size,
        ("q_proj", "k_proj", "v_proj", "o_proj", "c_fc", "c_proj"),
    ),
    "qwen2": _GATED,
    "qwen3": _GATED,
    "llama": _GATED,
    "mistral": _GATED,
    "gemma": _GATED,
    "gemma2": _GATED,
    "gemma3_text": _GATED,
    # Its text comes alone; the vision tower has no neurons here.
    "gemma3": replace(
        _GATED,
        down_projection="model.language_model.layers.{layer}.mlp.down_proj",
        final_norm="model.language_model.norm",
    ),
    "olmo2": _GATED,
    "olmo3": _GATED,
    "mixtral": replace(_MIXTURE, experts=Experts("intermediate_size")),
    "olmoe": replace(_MIXTURE, experts=Experts("intermediate_size")),
    "qwen2_moe": Architecture(
        "model.layers.{layer}.mlp.shared_expert.down_proj",
        lambda config: config.shared_expert_intermediate_size,
        _GATED.projections,
        experts=Experts("moe_intermediate_size"),
    ),
    "qwen3_moe": _MIXTURE,
}
