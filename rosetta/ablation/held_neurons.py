"""Neurons that are held at fixed values during forward passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from rosetta.models.sites import Expert, Projection, Site, by_module


class _Held(NamedTuple):
    """Which units of a site are held, and at what."""

    units: torch.Tensor
    values: torch.Tensor

    def to(self, like: torch.Tensor) -> _Held:
        return _Held(self.units.to(like.device), self.values.to(like))


class HeldNeurons:
    """Holds neurons of a loaded model at fixed values.

    A dense layer's neurons are set where its down projection reads them. Those of an expert are
    computed inside the module of all experts, so what they write is taken off its output and what
    the fixed value writes is added, times the routing weight. An expert writes nothing for tokens
    that are not routed to it, whatever its neurons are held at.

    Parameters
    ----------
    layers : sequence of list of Site
        Where the neurons are (`rosetta.models.sites.neuron_sites`).
    values : ndarray, shape (n_layers, d_mlp)
        What each is held at.
    """

    def __init__(self, layers: Sequence[list[Site]], values: np.ndarray) -> None:
        self._layers, self._values = layers, values

    @contextmanager
    def holding(self, mask: np.ndarray) -> Iterator[None]:
        """Hold the neurons of a mask, bool (n_layers, d_mlp), for the duration of the block."""
        handles = []
        try:
            for sites, held, values in zip(self._layers, mask, self._values, strict=True):
                handles += _hooked(sites, held, values)
            yield
        finally:
            for handle in handles:
                handle.remove()


def _hooked(sites: list[Site], mask: np.ndarray, values: np.ndarray) -> list[Any]:
    """Hook the modules of a layer; return what removes the hooks."""
    ends = np.cumsum([site.width for site in sites])[:-1]
    parts = zip(np.split(mask, ends), np.split(values, ends), strict=True)
    held = {
        site: _Held(torch.from_numpy(np.flatnonzero(own)), torch.from_numpy(at[own]))
        for site, (own, at) in zip(sites, parts, strict=True)
        if own.any()
    }
    handles = []
    for group in by_module([site for site in sites if site in held]):
        module = group[0].module
        if isinstance(group[0], Projection):
            handles.append(module.register_forward_pre_hook(_set(held[group[0]], group[0].width)))
        else:
            chosen = {site: held[site] for site in group}
            handles.append(module.register_forward_hook(_rewrite(chosen)))
    return handles


def _set(held: _Held, width: int) -> Callable[..., tuple[torch.Tensor, ...]]:
    chosen = torch.zeros(width, dtype=torch.bool)
    fixed = torch.zeros(width, dtype=held.values.dtype)
    chosen[held.units], fixed[held.units] = True, held.values

    def replace(_module: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        read = inputs[0]
        return torch.where(chosen.to(read.device), fixed.to(read), read), *inputs[1:]

    return replace


def _rewrite(held: dict[Any, _Held]) -> Callable[..., torch.Tensor]:
    def correct(
        _module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor
    ) -> torch.Tensor:
        hidden, experts, routing = inputs[:3]
        weights = next(iter(held)).weights()
        changed = output.clone()
        for site, fixed in held.items():
            routed = experts == site.number
            rows = routed.any(dim=-1)
            if rows.any():
                share = (routing * routed).sum(dim=-1, keepdim=True)[rows]
                changed[rows] += share.to(output) * _difference(
                    site, fixed, (hidden[rows], experts[rows]), weights
                ).to(output)
        return changed

    return correct


def _difference(
    site: Expert,
    fixed: _Held,
    inputs: tuple[torch.Tensor, torch.Tensor],
    weights: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """Return what an expert writes more with its neurons held, (n_routed, d_model)."""
    units, values = fixed.to(inputs[0])
    moved = values - site.read(inputs, weights)[:, units]
    return moved @ site.output_weights(weights).to(moved)[units]
