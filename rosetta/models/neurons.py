"""The neurons of a model: counts, numbers and printed names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from rosetta.errors import ModelError

_FORMS = re.compile(
    r"(?:L(\d+)/(?:E(?P<expert>\d+)|(?P<shared>S))/U|L(\d+)[/.][UN]|(\d+)\.)(?P<unit>\d+)",
    re.IGNORECASE,
)


class Neuron(NamedTuple):
    """Where a neuron is: layer and unit, both from 0. `NeuronShape.name` prints it."""

    layer: int
    unit: int


@dataclass(frozen=True)
class NeuronShape:
    """How many MLP neurons a model has: `n_layers` × `d_mlp`.

    The units of a mixture of experts are those of the first expert, of the second and so on, then
    those of the shared expert. Experts, and units within an expert, are counted from 0.

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
        """Return a printed name: L16/U11168; in a mixture L3/E17/U42, shared L3/S/U5."""
        if not self.n_experts:
            return f"L{layer}/U{unit}"
        if unit >= self.n_routed:
            return f"L{layer}/S/U{unit - self.n_routed}"
        return f"L{layer}/E{unit // self.d_expert}/U{unit % self.d_expert}"

    @property
    def in_words(self) -> str:
        """What there is, for messages."""
        shared = (
            f" and a shared one of {self.d_mlp - self.n_routed}"
            if self.d_mlp > self.n_routed
            else ""
        )
        experts = (
            f" ({self.n_experts} experts of {self.d_expert} units{shared})"
            if self.n_experts
            else ""
        )
        return f"{self.n_layers} layers of {self.d_mlp} units{experts}"


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
            f"{place}: {text!r} is not a neuron. Write it like L3/U12 (layer 3, unit 12, both "
            "from 0), in a mixture of "
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
            f"{place}: {text} is not in the model, whose {shape.in_words} go from "
            f"{shape.name(0, 0)} "
            f"to {shape.name(shape.n_layers - 1, shape.d_mlp - 1)}."
        )
    return Neuron(layer, unit)
