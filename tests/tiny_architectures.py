"""A tiny random model of each architecture and variant."""

import torch
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM

from rosetta.models.architectures.text import ARCHITECTURES

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
    "vocab_size": 300,
}
EXPERTS = {**SIZES, "intermediate_size": 12, "num_experts_per_tok": 2}
OPT = {
    "hidden_size": 32,
    "ffn_dim": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 300,
    "max_position_embeddings": 64,
}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "vocab_size": 300}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}


# Where `SIZES` are not an architecture's own names; variants go by a name of their own.
CONFIGS = {
    "gpt2": GPT,
    "gpt2-inner": {**GPT, "n_inner": 40},
    "gptj": {**GPT, "rotary_dim": 8},
    "opt": {**OPT, "word_embed_proj_dim": 32},
    # As OPT-350M: embeddings are projected, and norms follow the layers.
    "opt-350m": {**OPT, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2, "vocab_size": 300},
    "falcon": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "vocab_size": 300,
    },
    # As Falcon-RW: biases, and attention that falls with distance.
    "falcon-alibi": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "vocab_size": 300,
        "alibi": True,
        "bias": True,
        "multi_query": False,
        "parallel_attn": False,
    },
    "gemma3": {"text_config": SIZES, "vision_config": VISION},
    "phi3": {**SIZES, "pad_token_id": 0},
    "mixtral": {**EXPERTS, "num_local_experts": 5},
    "olmoe": {**EXPERTS, "num_experts": 5},
    "qwen2_moe": {
        **EXPERTS,
        "num_experts": 5,
        "moe_intermediate_size": 8,
        "shared_expert_intermediate_size": 20,
    },
    "qwen3_moe": {**EXPERTS, "num_experts": 5, "moe_intermediate_size": 8},
}
VARIANTS = sorted({*ARCHITECTURES, *CONFIGS})


def tiny_model(variant, seed=0):
    model_type = variant.split("-")[0]
    sizes = CONFIGS.get(variant, SIZES)
    config = AutoConfig.for_model(model_type, **sizes)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for (
            parameter
        ) in model.parameters():  # biases and gains start at 0 and 1, where much would go unseen
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def mixture_neurons(mlp, x):
    """The neurons token by token, those of the experts with the highest router logits."""
    rows = []
    for hidden in x:
        chosen = (mlp.gate.weight @ hidden).argsort(descending=True)[: mlp.gate.top_k].tolist()
        row = []
        for number, weight in enumerate(mlp.experts.gate_up_proj):
            gate, up = (weight @ hidden).chunk(2)
            row.append(functional.silu(gate) * up * (number in chosen))
        if hasattr(mlp, "shared_expert"):
            shared = mlp.shared_expert
            row.append(functional.silu(shared.gate_proj(hidden)) * shared.up_proj(hidden))
        rows.append(torch.cat(row))
    return torch.stack(rows)
