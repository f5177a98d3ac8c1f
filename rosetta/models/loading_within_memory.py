"""Models loaded where they fit: one device, several GPUs, or off-loaded weights."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, Literal

import torch

from rosetta.errors import ModelError
from rosetta.models.devices import CPU, best_device, claim_gpus
from rosetta.models.loading import NO_ROOM, Where, load_model
from rosetta.models.placement import Demand, Placement, Room, place
from rosetta.models.sources import ModelSource
from rosetta.progress import say


def load_placed(
    source: ModelSource,
    demand: Demand,
    room: Room,
    batch_size: int | Literal["auto"],
    load: Callable[[ModelSource, Where], Any] = load_model,
) -> tuple[Any, Placement]:
    """Load a model where it fits: one device, several GPUs, or off-loaded weights.

    Parameters
    ----------
    source : ModelSource
        The model.
    demand : Demand
        What it takes.
    room : Room
        What it may use.
    batch_size : int or 'auto'
        Documents per forward pass.
    load : callable
        What loads it onto a device, or as split.

    Returns
    -------
    model : PreTrainedModel
        In evaluation mode.
    placement : Placement
        Where it is, and the number of documents that it may read at once.

    Raises
    ------
    ModelError
        If it does not fit, or cannot be loaded.
    """
    placement = place(demand, room, batch_size, source.place)
    model = load(source, _claimed(placement))
    where = sorted(
        {str(part) for part in getattr(model, "hf_device_map", {"": best_device()}).values()}
    )
    if "disk" in where and room.offload != "disk":
        raise ModelError(f"{source.place}: {NO_ROOM}")
    say(
        f"{source.place}: on {', '.join(where)}; {placement.batch_size} document(s) per "
        "forward pass"
    )
    return model, placement


def _claimed(placement: Placement) -> Where:
    """Claim the GPUs of a placement; return what `load_model` is to be told."""
    if placement.max_memory is None:
        return best_device()
    # the hooks of a split model keep it alive: one that was let go of may still be there
    gc.collect()
    numbers = claim_gpus(placement.n_gpus)
    return {
        numbers[at] if isinstance(at, int) else at: limit
        for at, limit in placement.max_memory.items()
    }


def load_to_read(source: ModelSource, demand: Demand, room: Room) -> Any:
    """Load a model into main memory, the rest on disk if allowed, to read its weights.

    Raises
    ------
    ModelError
        If it does not fit, or cannot be loaded.
    """
    placement = place(demand.of_weights(), room._replace(gpus=()), 1, source.place)
    return load_model(source, placement.max_memory or CPU)


def input_device(model: Any) -> torch.device:
    """Return where a model, which may be split or off-loaded, wants its token ids or pixels."""
    embedding = next(
        module
        for module in model.get_input_embeddings().modules()
        if next(module.parameters(recurse=False), None) is not None
    )
    here = embedding.weight.device
    return torch.device(embedding._hf_hook.execution_device) if here.type == "meta" else here
