"""Training a zoo model, and saving it with its tokenizer."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from rosetta.config.zoo import ZooFamily, ZooSize, ZooTraining
from rosetta.models.zoo.recipes import zoo_model_config
from rosetta.models.zoo.token_stream import packed_tokens
from rosetta.models.zoo.training_loop import Steps, mean_of_last, run_steps, warmup_cosine
from rosetta.storage.atomic import replacing
from rosetta.storage.digests import digest_bytes, digest_json

RATE_KEY = "zoo.training.learning_rate"


def train_zoo_model(
    family: ZooFamily,
    size: ZooSize,
    training: ZooTraining,
    tokenizer: Any,
    texts: list[str],
    checkpoints: Path,
) -> tuple[Any, dict[str, float]]:
    """Train one zoo model, from its newest checkpoint if there is one.

    One thread does the arithmetic, so the weights are the same at any number of cores. A mixture of
    experts is trained with its router's own loss, which keeps experts in use, too.

    Returns
    -------
    model : PreTrainedModel
    facts : dict
        `train_loss` (nats per token, mean of the last steps) and `tokens`.
    """
    torch.set_num_threads(1)
    torch.manual_seed(family.seed)
    config = zoo_model_config(family, size, training)
    model = AutoModelForCausalLM.from_config(config, trust_remote_code=False).train()
    mixture = hasattr(config, "output_router_logits")
    if mixture:
        model.config.output_router_logits = True  # which adds the router's loss
    n_tokens = training.steps * training.batch_size * training.sequence_length
    tokens = packed_tokens(tokenizer, texts, n_tokens, family.seed)
    recipe = [config.to_dict(), _recipe(training), family.model_dump()]
    steps = _steps(tokens, training, recipe, checkpoints)
    losses = run_steps(model, _optimizer(model, training), steps, torch.float32)
    if mixture:
        model.config.output_router_logits = False
    facts = {"train_loss": mean_of_last(losses), "tokens": float(len(tokens))}
    return model.eval(), facts


def _optimizer(model: Any, training: ZooTraining) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        model.parameters(),
        lr=training.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=training.weight_decay,
        fused=True,
    )


def _steps(
    tokens: np.ndarray, training: ZooTraining, recipe: list[Any], checkpoints: Path
) -> Steps:
    """Return what `run_steps` does with the tokens; `recipe` is all else that shapes the
    weights.
    """
    return Steps(
        batches=torch.from_numpy(tokens)
        .long()
        .view(training.steps, training.batch_size, training.sequence_length),
        rate=partial(learning_rate, training),
        checkpoints=checkpoints,
        checkpoint_every=training.checkpoint_every,
        run=digest_json([*recipe, digest_bytes(tokens.tobytes())]),
        rate_key=RATE_KEY,
    )


def learning_rate(training: ZooTraining, step: int) -> float:
    """Return a zoo model's rate at a step: linear warm-up, then a cosine to a tenth."""
    return warmup_cosine(
        training.learning_rate, step, training.steps, training.warmup_steps, floor=0.1
    )


def _recipe(training: ZooTraining) -> dict[str, Any]:
    """Return what of the training settings shapes the weights."""
    return training.model_dump(exclude={"checkpoint_every", "tokenizer_bytes"})


def save_model(model: Any, tokenizer: Path, folder: Path) -> None:
    """Save a model in Hugging Face format with its tokenizer's files, atomically."""
    with replacing(folder, sum(parameter.nbytes for parameter in model.parameters())) as temporary:
        model.save_pretrained(temporary)
        # As files: saving a loaded tokenizer notes how it was loaded, which differs between
        # machines.
        shutil.copytree(tokenizer, temporary, dirs_exist_ok=True)
