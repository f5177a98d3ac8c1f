"""Continued pre-training with LoRA on what a filter selected (Dravid 2026, App. F)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rosetta.config.filtering import FilterPretraining
from rosetta.errors import ModelError, PlanError
from rosetta.inputs.text.documents import document_name
from rosetta.models.architectures.registry import architecture_of
from rosetta.models.tokenizers import check_embedded
from rosetta.models.zoo.token_stream import packed_tokens
from rosetta.models.zoo.training_loop import Steps, mean_of_last, run_steps, warmup_cosine
from rosetta.storage.digests import digest_bytes, digest_json, hash64

RATE_KEY = "filtering.pretraining.learning_rate"


def separator_of(tokenizer: Any, place: str) -> int:
    """Return the token before each document: beginning, or else end, of a sequence.

    Raises
    ------
    ModelError
        If the tokenizer has neither.
    """
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise ModelError(
        f"{place}: its tokenizer has neither a BOS nor an EOS token to set documents apart. "
        "Define one."
    )


def count_steps(tokens: int, settings: FilterPretraining) -> int:
    """Return the steps of one epoch over so many tokens; what does not fill a step is left out.

    Raises
    ------
    PlanError
        If the tokens do not fill a step.
    """
    n_steps = tokens // (settings.batch_size * settings.sequence_length)
    if not n_steps:
        raise PlanError(
            f"filtering.pretraining: the smallest selection has {tokens:,} tokens, less than "
            "one step of "
            f"{settings.batch_size} × {settings.sequence_length}. Lower batch_size or "
            "sequence_length, or select more."
        )
    return n_steps


def compute_dtype(setting: str, device: torch.device) -> torch.dtype:
    """Return the dtype of the products of a training."""
    if setting == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    return getattr(torch, setting)


def with_lora(model: Any, settings: FilterPretraining, seed: int, place: str) -> Any:
    """Return the model with LoRA on attention and MLP projections; only LoRA is trained.

    Every expert of a mixture has updates of its own; routers have none.
    """
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    architecture = architecture_of(model.config.model_type, place)
    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        target_modules=list(architecture.projections),
        target_parameters=list(architecture.experts.parameters) if architecture.experts else None,
        fan_in_fan_out=architecture.transposed,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


@dataclass(frozen=True)
class Training:
    """How a model is trained further, and where its checkpoint lies.

    Attributes
    ----------
    settings : FilterPretraining
        The recipe.
    n_steps : int
        Steps, the same for all selections that are compared.
    seed : int
        Of the order of the documents and of LoRA's initialisation.
    checkpoints : Path
        Folder of the checkpoint.
    weights : str
        Digest of the base model's weights.
    """

    settings: FilterPretraining
    n_steps: int
    seed: int
    checkpoints: Path
    weights: str

    @property
    def n_tokens(self) -> int:
        """Tokens of all steps."""
        return self.n_steps * self.settings.batch_size * self.settings.sequence_length


def continue_training(
    model: Any, tokenizer: Any, texts: list[str], training: Training
) -> tuple[Any, dict[str, float]]:
    """Train a model's LoRA updates for one epoch at most, from the last checkpoint if there is one.

    Documents come in an order of the seed's, the separator before each. AdamW, linear warm-up,
    cosine to 0.

    Parameters
    ----------
    model, tokenizer
        The base model and its tokenizer.
    texts : list of str
        What was selected; more tokens than the training takes.
    training : Training
        The recipe, its steps and its checkpoint.

    Returns
    -------
    model : PeftModel
        In evaluation mode.
    facts : dict
        steps, tokens, train_loss (nats per token, mean of the last steps).
    """
    settings, seed, n_tokens = training.settings, training.seed, training.n_tokens
    place = f"models.{settings.model}"
    check = _embedding_check(tokenizer, model.config, place)
    tokens = packed_tokens(tokenizer, texts, n_tokens, seed, separator_of(tokenizer, place), check)
    tuned = with_lora(model, settings, seed, place).train()
    trained = [parameter for parameter in tuned.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate)
    dtype = compute_dtype(settings.dtype, tuned.device)
    losses = run_steps(tuned, optimizer, _steps(tokens, training), dtype)
    facts = {"steps": training.n_steps, "tokens": n_tokens, "train_loss": mean_of_last(losses)}
    return tuned.eval(), facts


def _embedding_check(tokenizer: Any, config: Any, place: str) -> Callable[[list[int], str], None]:
    """Return a check that the model has an embedding of each of a document's tokens."""

    def check(ids: list[int], text: str) -> None:
        check_embedded(ids, document_name(hash64(text)), tokenizer, config, place)

    return check


def _steps(tokens: np.ndarray, training: Training) -> Steps:
    """Return what `run_steps` does with the tokens."""
    settings, n_steps = training.settings, training.n_steps
    warmup = max(1, round(settings.warmup * n_steps)) if settings.warmup else 0
    recipe = settings.model_dump(exclude={"checkpoint_every", "filters"})
    data = digest_bytes(tokens.tobytes())
    identity = [training.weights, recipe, training.seed, n_steps, data]
    return Steps(
        batches=torch.from_numpy(tokens)
        .long()
        .view(n_steps, settings.batch_size, settings.sequence_length),
        rate=lambda step: warmup_cosine(settings.learning_rate, step, n_steps, warmup, floor=0.0),
        checkpoints=training.checkpoints,
        checkpoint_every=settings.checkpoint_every,
        run=digest_json(identity),
        rate_key=RATE_KEY,
        sequences_at_a_time=settings.sequences_at_a_time,
    )
