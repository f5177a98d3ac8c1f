"""Where each architecture keeps its MLP neurons: one table, keyed by the configuration's `model_type`.

A neuron is one coordinate of the input of a layer's MLP down projection (method, section 1; Dravid 2026,
section 3.1); in a mixture of experts, of one expert's. To support another architecture, add an entry to
`ARCHITECTURES`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, NamedTuple

from rosetta.errors import ModelError


@dataclass(frozen=True)
class Experts:
    """Where a mixture of experts keeps those that tokens are routed to.

    Attributes
    ----------
    d_expert : str
        Key of the number of neurons of an expert in the configuration.
    module : str
        Path of the module that holds all experts of a layer: parameters `gate_up_proj` of shape (n_experts,
        2 · d_expert, d_model) and `down_proj` of shape (n_experts, d_model, d_expert), an activation `act_fn`, called
        with the tokens' hidden states and the numbers of their experts.
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
        Path of the module whose input is the neuron vector, from the causal language model, with `{layer}`
        for the layer number. In a mixture that of the shared expert, None if it has none.
    d_mlp : callable or None
        From a configuration to the size of that input.
    n_layers : str
        Key of the number of layers in the configuration.
    final_norm : str
        Path of the norm between the last layer and the unembedding.
    projections : tuple of str
        Ends of the paths of the attention's and MLP's linear modules, which LoRA updates.
    experts : Experts or None
        Of a mixture, the experts that tokens are routed to; None for a dense architecture.
    """

    down_projection: str | None
    d_mlp: Callable[[Any], int] | None
    projections: tuple[str, ...]
    n_layers: str = "num_hidden_layers"
    final_norm: str = "model.norm"
    experts: Experts | None = None


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
_MIXTURE = Architecture(None, None, ("q_proj", "k_proj", "v_proj", "o_proj"), experts=Experts("moe_intermediate_size"))
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
    "mixtral": replace(_MIXTURE, experts=Experts("intermediate_size")),
    "olmoe": replace(_MIXTURE, experts=Experts("intermediate_size")),
    "qwen2_moe": Architecture(
        "model.layers.{layer}.mlp.shared_expert.down_proj",
        lambda config: config.shared_expert_intermediate_size,
        _GATED.projections,
        experts=Experts("moe_intermediate_size"),
    ),
    "qwen3_moe": _MIXTURE,
}


# Files keep experts one by one, or all of a layer at once as the library holds them when they are loaded.
_EXPERT_WEIGHT = re.compile(
    r"(?:^|\.)layers\.(\d+)\.(?:mlp|block_sparse_moe)\.experts\.(?:(\d+)\.(?:down_proj|w2)\.weight|down_proj)$"
)
ALL_EXPERTS = -1


class SavedWeight(NamedTuple):
    """Which down projection a weight of a saved model is: a layer's, or that of one or of `ALL_EXPERTS` of it."""

    layer: int
    expert: int | None = None


def saved_weight(architecture: Architecture, name: str) -> SavedWeight | None:
    """Return which down projection a weight of a saved model is, by its name; None if it is another module's.

    Models are saved with and without the names of the modules that hold the layers.
    """
    if architecture.experts and (found := _EXPERT_WEIGHT.search(name)):
        return SavedWeight(int(found[1]), ALL_EXPERTS if found[2] is None else int(found[2]))
    path = architecture.down_projection
    if path is None:
        return None
    inner = path[path[: path.index(".{layer}")].rfind(".") + 1 :]
    pattern = re.escape(inner).replace(re.escape("{layer}"), r"(\d+)")
    found = re.search(rf"(?:^|\.){pattern}\.weight$", name)
    return SavedWeight(int(found[1])) if found else None


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


class Neuron(NamedTuple):
    """Where a neuron is: layer and unit, both from 0. `NeuronShape.name` prints it."""

    layer: int
    unit: int


@dataclass(frozen=True)
class NeuronShape:
    """How many MLP neurons a model has: `n_layers` × `d_mlp`.

    The units of a mixture of experts are those of the first expert, of the second and so on, then those of the shared
    expert. Experts, and units within an expert, are counted from 0.

    Attributes
    ----------
    n_layers, d_mlp : int
        Layers, and neurons per layer, those of all experts of a mixture together.
    n_experts, d_expert : int
        Experts per layer that tokens are routed to, and neurons of each; 0 for a dense model.
    """

    n_layers: int
    d_mlp: int
    n_experts: int = 0
    d_expert: int = 0

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> NeuronShape:
        """Return the shape that a manifest tells (see `facts`)."""
        experts = facts.get("n_experts", 0), facts.get("d_expert", 0)
        return cls(facts["n_layers"], facts["d_mlp"], *experts)

    @property
    def facts(self) -> dict[str, int]:
        """What manifests keep of it; of a dense model no word of experts."""
        experts = {"n_experts": self.n_experts, "d_expert": self.d_expert} if self.n_experts else {}
        return {"n_layers": self.n_layers, "d_mlp": self.d_mlp, **experts}

    @property
    def n_neurons(self) -> int:
        """Total neuron count, the model size x of the scaling law."""
        return self.n_layers * self.d_mlp

    @property
    def n_routed(self) -> int:
        """Neurons of a layer that lie in experts that tokens are routed to."""
        return self.n_experts * self.d_expert

    def name(self, layer: int, unit: int) -> str:
        """Return the printed name of a neuron: L16/U11168; of a mixture L3/E17/U42, in its shared expert L3/S/U5."""
        if not self.n_experts:
            return f"L{layer}/U{unit}"
        if unit >= self.n_routed:
            return f"L{layer}/S/U{unit - self.n_routed}"
        return f"L{layer}/E{unit // self.d_expert}/U{unit % self.d_expert}"

    @property
    def in_words(self) -> str:
        """What there is, for messages."""
        shared = f" and a shared one of {self.d_mlp - self.n_routed}" if self.d_mlp > self.n_routed else ""
        experts = f" ({self.n_experts} experts of {self.d_expert} units{shared})" if self.n_experts else ""
        return f"{self.n_layers} layers of {self.d_mlp} units{experts}"


def neuron_shape(config: Any, place: str) -> NeuronShape:
    """Return the neuron counts that a configuration of transformers, or the content of its file, implies.

    Raises
    ------
    ModelError
        If the architecture is not supported, a count is none, or only some layers of a mixture have experts.
    """
    architecture = architecture_of(config.model_type, place)
    text = text_config(config)
    counts = {what: _count(number, what, place) for what, number in _counts(architecture, text)}
    n_layers = counts["layers"]
    if architecture.experts is None:
        return NeuronShape(n_layers, counts["neurons per layer"])
    _check_layers(text, n_layers, place)
    n_experts, d_expert = counts["experts per layer"], counts["neurons per expert"]
    d_shared = counts.get("neurons of the shared expert", 0)
    return NeuronShape(n_layers, n_experts * d_expert + d_shared, n_experts, d_expert)


def _counts(architecture: Architecture, config: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a configuration gives as its counts, by what they are."""
    yield "layers", getattr(config, architecture.n_layers)
    if architecture.d_mlp:
        what = "neurons of the shared expert" if architecture.experts else "neurons per layer"
        yield what, architecture.d_mlp(config)
    if architecture.experts:
        # One of the two is the other's alias, and files have either.
        n_experts = getattr(config, "num_experts", None)
        yield "experts per layer", config.num_local_experts if n_experts is None else n_experts
        yield "neurons per expert", getattr(config, architecture.experts.d_expert)


def _count(number: Any, what: str, place: str) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ModelError(f"{place}: config.json gives {number!r} as the number of {what}. Correct it.")
    return number


def _check_layers(config: Any, n_layers: int, place: str) -> None:
    """Refuse a mixture some of whose layers have no experts: their number of neurons is another."""
    dense, step = getattr(config, "mlp_only_layers", None) or [], getattr(config, "decoder_sparse_step", None) or 1
    if dense == [] and step == 1:
        return
    raise ModelError(
        f"{place}: not all of its {n_layers} layers have experts (mlp_only_layers {dense}, decoder_sparse_step "
        f"{step}), so layers differ in size. Give a model all of whose layers have experts."
    )


_FORMS = re.compile(
    r"(?:L(\d+)/(?:E(?P<expert>\d+)|(?P<shared>S))/U|L(\d+)[/.][UN]|(\d+)\.)(?P<unit>\d+)", re.IGNORECASE
)


def parse_neuron(text: str, shape: NeuronShape, place: str) -> Neuron:
    """Return the neuron written L3/U12, L3.N12 or 3.12; of a mixture also L3/E17/U42 or L3/S/U5.

    Without an expert, the unit is counted through all experts of the layer, as in tables.

    Raises
    ------
    ModelError
        If it is none of these forms, or the model has no such neuron.
    """
    found = _FORMS.fullmatch(text.strip())
    if not found:
        raise ModelError(
            f"{place}: {text!r} is not a neuron. Write it like L3/U12 (layer 3, unit 12, both from 0), in a mixture of "
            "experts like L3/E17/U42 or, in its shared expert, L3/S/U5."
        )
    layer, unit = int(found[1] or found[4] or found[5]), int(found["unit"])
    if found["expert"]:
        inside = int(found["expert"]) < shape.n_experts and unit < shape.d_expert
        unit += int(found["expert"]) * shape.d_expert
    else:
        unit += shape.n_routed if found["shared"] else 0
        inside = unit < shape.d_mlp and not (found["shared"] and not shape.n_experts)
    if layer >= shape.n_layers or not inside:
        raise ModelError(
            f"{place}: {text} is not in the model, whose {shape.in_words} go from {shape.name(0, 0)} "
            f"to {shape.name(shape.n_layers - 1, shape.d_mlp - 1)}."
        )
    return Neuron(layer, unit)
