"""Training steps for zoo models and LoRA: deterministic, checkpointed, resumable."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch

from rosetta.errors import ModelError
from rosetta.models.zoo.arithmetic import fast_and_repeatable
from rosetta.progress import bar, say
from rosetta.storage.digests import digested, hash64, is_whole

if TYPE_CHECKING:
    from rosetta.models.zoo.optimizers import Together  # brings transformers, seconds for nothing

LAST_STEPS = 20  # the reported training loss is the mean over this many last steps
MAX_LOSS = 709.0  # nats: e to this is about the largest float64


LossOf = Callable[[Any, torch.Tensor], tuple[torch.Tensor, float]]


class Keeper(Protocol):
    """What keeps the weights of some steps (`rosetta.models.zoo.kept_steps`)."""

    @property
    def last(self) -> int:
        """The last step that is kept, where the training stops."""

    def keep(self, model: Any, step: int, losses: list[float], run: str) -> None:
        """Keep a model that has made a step, if it is one of those."""

    def missing(self, until: int, run: str) -> bool:
        """Tell whether a step up to `until` is not kept."""


def returned_loss(model: Any, batch: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Return the loss that a model returns for a batch, and it without what a mixture's router
    adds.
    """
    out = model(input_ids=batch, labels=batch, use_cache=False)
    told, router = float(out.loss.detach()), getattr(out, "aux_loss", None)
    if router is None:  # it is not asked for
        return out.loss, told
    return out.loss, told - model.config.router_aux_loss_coef * float(router.detach())


@dataclass(frozen=True)
class Steps:
    """What `run_steps` does at each step, and where it saves that.

    Attributes
    ----------
    batches : Tensor of int64, shape (n_steps, batch size, ...)
        What each step reads: token ids of sequences, or the numbers of images, which `loss_of`
        looks up.
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
    loss_of : callable
        From a model and a batch to the loss that is minimised, and the one that is told, without
        what is not the data's. It may draw random numbers, which the step's number seeds.
    unit : str
        What an entry of `batches` is, for the progress bar.
    loss_unit : str
        Of the loss, for messages.
    state : dict of str to Tensor
        What steps change in place besides the parameters; saved with these.
    keeper : Keeper, optional
        What keeps some of the steps. The training then ends with the last of these, and leaves a
        checkpoint to go on from.
    """

    batches: torch.Tensor
    rate: Callable[[int], float]
    checkpoints: Path
    checkpoint_every: int
    run: str
    rate_key: str
    sequences_at_a_time: int | None = None
    loss_of: LossOf = returned_loss
    unit: str = "tok"
    loss_unit: str = "nats per token"
    state: dict[str, torch.Tensor] = field(default_factory=dict)
    keeper: Keeper | None = None

    @property
    def n(self) -> int:
        """How many steps are made."""
        return self.keeper.last if self.keeper else len(self.batches)


def run_steps(
    model: Any, optimizer: torch.optim.Optimizer | Together, steps: Steps, dtype: torch.dtype
) -> list[float]:
    """Train a model's trainable parameters, from the same run's last checkpoint if any.

    The data of a step, and what dropout or a loss draws there, depend on its number only, so the
    weights are the same whether or not the training was interrupted. Products are made in `dtype`,
    weights and sums are kept as they are.

    Returns
    -------
    list of float
        Loss of every step, in `steps.loss_unit`.

    Raises
    ------
    ModelError
        If the loss of a step is not a number, or so large that the training has diverged; what is
        saved is from before.
    """
    n_read = steps.batches[0].numel()
    losses = _resume(steps, model, optimizer)
    with bar(total=steps.batches.numel(), label="train", unit=steps.unit) as shown:
        shown.update(len(losses) * n_read)
        for step in range(len(losses), steps.n):
            torch.manual_seed(hash64("step", steps.run, step))  # of dropout and losses
            parts = steps.batches[step].split(steps.sequences_at_a_time or len(steps.batches[step]))
            losses.append(_step(model, optimizer, parts, steps, steps.rate(step), dtype))
            _check_loss(losses[-1], step, steps)
            shown.set_postfix_str(
                f"step {step + 1}/{len(steps.batches)} loss {losses[-1]:.3f}", refresh=False
            )
            shown.update(n_read)
            if steps.keeper:
                steps.keeper.keep(model, step + 1, losses, steps.run)
            due = (step + 1) % steps.checkpoint_every == 0 or step + 1 == steps.n
            if due and step + 1 < len(steps.batches):
                _save_checkpoint(steps, model, optimizer, losses)
    return losses


class Prepared(NamedTuple):
    """A training before its first step, or its newest checkpoint.

    Attributes
    ----------
    model : PreTrainedModel
        On its device.
    optimizer : Optimizer or Together
        Of its parameters.
    steps : Steps
        What it does.
    """

    model: Any
    optimizer: torch.optim.Optimizer | Together
    steps: Steps


def run_prepared(prepared: Prepared, keeper: Keeper | None = None) -> list[float]:
    """Train in float32 as `run_steps` does, whole, or up to the last step that is kept."""
    model, optimizer, steps = prepared
    with fast_and_repeatable(model.device):
        return run_steps(model, optimizer, replace(steps, keeper=keeper), torch.float32)


def _check_loss(loss: float, step: int, steps: Steps) -> None:
    if not loss <= MAX_LOSS:  # which NaN is not
        raise ModelError(
            f"{steps.rate_key}: the training diverged: at step {step + 1} of "
            f"{len(steps.batches)} the loss is {loss:g} "
            f"{steps.loss_unit}, at a rate of {steps.rate(step):g}. Lower it."
        )


def mean_of_last(losses: list[float]) -> float:
    """Return the mean loss of the last steps."""
    return float(np.mean(losses[-LAST_STEPS:]))


def warmup_linear(peak: float, step: int, n_steps: int, warmup_steps: int) -> float:
    """Return the rate at a step: linear warm-up to `peak`, then linearly to zero."""
    warmup = min(warmup_steps, n_steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (n_steps - step) / (n_steps - warmup)


def warmup_cosine(peak: float, step: int, n_steps: int, warmup_steps: int, floor: float) -> float:
    """Return the rate at a step: linear warm-up to `peak`, then a cosine down to `floor` of it."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, n_steps - warmup_steps)
    return peak * ((1 + floor) / 2 + (1 - floor) / 2 * math.cos(math.pi * done))


def _step(
    model: Any,
    optimizer: torch.optim.Optimizer | Together,
    parts: Sequence[torch.Tensor],
    steps: Steps,
    rate: float,
    dtype: torch.dtype,
) -> float:
    """Make one step on a batch that is given in parts, whose gradients add up to its own; return
    its loss.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("rate_factor", 1.0)
    total, n_read = 0.0, sum(map(len, parts))
    for part in parts:
        batch = part.to(model.device)
        with torch.autocast(batch.device.type, dtype, enabled=dtype != torch.float32):
            loss, told = steps.loss_of(model, batch)
            share = len(batch) / n_read
        (loss * share).backward()
        total += share * told
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def _checkpoint(folder: Path) -> Path:
    return folder / "last.pt"


def _trained(model: Any) -> dict[str, torch.Tensor]:
    """Return the parameters that are trained: all of a zoo model, the updates alone of one with
    LoRA.
    """
    return {
        name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
    }


def _save_checkpoint(steps: Steps, model: Any, optimizer: Any, losses: list[float]) -> None:
    state = {
        "run": steps.run,
        "model": {name: parameter.detach() for name, parameter in _trained(model).items()},
        "optimizer": optimizer.state_dict(),
        "losses": losses,
        **({"state": steps.state} if steps.state else {}),
    }
    path = _checkpoint(steps.checkpoints)
    with digested(path, _n_bytes(state)) as temporary, open(temporary, "wb") as stream:
        torch.save(state, stream)
    say(f"checkpoint at step {len(losses)}")


def _n_bytes(state: Any) -> int:
    """Return the size of all tensors in nested dictionaries and lists."""
    if isinstance(state, torch.Tensor):
        return state.nbytes
    within = state.values() if isinstance(state, dict) else state if isinstance(state, list) else ()
    return sum(map(_n_bytes, within))


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
    if steps.keeper and steps.keeper.missing(len(state["losses"]), steps.run):
        say(f"{path} is beyond a step that is not kept; starting from step 0")
        return []
    for name, parameter in _trained(model).items():
        parameter.copy_(state["model"][name])
    for name, tensor in steps.state.items():
        tensor.copy_(state["state"][name])
    optimizer.load_state_dict(state["optimizer"])
    say(f"resuming at step {len(state['losses'])}")
    return list(state["losses"])
