"""Where a generator's neurons are, and how they are recorded while it makes images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from rosetta.errors import ModelError
from rosetta.models.devices import CPU


@dataclass(frozen=True)
class CellSite:
    """The neurons of one layer.

    Attributes
    ----------
    module : Module
        Its first input holds the neurons.
    cells : callable
        From that input to the neurons at every cell of every image, (n, H·W, d_mlp), cells row by
        row.
    """

    module: Any
    cells: Callable[[torch.Tensor], torch.Tensor]


@contextmanager
def recording(
    sites: Sequence[CellSite], call: int, where: torch.device = CPU
) -> Iterator[dict[int, torch.Tensor]]:
    """Yield what becomes the neurons of every layer, while the block makes images.

    Parameters
    ----------
    sites : sequence of CellSite
        By layer.
    call : int
        Which call of the layers is kept, from 0: a generation of several steps calls them at each.
    where : torch.device
        Where it is kept.

    Yields
    ------
    dict of {int: Tensor}
        By layer: (n · H · W, d_mlp).
    """
    kept: dict[int, torch.Tensor] = {}
    n_calls: Counter[int] = Counter()

    def hook(layer: int) -> Any:
        def keep(_module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            if n_calls[layer] == call:
                kept[layer] = sites[layer].cells(inputs[0].detach()).flatten(0, 1).to(where)
            n_calls[layer] += 1

        return keep

    handles = [
        site.module.register_forward_pre_hook(hook(layer)) for layer, site in enumerate(sites)
    ]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def stacked(kept: dict[int, torch.Tensor], size: tuple[int, int, int], place: str) -> torch.Tensor:
    """Return the neurons of all layers, once all were recorded and are of the expected size.

    Parameters
    ----------
    kept : dict of {int: Tensor}
        As `recording` yields them.
    size : tuple of int
        n_layers, n · H · W and d_mlp.
    place : str
        What messages name as the culprit.

    Raises
    ------
    ModelError
        If a layer was not called as often as the step that is captured says, or is of another size.
    """
    n_layers, *wanted = size
    for layer in range(n_layers):
        if layer not in kept or list(kept[layer].shape) != wanted:
            found = list(kept[layer].shape) if layer in kept else "nothing"
            raise ModelError(
                f"{place}: layer {layer} left {found} in the step that is captured, where {wanted} "
                "(cells, neurons) was expected; the architecture table does not fit it."
            )
    return torch.stack([kept[layer] for layer in range(n_layers)])
