"""The section `across_seeds`: trainings of one recipe that are compared with one another."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from pydantic import Field

from rosetta.config.base import Section
from rosetta.config.names import group_name

if TYPE_CHECKING:
    from rosetta.config.root import Config


class AcrossSeeds(Section):
    """Which neurons the trainings of one recipe share, and whether other families share them."""

    models: list[str] = Field(
        [],
        description="models of ladders whose trainings are compared with one another, each with "
        "two at least (`zoo.sizes.<name>.replicates`, or entries with `replicate_of`)",
    )


def seed_pairs(config: Config, model: str) -> list[tuple[str, str]]:
    """Return all pairs of different trainings of a model."""
    return list(combinations(config.replicates(model), 2))


def other_families(config: Config, model: str) -> dict[str, str]:
    """Return the models that a model is paired with in ladders, each with the first such ladder."""
    found: dict[str, str] = {}
    for pair in config.pairs():
        if model in pair:
            other = pair[1] if pair[0] == model else pair[0]
            found.setdefault(other, config.ladders_of(group_name(pair))[0])
    return found


def seed_problems(config: Config) -> list[str]:
    """Return what is wrong with the section in a configuration that holds otherwise."""
    problems, chosen = [], config.across_seeds.models
    for name in dict.fromkeys(chosen):
        key = f"across_seeds.models: {name}"
        if name not in config.used_models():
            problems.append(f"{key} is no model of a rung of ladders, so it has no activations")
        elif config.is_generator(name):
            problems.append(
                f"{key} makes images, and each training others, on which they cannot be compared"
            )
        elif name not in config.stores():
            problems.append(
                f"{key} is shown only what generators make, other images for each of them; name "
                "models that a ladder compares on the same images"
            )
        elif len(config.replicates(name)) < 2:
            problems.append(
                f"{key} is trained once; give its size more `replicates`, or add entries with "
                f"`replicate_of: {name}`"
            )
        if chosen.count(name) > 1:
            problems.append(f"{key} is named twice")
    if chosen and not config.controls.document_seeds:
        problems.append(
            "across_seeds needs the null model of exchanged samples; give controls.document_seeds"
        )
    return problems
