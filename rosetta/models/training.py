"""Training zoo models: deterministic, checkpointed, resumable."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from rosetta.config import ZooFamily, ZooSize, ZooTraining
from rosetta.files import digest_bytes, digest_json, replacing
from rosetta.models.zoo import packed_tokens, zoo_model_config
from rosetta.progress import bar, say

LAST_STEPS = 20  # the reported training loss is the mean over this many last steps
HELDOUT_TOKENS = 65_536


def train_zoo_model(
    family: ZooFamily,
    size: ZooSize,
    training: ZooTraining,
    tokenizer: Any,
    texts: list[str],
    checkpoints: Path,
) -> tuple[Any, dict[str, float]]:
    """Train one zoo model, from its newest checkpoint if there is one.

    One thread does the arithmetic, and the data of a step depend on its number only, so the weights are the
    same whether or not the training was interrupted, and at any number of cores.

    Returns
    -------
    model : PreTrainedModel
    facts : dict
        `train_loss` (nats per token, mean of the last steps) and `tokens`.
    """
    torch.set_num_threads(1)
    torch.manual_seed(family.seed)
    config = zoo_model_config(family, size, training)
    model = AutoModelForCausalLM.from_config(config).train()
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=training.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=training.weight_decay,
        fused=True,
    )
    tokens_per_step = training.batch_size * training.sequence_length
    tokens = packed_tokens(tokenizer, texts, training.steps * tokens_per_step, family.seed)
    batches = torch.from_numpy(tokens).long().view(training.steps, training.batch_size, training.sequence_length)
    run = digest_json([config.to_dict(), _recipe(training), family.model_dump(), digest_bytes(tokens.tobytes())])
    losses = _resume(checkpoints, run, model, optimizer)
    with bar(total=training.steps * tokens_per_step, label="train", unit="tok") as shown:
        shown.update(len(losses) * tokens_per_step)
        for step in range(len(losses), training.steps):
            losses.append(_step(model, optimizer, batches[step], learning_rate(training, step)))
            shown.set_postfix_str(f"step {step + 1}/{training.steps} loss {losses[-1]:.3f}", refresh=False)
            shown.update(tokens_per_step)
            if (step + 1) % training.checkpoint_every == 0 and step + 1 < training.steps:
                _save_checkpoint(checkpoints, run, model, optimizer, losses)
    facts = {"train_loss": float(np.mean(losses[-LAST_STEPS:])), "tokens": float(len(tokens))}
    return model.eval(), facts


def learning_rate(training: ZooTraining, step: int) -> float:
    """Return the rate at a step: linear warm-up to the peak, then a cosine down to a tenth of it."""
    if step < training.warmup_steps:
        return training.learning_rate * (step + 1) / training.warmup_steps
    done = (step - training.warmup_steps) / max(1, training.steps - training.warmup_steps)
    return training.learning_rate * (0.55 + 0.45 * math.cos(math.pi * done))


@torch.no_grad()
def bits_per_byte(model: Any, tokenizer: Any, texts: list[str], sequence_length: int) -> float:
    """Return the cross-entropy of held-out documents in bits per UTF-8 byte, comparable across tokenizers.

    Each document is scored on its first `sequence_length` tokens after an END_OF_TEXT, and the bytes are
    those of the tokens scored. NaN without documents.
    """
    nats, n_bytes, n_tokens = 0.0, 0, 0
    for text in texts:
        encoded = tokenizer(text, add_special_tokens=False)["input_ids"][: sequence_length - 1]
        ids = torch.tensor([[tokenizer.bos_token_id, *encoded]])
        if len(encoded):
            nats += float(model(input_ids=ids, labels=ids).loss) * len(encoded)
            n_bytes += len(tokenizer.decode(encoded).encode("utf-8"))
        n_tokens += len(encoded)
        if n_tokens >= HELDOUT_TOKENS:
            break
    return nats / math.log(2) / n_bytes if n_bytes else float("nan")


def _step(model: Any, optimizer: torch.optim.Optimizer, batch: torch.Tensor, rate: float) -> float:
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = model(input_ids=batch, labels=batch, use_cache=False).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def _recipe(training: ZooTraining) -> dict[str, Any]:
    """Return what of the training settings shapes the weights."""
    return training.model_dump(exclude={"checkpoint_every", "tokenizer_bytes"})


def _checkpoint(folder: Path) -> Path:
    return folder / "last.pt"


def _save_checkpoint(folder: Path, run: str, model: Any, optimizer: Any, losses: list[float]) -> None:
    with replacing(_checkpoint(folder)) as temporary:
        state = {
            "run": run,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "losses": losses,
        }
        torch.save(state, temporary)
    say(f"checkpoint at step {len(losses)}")


def _resume(folder: Path, run: str, model: Any, optimizer: Any) -> list[float]:
    path = _checkpoint(folder)
    if not path.exists():
        return []
    state = torch.load(path, weights_only=True)
    if state["run"] != run:
        say(f"{path} is of another recipe; starting from step 0")
        return []
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    say(f"resuming at step {len(state['losses'])}")
    return list(state["losses"])
