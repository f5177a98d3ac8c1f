"""Architectures that generate images: one table, keyed by the configuration's `model_type`."""

from __future__ import annotations

from rosetta.models.architectures.record import Architecture

ARCHITECTURES: dict[str, Architecture] = {
    "pmf": Architecture(
        "blocks.{layer}.mlp.w2",
        lambda config: config.intermediate_size,
        (),
        part="",
        loader="AutoModel",
    ),
}
