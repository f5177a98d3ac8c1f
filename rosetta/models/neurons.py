"""Where each architecture keeps its MLP neurons: one table, keyed by the configuration's `model_type`.

A neuron is one coordinate of the input of a layer's MLP down projection (method, section 1; Dravid 2026,
section 3.1). To support another architecture, add an entry to `ARCHITECTURES`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, NamedTuple

from rosetta.errors import ModelError


@dataclass(frozen=True)
class Architecture:
    """How to find the neurons of one architecture.

    Attributes
    ----------
    down_projection : str
        Path of the module whose input is the neuron vector, from the causal language model, with `{layer}`
        for the layer number.
    d_mlp : callable
        From a configuration to the number of neurons per layer.
    n_layers : str
        Key of the number of layers in the configuration.
    final_norm : str
        Path of the norm between the last layer and the unembedding.
    projections : tuple of str
        Ends of the paths of the attention's and MLP's linear modules, which LoRA updates.
    """

    down_projection: str
    d_mlp: Callable[[Any], int]
    projections: tuple[str, ...]
    n_layers: str = "num_hidden_layers"
    final_norm: str = "model.norm"


def text_config(config: Any) -> Any:
    """Return the part of a configuration that describes the language model: all of it, but for multimodal ones."""
    nested = getattr(config, "text_config", None) or config
    return (
        SimpleNamespace(**nested) if isinstance(nested, dict) else nested
    )  # a file's content, or transformers' object


def _intermediate_size(config: Any) -> int:
    return config.intermediate_size


def _inner_size(config: Any) -> int:
    return getattr(config, "n_inner", None) or 4 * config.n_embd


def _falcon_size(config: Any) -> int:
    return getattr(config, "ffn_hidden_size", None) or 4 * config.hidden_size


_GATED = Architecture(
    "model.layers.{layer}.mlp.down_proj",
    _intermediate_size,
    ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
)
_FUSED = ("query_key_value", "dense_h_to_4h", "dense_4h_to_h")

ARCHITECTURES: dict[str, Architecture] = {
    "gpt_neox": Architecture(
        "gpt_neox.layers.{layer}.mlp.dense_4h_to_h",
        _intermediate_size,
        (*_FUSED, "attention.dense"),
        final_norm="gpt_neox.final_layer_norm",
    ),
    "gpt2": Architecture(
        "transformer.h.{layer}.mlp.c_proj",
        _inner_size,
        ("c_attn", "c_proj", "c_fc"),
        n_layers="n_layer",
        final_norm="transformer.ln_f",
    ),
    "gptj": Architecture(
        "transformer.h.{layer}.mlp.fc_out",
        _inner_size,
        ("q_proj", "k_proj", "v_proj", "out_proj", "fc_in", "fc_out"),
        n_layers="n_layer",
        final_norm="transformer.ln_f",
    ),
    "opt": Architecture(
        "model.decoder.layers.{layer}.fc2",
        lambda config: config.ffn_dim,
        ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
        final_norm="model.decoder.final_layer_norm",
    ),
    "bloom": Architecture(
        "transformer.h.{layer}.mlp.dense_4h_to_h",
        lambda config: 4 * config.hidden_size,
        (*_FUSED, "self_attention.dense"),
        n_layers="n_layer",
        final_norm="transformer.ln_f",
    ),
    "falcon": Architecture(
        "transformer.h.{layer}.mlp.dense_4h_to_h",
        _falcon_size,
        (*_FUSED, "self_attention.dense"),
        final_norm="transformer.ln_f",
    ),
    "phi": Architecture(
        "model.layers.{layer}.mlp.fc2",
        _intermediate_size,
        ("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"),
        final_norm="model.final_layernorm",
    ),
    "phi3": replace(_GATED, projections=("qkv_proj", "o_proj", "gate_up_proj", "down_proj")),
    "starcoder2": Architecture(
        "model.layers.{layer}.mlp.c_proj",
        _intermediate_size,
        ("q_proj", "k_proj", "v_proj", "o_proj", "c_fc", "c_proj"),
    ),
    "qwen2": _GATED,
    "qwen3": _GATED,
    "llama": _GATED,
    "mistral": _GATED,
    "gemma": _GATED,
    "gemma2": _GATED,
    "gemma3_text": _GATED,
    # Its text comes alone; the vision tower has no neurons here.
    "gemma3": replace(
        _GATED,
        down_projection="model.language_model.layers.{layer}.mlp.down_proj",
        final_norm="model.language_model.norm",
    ),
    "olmo2": _GATED,
    "olmo3": _GATED,
}


def layer_of(architecture: Architecture, weight: str) -> int | None:
    """Return the layer whose down projection a weight of a saved model is, by its name; None if it is another's.

    Models are saved with and without the names of the modules that hold the layers.
    """
    path = architecture.down_projection
    inner = path[path[: path.index(".{layer}")].rfind(".") + 1 :]
    pattern = re.escape(inner).replace(re.escape("{layer}"), r"(\d+)")
    found = re.search(rf"(?:^|\.){pattern}\.weight$", weight)
    return int(found[1]) if found else None


def architecture_of(model_type: str | None, place: str) -> Architecture:
    """Return the table's entry for a `model_type`.

    Raises
    ------
    ModelError
        If the architecture is not supported; the message lists those that are.
    """
    try:
        return ARCHITECTURES[model_type or ""]
    except (KeyError, TypeError):  # a list is no key
        raise ModelError(
            f"{place}: architecture {model_type!r} is not supported. Supported: {', '.join(ARCHITECTURES)}."
        ) from None


@dataclass(frozen=True)
class NeuronShape:
    """How many MLP neurons a model has: `n_layers` × `d_mlp`."""

    n_layers: int
    d_mlp: int

    @property
    def n_neurons(self) -> int:
        """Total neuron count, the model size x of the scaling law."""
        return self.n_layers * self.d_mlp


def neuron_shape(config: Any, place: str) -> NeuronShape:
    """Return the neuron counts that a configuration of transformers, or the content of its file, implies."""
    architecture = architecture_of(config.model_type, place)
    text = text_config(config)
    return NeuronShape(int(getattr(text, architecture.n_layers)), int(architecture.d_mlp(text)))


def down_projections(model: Any, place: str) -> list[Any]:
    """Return the down projection module of every layer of a loaded causal language model.

    Raises
    ------
    ModelError
        If a module is not where the table says, or its input size is not `d_mlp`.
    """
    shape = neuron_shape(model.config, place)
    path = architecture_of(model.config.model_type, place).down_projection
    modules = []
    for layer in range(shape.n_layers):
        name = path.format(layer=layer)
        try:
            module = model.get_submodule(name)
        except AttributeError:
            raise ModelError(f"{place}: has no module {name}; the architecture table does not fit it.") from None
        # A Conv1D (GPT-2) keeps its weight as in × out, a Linear as out × in.
        d_in = module.in_features if hasattr(module, "in_features") else module.weight.shape[0]
        if d_in != shape.d_mlp:
            raise ModelError(f"{place}: {name} takes {d_in} inputs but the configuration says {shape.d_mlp}.")
        modules.append(module)
    return modules


def neuron_name(layer: int, unit: int) -> str:
    """Return the printed name of a neuron, for example L16/U11168."""
    return f"L{layer}/U{unit}"


class Neuron(NamedTuple):
    """Where a neuron is: layer and unit, both from 0."""

    layer: int
    unit: int

    def __str__(self) -> str:
        return neuron_name(self.layer, self.unit)


_NEURON_FORMS = re.compile(r"(?:L(\d+)[/.][UN]|(\d+)\.)(\d+)", re.IGNORECASE)


def parse_neuron(text: str, shape: NeuronShape, place: str) -> Neuron:
    """Return the neuron written L3/U12, L3.N12 or 3.12.

    Raises
    ------
    ModelError
        If it is none of these forms, or the model has no such neuron.
    """
    found = _NEURON_FORMS.fullmatch(text.strip())
    if not found:
        raise ModelError(f"{place}: {text!r} is not a neuron. Write it like L3/U12 (layer 3, unit 12, both from 0).")
    layer, unit = int(found[1] or found[2]), int(found[3])
    if layer >= shape.n_layers or unit >= shape.d_mlp:
        raise ModelError(
            f"{place}: {text} is not in the model, whose {shape.n_layers} layers of {shape.d_mlp} units go from L0/U0 "
            f"to {neuron_name(shape.n_layers - 1, shape.d_mlp - 1)}."
        )
    return Neuron(layer, unit)
