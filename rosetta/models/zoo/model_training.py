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
from rosetta.models.zoo.arithmetic import training_device
from rosetta.models.zoo.initialisation import silence_layers
from rosetta.models.zoo.optimizers import zoo_optimizer
from rosetta.models.zoo.recipes import zoo_model_config
from rosetta.models.zoo.token_loss import next_token_loss
from rosetta.models.zoo.token_stream import packed_tokens
from rosetta.models.zoo.training_loop import (
    LossOf,
    Prepared,
    Steps,
    mean_of_last,
    returned_loss,
    run_prepared,
    warmup_linear,
)
from rosetta.storage.atomic import replacing
from rosetta.storage.digests import digest_bytes, digest_json

# Of the two rates; a training that diverges has both too high.
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

    On a processor, one thread does the arithmetic, so the weights are the same at any number of
    cores. A mixture of experts is trained with its router's own loss, which keeps experts in use,
    too.

    Returns
    -------
    model : PreTrainedModel
        On the processor.
    facts : dict
        `train_loss` (nats per token, mean of the last steps) and `tokens`.

    Raises
    ------
    ConfigError
        If `training.device` is `cuda` and there is no GPU.
    """
    prepared = prepare_training(family, size, training, tokenizer, texts, checkpoints)
    losses = run_prepared(prepared)
    model, steps = prepared.model, prepared.steps
    if steps.loss_of is returned_loss:
        model.config.output_router_logits = False
    facts = {"train_loss": mean_of_last(losses), "tokens": float(steps.batches.numel())}
    return model.to("cpu").eval(), facts


def prepare_training(
    family: ZooFamily,
    size: ZooSize,
    training: ZooTraining,
    tokenizer: Any,
    texts: list[str],
    checkpoints: Path,
) -> Prepared:
    """Return a training before its first step, or its newest checkpoint; as `train_zoo_model`."""
    device = training_device(training)
    torch.set_num_threads(1)
    model, loss_of = _started(family, size, training)
    tokens = packed_tokens(tokenizer, texts, _n_tokens(training), family.seed)
    recipe = [
        model.config.to_dict(),
        _recipe(training),
        family.model_dump(exclude_none=True),
        device.type,
    ]
    steps = _steps(tokens, training, recipe, checkpoints, loss_of)
    model = model.to(device)
    return Prepared(model, zoo_optimizer(model, training), steps)


def _started(family: ZooFamily, size: ZooSize, training: ZooTraining) -> tuple[Any, LossOf]:
    """Return a model as its training starts, and the loss that it minimises."""
    torch.manual_seed(family.seed)
    config = zoo_model_config(family, size, training)
    model = AutoModelForCausalLM.from_config(config, trust_remote_code=False).train()
    silence_layers(model)
    if not hasattr(config, "output_router_logits"):
        return model, _text_loss
    model.config.output_router_logits = True  # which adds the router's loss
    return model, returned_loss


def _text_loss(model: Any, batch: torch.Tensor) -> tuple[torch.Tensor, float]:
    loss = next_token_loss(model, batch)
    return loss, float(loss.detach())


def _n_tokens(training: ZooTraining) -> int:
    return training.steps * training.batch_size * training.sequence_length


def _steps(
    tokens: np.ndarray,
    training: ZooTraining,
    recipe: list[Any],
    checkpoints: Path,
    loss_of: LossOf,
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
        loss_of=loss_of,
    )


def learning_rate(training: ZooTraining, step: int) -> float:
    """Return AdamW's rate at a step (`warmup_linear`); Muon's is a constant multiple of it."""
    return warmup_linear(training.learning_rate, step, training.steps, training.warmup_steps)


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
