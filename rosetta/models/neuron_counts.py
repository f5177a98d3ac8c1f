"""How many MLP neurons a configuration of transformers implies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rosetta.config.base import Recorded
from rosetta.errors import ModelError
from rosetta.models.architectures.record import Architecture
from rosetta.models.architectures.registry import architecture_of
from rosetta.models.neurons import NeuronShape


def neuron_shape(config: Any, place: str) -> NeuronShape:
    """Return the neuron counts that a configuration, or its file's content, implies.

    Raises
    ------
    ModelError
        If the architecture is not supported, a count is none, or only some layers of a mixture have
        experts.
    """
    architecture = architecture_of(config.model_type, place)
    part = architecture.described_by(config)
    counts = {what: _count(number, what, place) for what, number in _counts(architecture, part)}
    n_layers = counts["layers"]
    if architecture.experts is None:
        return NeuronShape(n_layers, counts["neurons per layer"])
    _check_layers(part, n_layers, place)
    n_experts, d_expert = counts["experts per layer"], counts["neurons per expert"]
    d_shared = counts.get("neurons of the shared expert", 0)
    return NeuronShape(n_layers, n_experts * d_expert + d_shared, n_experts, d_expert)


def recorded_shape(recorded: Recorded, config: Any, place: str) -> NeuronShape:
    """Return how many units per layer are recorded of a model (`rosetta.models.recorded`).

    Raises
    ------
    ModelError
        If the architecture is not supported, or a count is none.
    """
    shape = neuron_shape(config, place)
    if recorded == "neurons":
        return shape
    part = architecture_of(config.model_type, place).described_by(config)
    return NeuronShape(shape.n_layers, int(part.hidden_size))


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
        raise ModelError(
            f"{place}: config.json gives {number!r} as the number of {what}. Correct it."
        )
    return number


def _check_layers(config: Any, n_layers: int, place: str) -> None:
    """Reject a mixture some of whose layers have no experts: their number of neurons is another."""
    dense, step = (
        getattr(config, "mlp_only_layers", None) or [],
        getattr(config, "decoder_sparse_step", None) or 1,
    )
    if dense == [] and step == 1:
        return
    raise ModelError(
        f"{place}: not all of its {n_layers} layers have experts (mlp_only_layers {dense}, "
        "decoder_sparse_step "
        f"{step}), so layers differ in size. Give a model all of whose layers have experts."
    )
