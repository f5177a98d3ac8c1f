"""The section `sae`: sparse autoencoders of the models' activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rosetta.config.base import Name, Place, Section, Seed

if TYPE_CHECKING:
    from rosetta.config.root import Config


class Sae(Section):
    """Sparse autoencoders: of every model of a ladder one is trained on its stores, or loaded."""

    per: Literal["model", "layer"] = Field(
        "model",
        description="what an autoencoder reads: the neurons of all layers of a model, or those of "
        "one layer",
    )
    path: dict[Name, Place] = Field(
        {},
        description="by model, a folder with a trained autoencoder in the format of SAELens or "
        "dictionary_learning (docs/sae.md); with `per: layer`, one with such a folder per layer, "
        "named 0, 1, …; models without one are trained",
    )
    width: int = Field(8, ge=1, le=64, description="features per neuron that is read")
    k: int = Field(32, ge=1, description="features that are active at a position, at most")
    steps: int = Field(2000, ge=1, description="training steps of an autoencoder")
    batch_size: int = Field(1024, ge=1, description="positions per step")
    learning_rate: float = Field(
        1e-3,
        gt=0,
        description="of Adam, after a warm-up of a twentieth of the steps; then it falls to 0",
    )
    seed: Seed = Field(0, description="of the first weights, and of the order of positions")
    checkpoint_every: int = Field(500, ge=1, description="steps between checkpoints")
    heldout_one_in: int = Field(
        10,
        ge=2,
        description="one in so many samples is never trained on, parts of one file or image "
        "together; errors are of these",
    )
    dead_after: int = Field(
        200, ge=1, description="steps after which a feature that was never active is taken for dead"
    )
    aux_k: int | None = Field(
        None,
        ge=1,
        description="dead features that together explain what the others leave; null: half as "
        "many as neurons are read",
    )
    aux_weight: float = Field(1 / 32, ge=0, description="weight of what they leave, in the loss")


def sae_problems(config: Config) -> list[str]:
    """Return what is wrong with the autoencoders that a configuration asks for."""
    if config.sae is None:
        return []
    used = config.used_models()
    problems = [
        f"sae.path: {name!r} is no model of a ladder; these are {', '.join(used)}"
        for name in config.sae.path
        if name not in used
    ]
    if not config.controls.document_seeds:
        problems.append(
            "controls.document_seeds: is empty, but matches of sae's features are counted above "
            "the null of exchanged samples. Give a seed"
        )
    return problems
