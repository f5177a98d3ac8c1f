"""What is recorded of a model that sees images: its neurons or, beside them, what its MLPs read.

A SwiGLU computes w3(silu(w1 x) ⊙ w2 x). Its neurons are the input of `w3`. A script that takes `w2`
for the down projection records x in their place, the normalised residual stream. With `mlp_input`
that is done on purpose, so that both can be matched with the same models.
"""

from __future__ import annotations

from typing import Any

from rosetta.config.base import Recorded
from rosetta.models.architectures.registry import architecture_of
from rosetta.models.sites import Projection, Site, neuron_sites

# By the name of the down projection, that of a projection beside it that reads the MLP's input.
_READS_INPUT = {"fc2": "fc1", "down_proj": "up_proj"}


def recorded_sites(recorded: Recorded, model: Any, place: str) -> list[list[Site]]:
    """Return where the units of every layer of a loaded model are recorded.

    Raises
    ------
    ModelError
        If a module is not where the table of architectures says.
    """
    sites = neuron_sites(model, place)
    if recorded == "neurons":
        return sites
    path = architecture_of(model.config.model_type, place).projection_of(model.config)
    mlp, _, down = str(path).rpartition(".")
    first = f"{mlp}.{_READS_INPUT[down]}"
    return [
        [Projection(model.get_submodule(first.format(layer=layer)))] for layer in range(len(sites))
    ]
