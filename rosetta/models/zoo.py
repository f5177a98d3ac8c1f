"""The zoo: recipes of small models, each family with a tokenizer and a data order of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, PreTrainedTokenizerFast

from rosetta.config.zoo import ZooFamily, ZooSize, ZooTraining
from rosetta.errors import CorpusError
from rosetta.models.tokenizers import texts_to_ids, wrapped
from rosetta.storage.atomic import replacing

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 0
ROUTER_LOSS = 0.01  # weight of the loss that keeps experts in use


def train_tokenizer(family: ZooFamily, texts: list[str], sample_bytes: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on a family's own random sample of the training texts.

    It puts END_OF_TEXT before every text.

    Raises
    ------
    CorpusError
        If the training split is empty.
    """
    _check_training_texts(texts)
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=family.vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(_sample(texts, family.seed, sample_bytes), trainer)
    # As in training, where it sets documents apart: whoever reads a text with this tokenizer shows a model the same.
    backend.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A", special_tokens=[(END_OF_TEXT, END_OF_TEXT_ID)]
    )
    return wrapped(backend, END_OF_TEXT, END_OF_TEXT)


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save a tokenizer in Hugging Face format, whole or not at all."""
    with replacing(folder) as temporary:
        tokenizer.save_pretrained(temporary)


def save_model(model: Any, tokenizer: Path, folder: Path) -> None:
    """Save a model in Hugging Face format, with the files of its tokenizer's folder, whole or not at all."""
    with replacing(folder, sum(parameter.nbytes for parameter in model.parameters())) as temporary:
        model.save_pretrained(temporary)
        # As files: saving a loaded tokenizer notes how it was loaded, which differs between machines.
        shutil.copytree(tokenizer, temporary, dirs_exist_ok=True)


def zoo_model_config(family: ZooFamily, size: ZooSize, training: ZooTraining) -> Any:
    """Return the transformers configuration of a zoo model."""
    build = _CONFIGS[family.architecture]
    return AutoConfig.for_model(
        family.architecture,
        vocab_size=family.vocab_size,
        bos_token_id=END_OF_TEXT_ID,
        eos_token_id=END_OF_TEXT_ID,
        pad_token_id=None,  # a padding index would freeze the embedding of a token that is trained
        **build(size, training.sequence_length),
    )


def packed_tokens(
    tokenizer: Any,
    texts: list[str],
    n_tokens: int,
    seed: int,
    separator: int = END_OF_TEXT_ID,
    check: Callable[[list[int], str], None] | None = None,
) -> np.ndarray:
    """Return `n_tokens` training tokens: documents in a seeded order, END_OF_TEXT (or another separator) before each.

    The order is drawn anew for every pass over the documents. `check` is called with the ids and the text of each.

    Returns
    -------
    ndarray of int32, shape (n_tokens,)

    Raises
    ------
    CorpusError
        If the training split is empty.
    """
    _check_training_texts(texts)
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


def _check_training_texts(texts: list[str]) -> None:
    if not texts:
        raise CorpusError(
            "corpus.splits.train: no document landed in this split to train on. Raise it or give more text."
        )


def _sample(texts: list[str], seed: int, n_bytes: int) -> list[str]:
    chosen, used = [], 0
    for index in np.random.default_rng([seed, 1]).permutation(len(texts)):
        if used >= n_bytes:
            break
        chosen.append(texts[index])
        used += len(texts[index].encode("utf-8"))
    return chosen


def _common(size: ZooSize, context: int) -> dict[str, Any]:
    return {
        "hidden_size": size.d_model,
        "num_hidden_layers": size.n_layers,
        "num_attention_heads": size.n_heads,
        "intermediate_size": size.d_mlp,
        "max_position_embeddings": context,
    }


def _gpt2(size: ZooSize, context: int) -> dict[str, Any]:
    dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    dimensions = {
        "n_embd": size.d_model,
        "n_layer": size.n_layers,
        "n_head": size.n_heads,
        "n_inner": size.d_mlp,
    }
    return {**dimensions, "n_positions": context, **dropout}


def _opt(size: ZooSize, context: int) -> dict[str, Any]:
    common = _common(size, context)
    return {
        **common,
        "ffn_dim": common.pop("intermediate_size"),
        "word_embed_proj_dim": size.d_model,
        "dropout": 0.0,
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


_CONFIGS = {
    "gpt_neox": _common,
    "gpt2": _gpt2,
    "opt": _opt,
    "qwen2": _grouped,
    "llama": _grouped,
    "mistral": _grouped,
    "gemma": _grouped,
    "qwen2_moe": _mixture,
}
