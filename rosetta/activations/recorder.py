"""Recording neurons during forward passes, of whatever a model is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from rosetta.models.devices import CPU
from rosetta.models.sites import Site, by_module, read_together


class NeuronRecorder:
    """Records the neurons of every layer during forward passes, through plain torch hooks.

    Parameters
    ----------
    layers : sequence of list of Site
        Where they are (`rosetta.models.sites.neuron_sites`).
    where : torch.device
        Where the recorded values are kept. On the CPU, a GPU holds the neurons of one layer at a
        time; on a GPU, those of all layers.
    """

    def __init__(self, layers: Sequence[list[Site]], where: torch.device = CPU) -> None:
        self._layers, self._where = layers, where
        self._captured: dict[Site, torch.Tensor] = {}

    @contextmanager
    def recording(self) -> Iterator[NeuronRecorder]:
        """Keep the hooks in place for the duration of the block."""
        self._captured = {}
        groups = [sites for layer in self._layers for sites in by_module(layer)]
        handles = [sites[0].module.register_forward_pre_hook(self._hook(sites)) for sites in groups]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def take(self) -> list[torch.Tensor]:
        """Return and release what the last forward pass left: (positions, d_mlp) per layer."""
        taken, self._captured = self._captured, {}
        # Some models keep rows apart from the positions in them, others do not.
        layers = [[taken.pop(site).flatten(0, -2) for site in layer] for layer in self._layers]
        return [torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0] for parts in layers]

    def _hook(self, sites: list[Site]) -> Any:
        def keep(_module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            for site, values in zip(sites, read_together(sites, inputs), strict=True):
                self._captured[site] = values.to(self._where)

        return keep
