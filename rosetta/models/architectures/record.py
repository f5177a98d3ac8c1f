"""What is known of one architecture, of whatever modality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Experts:
    """Where a mixture of experts keeps those that tokens are routed to.

    Attributes
    ----------
    d_expert : str
        Key of the number of neurons of an expert in the configuration.
    module : str
        Path of the module that holds all experts of a layer: parameters `gate_up_proj` of shape
        (n_experts, 2 · d_expert, d_model) and `down_proj` of shape (n_experts, d_model, d_expert),
        an activation `act_fn`, called with the tokens' hidden states and the numbers of their
        experts.
    """

    d_expert: str
    module: str = "model.layers.{layer}.mlp.experts"

    @property
    def parameters(self) -> tuple[str, ...]:
        """Ends of the paths of the experts' weights, which LoRA updates."""
        name = self.module.rpartition("{layer}.")[2]
        return f"{name}.gate_up_proj", f"{name}.down_proj"


@dataclass(frozen=True)
class Architecture:
    """How to find the neurons of one architecture.

    Attributes
    ----------
    down_projection : str or None
        Path of the module whose input is the neuron vector, from the causal language model, with
        `{layer}` for the layer number. In a mixture that of the shared expert, None if it has none.
    d_mlp : callable or None
        From a configuration to the size of that input.
    n_layers : str
        Key of the number of layers in the configuration.
    final_norm : str
        Path of the norm between the last layer and the unembedding.
    projections : tuple of str
        Ends of the paths of the attention's and MLP's linear modules, which LoRA updates.
    transposed : bool
        Whether linear modules keep their weights as inputs × outputs (GPT-2's `Conv1D`).
    experts : Experts or None
        Of a mixture, the experts that tokens are routed to; None for a dense architecture.
    """

    down_projection: str | None
    d_mlp: Callable[[Any], int] | None
    projections: tuple[str, ...]
    n_layers: str = "num_hidden_layers"
    final_norm: str = "model.norm"
    transposed: bool = False
    experts: Experts | None = None
