"""The sections `ablation` and `attribution`: what neurons do to a model's output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rosetta.config.base import Distinct, Section, Seed

if TYPE_CHECKING:
    from rosetta.config.root import Config

Method = Literal["mean", "zero"]


class AblationSettings(Section):
    """How neurons are ablated, and what with."""

    method: Method = Field(
        "mean",
        description="what an ablated neuron is held at: its mean over the match split, or 0",
    )
    n_draws: int = Field(
        20, ge=20, le=10_000, description="draws of as many other neurons that match"
    )
    n_nearest: int = Field(
        5,
        ge=1,
        description="in a draw, each neuron takes one of its so many nearest free others of its "
        "layer at random, by the ranks of mean activation and of output norm",
    )
    max_documents: int | None = Field(
        256, ge=1, description="held-out documents that are read at most; null: all"
    )
    max_images: int | None = Field(
        1024, ge=1, description="held-out images that are seen at most; null: all"
    )
    seed: Seed = Field(0, description="seed of the draws")


class Ablation(AblationSettings):
    """What models lose without their Rosetta Neurons, and with nothing but them.

    Beside them, as many others are ablated: some that match them, the most active, the most
    kurtotic ones.
    """

    ladder: str = Field(description="the ladder whose Rosetta Neurons are ablated")
    rungs: Distinct[int] | None = Field(
        None, description="numbers of its rungs, from 0; negative ones from the end; null: all"
    )
    above: Literal["documents", "untrained"] | None = Field(
        None,
        description="take Rosetta Neurons whose matches are above this null model, as the rung "
        "counts them; null: all matched ones",
    )


class Attribution(Section):
    """Whether partners of a match promote the same strings: a confirmation by their outputs."""

    n_random: int = Field(
        2000,
        ge=100,
        le=1_000_000,
        description="random pairs of neurons per pair of layers, the null of matches between them",
    )
    quantile: float = Field(
        0.95, gt=0, lt=1, description="a match is confirmed above this quantile of its null"
    )
    seed: Seed = Field(0, description="seed of the random pairs")


def ablated_rungs(config: Config) -> list[tuple[int, tuple[str, ...]]]:
    """Return the rungs whose Rosetta Neurons are ablated: their numbers and models."""
    asked = config.ablation
    if asked is None:
        return []
    rungs = list(map(tuple, config.ladders[asked.ladder]))
    wanted = range(len(rungs)) if asked.rungs is None else asked.rungs
    return [(number, rungs[number]) for number in sorted({n % len(rungs) for n in wanted})]


def ablated_models(config: Config, group: tuple[str, ...]) -> list[str]:
    """Return the models of a rung that have a loss on held-out samples: language models, and
    classifiers of the zoo.
    """
    return [
        name
        for name in group
        if config.modality_of(name) == "text" or config.task_of(name) == "classifier"
    ]


def ablation_problems(config: Config) -> list[str]:
    """Return what is wrong with the ablation that a configuration asks for."""
    asked = config.ablation
    if asked is None:
        return []
    if asked.ladder not in config.ladders:
        known = ", ".join(config.ladders)
        return [f"ablation.ladder: {asked.ladder!r} is not in ladders ({known})"]
    n_rungs = len(config.ladders[asked.ladder])
    beyond = [number for number in asked.rungs or [] if not -n_rungs <= number < n_rungs]
    if beyond:
        has = f"ladders.{asked.ladder} has {n_rungs} rungs"
        return [f"ablation.rungs: {has}, so no number {beyond[0]}"]
    problems = []
    if asked.above and not config.controls.seeds(asked.above):
        problems.append(
            f"ablation.above: the run has no null model {asked.above!r}; give its seeds in "
            "controls, or leave the key out"
        )
    if not all(ablated_models(config, group) for _, group in ablated_rungs(config)):
        problems.append(
            f"ablation.ladder: a rung of {asked.ladder} has no classifier of the zoo; of models "
            "that see images, only these have a loss on the run's held-out images"
        )
    images = config.ladder_modality(asked.ladder) == "images"
    if (config.images if images else config.corpus).splits.heldout == 0:
        key = "images" if images else "corpus"
        problems.append(
            f"ablation: losses are measured on {key}.splits.heldout, which is 0; raise it"
        )
    return problems
