"""What is known of one architecture, of whatever modality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any


def part_of(config: Any, key: str) -> Any:
    """Return the nested part of a configuration under a key, or the configuration if it has none.

    A configuration is a file's content (a namespace, whose parts are dicts) or transformers'
    object.
    """
    nested = getattr(config, key, None) or config
    return SimpleNamespace(**nested) if isinstance(nested, dict) else nested


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
        Path of the module whose input is the neuron vector, from the model that `loader` loads,
        with `{layer}` for the layer number. In a mixture that of the shared expert, None if it has
        none.
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
    loader : str
        Class of transformers that loads it.
    part : str
        Key of the part of a configuration that describes the layers, if it is nested.
    saved : tuple of str
        Names of the down projection in files, from their beginning, as regular expressions with
        `{layer}`; none where they end like `down_projection`.
    leftovers : tuple of str
        Regular expressions of the weights in files that are not loaded and not needed, beside
        those of `rosetta.models.weights_fit`.
    """

    down_projection: str | None
    d_mlp: Callable[[Any], int] | None
    projections: tuple[str, ...]
    n_layers: str = "num_hidden_layers"
    final_norm: str = "model.norm"
    transposed: bool = False
    experts: Experts | None = None
    loader: str = "AutoModelForCausalLM"
    part: str = "text_config"
    saved: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()

    def described_by(self, config: Any) -> Any:
        """Return the part of a configuration that describes the layers."""
        return part_of(config, self.part)

    def projection_of(self, config: Any) -> str | None:
        """Return the path of the down projection in a model of this configuration."""
        return self.down_projection

    def loading_options(self, config: Any) -> dict[str, Any]:
        """Return what `loader` is told of a model of this configuration."""
        return {}
