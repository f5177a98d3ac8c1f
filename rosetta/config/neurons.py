"""Sections on single neurons: what is measured, asked and shown of them."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from rosetta.config.base import Section, Seed
from rosetta.config.endpoints import ChatEndpoint

ImageScore = Literal["mean", "max"]


class Selectivity(Section):
    """How it is measured how selective a neuron is."""

    fold_final_norm: bool = Field(
        False,
        description="carry the final norm's gain over to the unembedding vectors before taking "
        "cosines",
    )
    firing_std: float | None = Field(
        None,
        description="a neuron fires where it exceeds its mean by this many standard deviations; "
        "null: where positive",
    )
    image_score: ImageScore = Field(
        "mean",
        description="what a neuron's value on an image is, by which its top images are found: its "
        "mean over all cells of its model's grid, or the highest",
    )


class Specialization(Section):
    """Which domains neurons read highest on."""

    n_contexts: int = Field(
        20,
        ge=1,
        le=10_000,
        description="top contexts found per neuron, each from another document; or top images",
    )
    categories: Literal["pile"] | dict[str, str] | None = Field(
        None,
        description="category of each domain; `pile` is the one of the Pile's subsets; null: "
        "every domain by itself",
    )
    directions: dict[str, Literal["rises", "falls"]] = Field(
        {"code": "rises", "math": "rises", "prose": "falls", "conversation": "falls"},
        description="how the study expects NormalizedFire of a category to change with size, "
        "relative to random other "
        "neurons; categories without a direction are not judged",
    )
    n_random: int = Field(
        1000, ge=1, le=10**9, description="non-Rosetta neurons in a random draw, the baseline"
    )
    n_draws: int = Field(3, ge=1, le=10_000, description="random draws")
    seed: Seed = Field(0, description="seed of the draws")


class Bootstrap(Section):
    """How confidence intervals of means are resampled."""

    n_resamples: int = Field(4000, ge=100, le=1_000_000, description="resamples")
    min_clusters: int = Field(
        15,
        ge=2,
        description="clusters of matched neurons (or single ones) below which a mean has no "
        "interval, and a finding "
        "cannot be judged",
    )
    seed: Seed = 0


class Annotation(ChatEndpoint):
    """A language model that names neurons from their top contexts, behind an OpenAI-compatible
    endpoint.
    """

    key: ClassVar[str] = "annotation"
    n_neurons: int = Field(
        100, ge=1, description="Rosetta Neurons per pair or group, highest r first"
    )
    n_contexts: int = Field(20, ge=1, description="top contexts shown to the model")
    context_bytes: int = Field(200, ge=8, description="text on each side of the token")


class Viewer(Section):
    """What the neuron viewer shows."""

    n_neurons: int = Field(
        500, ge=0, description="Rosetta Neurons per pair or group, highest r first"
    )
    n_contexts: int = Field(6, ge=1, description="top contexts per neuron and model")
    context_bytes: int = Field(
        100,
        ge=8,
        description="text on each side of the token; documents up to four times as long are "
        "shown whole",
    )


def context_problems(
    specialization: Specialization, viewer: Viewer, annotation: Annotation | None
) -> list[str]:
    """Return what is wrong between the sections: one that asks for more contexts than are found."""
    asked = {
        "viewer": viewer.n_contexts,
        **({"annotation": annotation.n_contexts} if annotation else {}),
    }
    return [
        f"{key}.n_contexts: {n} is above specialization.n_contexts "
        f"({specialization.n_contexts}), the contexts "
        "that are found"
        for key, n in asked.items()
        if n > specialization.n_contexts
    ]
