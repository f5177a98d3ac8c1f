"""Where a loaded model computes its neurons: for every layer its sites, in the order of its units.

A dense layer has one site, the input of its down projection. In a mixture of experts every expert
is one: the library keeps all experts of a layer in one module, whose inputs tell which tokens go
where, and the neurons of an expert are computed from them again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from accelerate.utils import align_module_device
from torch.nn import functional

from rosetta.errors import ModelError
from rosetta.models.architectures.registry import architecture_of
from rosetta.models.neuron_counts import neuron_shape


@dataclass(frozen=True)
class Projection:
    """Neurons that are the input of a module.

    Attributes
    ----------
    module : Module
        A linear down projection; a forward pre-hook on it receives what `read` takes.
    """

    module: Any

    @property
    def width(self) -> int:
        """Number of neurons."""
        # A Conv1D (GPT-2) keeps its weight as in × out, a Linear as out × in.
        return (
            self.module.in_features
            if hasattr(self.module, "in_features")
            else self.module.weight.shape[0]
        )

    def read(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the activations from the module's inputs, shape (…, width)."""
        return inputs[0].detach()

    def output_weights(self) -> torch.Tensor:
        """Return what one unit of each neuron's activation adds to the module's output, shape
        (width, d_model).
        """
        with align_module_device(self.module):  # brought here, if it is off-loaded
            weight = self.module.weight.detach().clone()
        return weight.T if hasattr(self.module, "in_features") else weight


@dataclass(frozen=True)
class Expert:
    """Neurons of one expert: φ(W_gate h) ⊙ W_up h where the token is routed to it, 0 elsewhere.

    The routing weight multiplies what the expert writes, not its neurons.

    Attributes
    ----------
    module : Module
        Holds all experts of the layer (see `rosetta.models.architectures.record.Experts`).
    number : int
        Which of them.
    """

    module: Any
    number: int

    @property
    def width(self) -> int:
        """Number of neurons."""
        return self.module.down_proj.shape[2]

    def weights(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return W_gate and W_up, and W_down, of all experts of the layer, brought here if they are
        off-loaded.
        """
        with align_module_device(self.module):
            return self.module.gate_up_proj, self.module.down_proj

    @torch.no_grad()
    def read(
        self,
        inputs: Sequence[torch.Tensor],
        weights: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return the activations from the module's inputs: hidden states (n, d_model), experts (n,
        k); (n, width).
        """
        hidden, experts = inputs[:2]
        routed = (experts == self.number).any(dim=-1)
        gate_up, _ = weights or self.weights()
        gate, up = functional.linear(hidden[routed], gate_up[self.number].to(hidden.device)).chunk(
            2, dim=-1
        )
        values = hidden.new_zeros((len(hidden), self.width))
        values[routed] = self.module.act_fn(gate) * up
        return values

    def output_weights(
        self, weights: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Return what one unit of each neuron's activation adds at routing weight 1, shape (width,
        d_model).
        """
        _, down = weights or self.weights()
        return down[self.number].detach().clone().T


Site = Projection | Expert


def neuron_sites(model: Any, place: str) -> list[list[Site]]:
    """Return the sites of every layer of a loaded model.

    Raises
    ------
    ModelError
        If a module is not where the table says, or its sizes are not those of the configuration.
    """
    shape = neuron_shape(model.config, place)
    architecture = architecture_of(model.config.model_type, place)
    projection = architecture.projection_of(model.config)
    layers: list[list[Site]] = []
    for layer in range(shape.n_layers):
        sites: list[Site] = []
        if architecture.experts:
            name = architecture.experts.module.format(layer=layer)
            module = _module(model, name, place)
            sites += [Expert(module, number) for number in range(shape.n_experts)]
            _check(len(module.down_proj), shape.n_experts, f"{place}: {name} holds", "experts")
            _check(sites[0].width, shape.d_expert, f"{place}: each expert of {name} has", "neurons")
        if projection:
            name = projection.format(layer=layer)
            sites.append(Projection(_module(model, name, place)))
            _check(
                sites[-1].width, shape.d_mlp - shape.n_routed, f"{place}: {name} takes", "inputs"
            )
        layers.append(sites)
    return layers


def by_module(layer: list[Site]) -> list[list[Site]]:
    """Return the sites of a layer, those of one module together."""
    return [list(sites) for _, sites in groupby(layer, key=lambda site: site.module)]


def read_together(sites: list[Site], inputs: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Yield what sites of one module read; its experts' weights are brought here once."""
    held = _held(sites)
    for site in sites:
        yield site.read(inputs, **held)


def output_weights_together(sites: list[Site]) -> Iterator[torch.Tensor]:
    """Yield the output weights of sites of one module, as `read_together` their activations."""
    held = _held(sites)
    for site in sites:
        yield site.output_weights(**held)


def _held(sites: list[Site]) -> dict[str, Any]:
    return {"weights": sites[0].weights()} if isinstance(sites[0], Expert) else {}


def locate(sites: list[Site], unit: int) -> tuple[Site, int]:
    """Return the site of a layer's unit, and the unit's number in it."""
    for site in sites:
        if unit < site.width:
            return site, unit
        unit -= site.width
    raise IndexError(unit)


def _module(model: Any, name: str, place: str) -> Any:
    try:
        return model.get_submodule(name)
    except AttributeError:
        raise ModelError(
            f"{place}: has no module {name}; the architecture table does not fit it."
        ) from None


def _check(found: int, expected: int, what: str, of: str) -> None:
    if found != expected:
        raise ModelError(f"{what} {found} {of} but the configuration says {expected}.")
