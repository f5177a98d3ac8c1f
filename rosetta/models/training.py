"""Training zoo models: deterministic, checkpointed, resumable."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from rosetta.config.zoo import ZooFamily, ZooSize, ZooTraining
from rosetta.errors import ModelError
from rosetta.inputs.text.documents import hash64
from rosetta.models.tokenizers import texts_to_ids
from rosetta.models.zoo import END_OF_TEXT_ID, packed_tokens, zoo_model_config
from rosetta.progress import bar, say
from rosetta.storage.digests import digest_bytes, digest_json, digested, is_whole

LAST_STEPS = 20  # the reported training loss is the mean over this many last steps
HELDOUT_TOKENS = 65_536
RATE_KEY = "zoo.training.learning_rate"
MAX_LOSS = 709.0  # nats: e to this is about the largest float64


@dataclass(frozen=True)
class Steps:
    """What `run_steps` does at each step, and where it saves that.

    Attributes
    ----------
    batches : Tensor of int64, shape (n_steps, batch size, sequence length)
        Token ids.
    rate : callable
        From the number of a step to its learning rate.
    checkpoints : Path
        Folder of the checkpoint.
    checkpoint_every : int
        Steps between checkpoints.
    run : str
        Digest of all that shapes the weights; a checkpoint of another run is not resumed from.
    rate_key : str
        Key of the configuration that gives the learning rate, for messages.
    sequences_at_a_time : int or None
        Of a forward pass; None for a whole step.
    """

    batches: torch.Tensor
    rate: Callable[[int], float]
    checkpoints: Path
    checkpoint_every: int
    run: str
    rate_key: str
    sequences_at_a_time: int | None = None


def run_steps(model: Any, optimizer: torch.optim.Optimizer, steps: Steps, dtype: torch.dtype) -> list[float]:
    """Train a model's trainable parameters, from the last checkpoint of the same run if there is one.

    The data of a step, and what dropout draws there, depend on its number only, so the weights are the same whether
    or not the training was interrupted. Products are made in `dtype`, weights and sums are kept as they are.

    Returns
    -------
    list of float
        Loss of every step, nats per token.

    Raises
    ------
    ModelError
        If the loss of a step is not a number, or so large that the training has diverged; what is saved is from before.
    """
    n_tokens = steps.batches[0].numel()
    losses = _resume(steps, model, optimizer)
    with bar(total=steps.batches.numel(), label="train", unit="tok") as shown:
        shown.update(len(losses) * n_tokens)
        for step in range(len(losses), len(steps.batches)):
            torch.manual_seed(hash64("step", steps.run, step))  # of dropout
            parts = steps.batches[step].split(steps.sequences_at_a_time or len(steps.batches[step]))
            losses.append(_step(model, optimizer, parts, steps.rate(step), dtype))
            _check_loss(losses[-1], step, steps)
            shown.set_postfix_str(f"step {step + 1}/{len(steps.batches)} loss {losses[-1]:.3f}", refresh=False)
            shown.update(n_tokens)
            if (step + 1) % steps.checkpoint_every == 0 and step + 1 < len(steps.batches):
                _save_checkpoint(steps, model, optimizer, losses)
    return losses


def _check_loss(loss: float, step: int, steps: Steps) -> None:
    if not loss <= MAX_LOSS:  # which NaN is not
        raise ModelError(
            f"{steps.rate_key}: the training diverged: at step {step + 1} of {len(steps.batches)} the loss is {loss:g} "
            f"nats per token, at a rate of {steps.rate(step):g}. Lower it."
        )


def train_zoo_model(
    family: ZooFamily,
    size: ZooSize,
    training: ZooTraining,
    tokenizer: Any,
    texts: list[str],
    checkpoints: Path,
) -> tuple[Any, dict[str, float]]:
    """Train one zoo model, from its newest checkpoint if there is one.

    One thread does the arithmetic, so the weights are the same at any number of cores. A mixture of experts is trained
    with its router's own loss, which keeps experts in use, besides.

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
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=training.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=training.weight_decay,
        fused=True,
    )
    tokens = packed_tokens(
        tokenizer, texts, training.steps * training.batch_size * training.sequence_length, family.seed
    )
    batches = torch.from_numpy(tokens).long().view(training.steps, training.batch_size, training.sequence_length)
    run = digest_json([config.to_dict(), _recipe(training), family.model_dump(), digest_bytes(tokens.tobytes())])
    steps = Steps(batches, partial(learning_rate, training), checkpoints, training.checkpoint_every, run, RATE_KEY)
    losses = run_steps(model, optimizer, steps, torch.float32)
    if mixture:
        model.config.output_router_logits = False
    facts = {"train_loss": mean_of_last(losses), "tokens": float(len(tokens))}
    return model.eval(), facts


def mean_of_last(losses: list[float]) -> float:
    """Return the mean loss of the last steps."""
    return float(np.mean(losses[-LAST_STEPS:]))


def learning_rate(training: ZooTraining, step: int) -> float:
    """Return a zoo model's rate at a step: linear warm-up to the peak, then a cosine down to a tenth of it."""
    return warmup_cosine(training.learning_rate, step, training.steps, training.warmup_steps, floor=0.1)


def warmup_cosine(peak: float, step: int, n_steps: int, warmup_steps: int, floor: float) -> float:
    """Return the rate at a step: linear warm-up to `peak`, then a cosine down to `floor` of it."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, n_steps - warmup_steps)
    return peak * ((1 + floor) / 2 + (1 - floor) / 2 * math.cos(math.pi * done))


class Reading(NamedTuple):
    """Token ids of a document as a model is shown them, and the bytes of all but the first, which nothing predicts."""

    ids: Sequence[int]
    n_bytes: int


def training_readings(tokenizer: Any, texts: list[str], sequence_length: int) -> Iterator[Reading]:
    """Yield documents as the training of a zoo model shows them: their first tokens, after an END_OF_TEXT."""
    spelled = tokenizer.backend_tokenizer.id_to_token
    for text in texts:
        (ids,) = texts_to_ids(tokenizer, [text])
        ids = ids[: sequence_length - 1]
        # A zoo tokenizer spells every byte by one character.
        yield Reading([END_OF_TEXT_ID, *ids], sum(len(spelled(id_)) for id_ in ids))


@torch.no_grad()
def bits_per_byte(model: Any, readings: Iterable[Reading]) -> float:
    """Return the cross-entropy of documents in bits per UTF-8 byte, comparable across tokenizers.

    Documents are read until `HELDOUT_TOKENS` tokens are predicted. NaN without documents.
    """
    nats, n_bytes, n_tokens = 0.0, 0, 0
    for reading in readings:
        if len(reading.ids) > 1:
            ids = torch.tensor([list(reading.ids)])
            nats += float(model(input_ids=ids, labels=ids).loss) * (len(reading.ids) - 1)
            n_bytes += reading.n_bytes
            n_tokens += len(reading.ids) - 1
        if n_tokens >= HELDOUT_TOKENS:
            break
    return nats / math.log(2) / n_bytes if n_bytes else float("nan")


def _step(
    model: Any, optimizer: torch.optim.Optimizer, parts: Sequence[torch.Tensor], rate: float, dtype: torch.dtype
) -> float:
    """Make one step on a batch that is given in parts, whose gradients add up to its own; return its loss."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    total, n_sequences = 0.0, sum(map(len, parts))
    for part in parts:
        batch = part.to(model.device)
        with torch.autocast(batch.device.type, dtype, enabled=dtype != torch.float32):
            out = model(input_ids=batch, labels=batch, use_cache=False)
            share = len(batch) / n_sequences
            loss = out.loss * share
        loss.backward()
        total += float(loss.detach()) - share * _router_loss(model, out)
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def _router_loss(model: Any, out: Any) -> float:
    """Return what a mixture's router adds to the loss; nothing if it is not asked for."""
    loss = getattr(out, "aux_loss", None)
    return 0.0 if loss is None else model.config.router_aux_loss_coef * float(loss.detach())


def _recipe(training: ZooTraining) -> dict[str, Any]:
    """Return what of the training settings shapes the weights."""
    return training.model_dump(exclude={"checkpoint_every", "tokenizer_bytes"})


def _checkpoint(folder: Path) -> Path:
    return folder / "last.pt"


def _trained(model: Any) -> dict[str, torch.Tensor]:
    """Return the parameters that are trained: all of a zoo model, the updates alone of one with LoRA."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _save_checkpoint(steps: Steps, model: Any, optimizer: Any, losses: list[float]) -> None:
    state = {
        "run": steps.run,
        "model": {name: parameter.detach() for name, parameter in _trained(model).items()},
        "optimizer": optimizer.state_dict(),
        "losses": losses,
    }
    moments = (value for held in state["optimizer"]["state"].values() for value in held.values())
    tensors = [value for value in (*state["model"].values(), *moments) if isinstance(value, torch.Tensor)]
    path = _checkpoint(steps.checkpoints)
    with digested(path, sum(tensor.nbytes for tensor in tensors)) as temporary, open(temporary, "wb") as stream:
        torch.save(state, stream)
    say(f"checkpoint at step {len(losses)}")


@torch.no_grad()
def _resume(steps: Steps, model: Any, optimizer: Any) -> list[float]:
    path = _checkpoint(steps.checkpoints)
    if not path.exists():
        return []
    if not is_whole(path):
        say(f"{path}: damaged; starting from step 0")
        return []
    state = torch.load(path, weights_only=True, map_location=model.device)
    if state["run"] != steps.run:
        say(f"{path} is of another recipe; starting from step 0")
        return []
    for name, parameter in _trained(model).items():
        parameter.copy_(state["model"][name])
    optimizer.load_state_dict(state["optimizer"])
    say(f"resuming at step {len(state['losses'])}")
    return list(state["losses"])
