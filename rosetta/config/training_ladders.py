"""The section `training_ladders`: the same two models at growing steps of their training.

A model at a step has a name of its own, such as `pythia-512~step-32` (`names.step_name`), and an
entry (`Config.entry`), so that captures, correlations and null models work by its name as they are.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Discriminator, Field, Tag

from rosetta.config.base import MAX_JOINED, Modality, Section
from rosetta.config.names import group_name, step_name
from rosetta.errors import ConfigError

if TYPE_CHECKING:
    from rosetta.config.models import ModelEntry
    from rosetta.config.root import Config

MOST_STEPS = 10_000_000  # of a training
Step = Annotated[int, Field(ge=1, le=MOST_STEPS)]
# What pydantic calls the two forms of `steps` in the place of an error.
STEP_FORMS = ("steps-grown", "steps-listed")


class GrownSteps(Section):
    """Steps that grow by the same factor, up to the end of the training."""

    first: Step = Field(description="the first step that is looked at")
    n: int = Field(
        ge=2, le=1000, description="steps that are looked at, the end of the training among them"
    )


def _check_growing(steps: list[int]) -> list[int]:
    if any(later <= earlier for earlier, later in pairwise(steps)):
        raise ValueError(f"must grow, each above the one before (got {steps})")
    return steps


def _step_form(value: Any) -> str:
    return STEP_FORMS[isinstance(value, list)]


class TrainingLadder(Section):
    """A ladder whose rungs are the same two models at growing steps of their training."""

    models: Annotated[list[str], Field(min_length=2, max_length=2)] = Field(
        description="two models that a rung of `ladders` compares, its anchor first: their "
        "matches there are the end of the training, which is always the last rung here"
    )
    axis: Literal["tokens"] = Field("tokens", description="what grows from rung to rung")
    steps: Annotated[
        Annotated[GrownSteps, Tag(STEP_FORMS[0])]
        | Annotated[
            list[Step], Field(min_length=1), AfterValidator(_check_growing), Tag(STEP_FORMS[1])
        ],
        Discriminator(_step_form),
    ] = Field(
        description="steps of the training whose weights are kept and looked at, without its end: "
        "a list, or {first, n} for n steps that grow by the same factor up to the end"
    )


class TrainingRung(NamedTuple):
    """A rung of a training ladder.

    Attributes
    ----------
    step : int
        Steps that the models have made; at the end of the training, those of the anchor.
    tokens : float
        Tokens that they have read by then, mean of both models; of images, patches.
    pair : str
        Name of the pair of models at this step.
    """

    step: int
    tokens: float
    pair: str


def n_steps_of(config: Config, model: str) -> int:
    """Return the steps of the whole training of a model that a training ladder names."""
    entry = config.models[model]
    if entry.zoo is None:
        assert entry.checkpoints is not None, "the configuration is checked for it"
        return entry.checkpoints.n_steps
    zoo, family = config.zoo, config.zoo.families[entry.zoo.family]
    if family.modality == "text":
        return zoo.training.steps
    n_steps: int = getattr(zoo.image_training.steps, family.task)
    return n_steps


def tokens_per_step(config: Config, model: str) -> int:
    """Return the tokens that a step of a training reads; of images, patches."""
    entry = config.models[model]
    if entry.zoo is None:
        assert entry.checkpoints is not None, "the configuration is checked for it"
        return entry.checkpoints.tokens_per_step
    zoo, family = config.zoo, config.zoo.families[entry.zoo.family]
    if family.image is None:
        return zoo.training.batch_size * zoo.training.sequence_length
    return zoo.image_training.batch_size * math.prod(family.image.grid)


def kept_steps(config: Config, ladder: str) -> list[int]:
    """Return the steps of a training ladder that weights are kept of: all but the end."""
    chosen = config.training_ladders[ladder]
    if isinstance(chosen.steps, list):
        return chosen.steps
    last = min(n_steps_of(config, model) for model in chosen.models)
    first, n = chosen.steps.first, chosen.steps.n
    grown = (round(first * (last / first) ** (i / (n - 1))) for i in range(n - 1))
    return list(dict.fromkeys(step for step in grown if step < last))


def steps_of_model(config: Config, model: str) -> list[int]:
    """Return the steps of a model that training ladders keep; none of a model that none names."""
    named = [name for name, ladder in config.training_ladders.items() if model in ladder.models]
    return sorted({step for name in named for step in kept_steps(config, name)})


def step_models(config: Config, modality: Modality | None = None) -> list[str]:
    """Return the names of all models at the steps that training ladders keep, but the last."""
    ladders = config.training_ladders.values()
    models = dict.fromkeys(model for ladder in ladders for model in ladder.models)
    seen = [model for model in models if modality in (None, config.modality_of(model))]
    return [step_name(model, step) for model in seen for step in steps_of_model(config, model)]


def step_pairs(config: Config) -> list[str]:
    """Return the pairs of models at the steps of all training ladders, without their ends."""
    return list(
        dict.fromkeys(
            rung.pair
            for ladder in config.training_ladders
            for rung in training_rungs(config, ladder)[:-1]
        )
    )


def training_rungs(config: Config, ladder: str) -> list[TrainingRung]:
    """Return the rungs of a training ladder, the end of the training last."""
    a, b = config.training_ladders[ladder].models
    a_step, b_step = tokens_per_step(config, a), tokens_per_step(config, b)
    rungs = [
        TrainingRung(
            step,
            step * (a_step + b_step) / 2,
            group_name((step_name(a, step), step_name(b, step))),
        )
        for step in kept_steps(config, ladder)
    ]
    ends = n_steps_of(config, a), n_steps_of(config, b)
    tokens = (ends[0] * a_step + ends[1] * b_step) / 2
    return [*rungs, TrainingRung(ends[0], tokens, group_name((a, b)))]


def entry_at(config: Config, model: str, step: int) -> ModelEntry:
    """Return the entry of a model at a step; that of a zoo model says no other than its own.

    Raises
    ------
    ConfigError
        If no training ladder keeps the step.
    """
    known = steps_of_model(config, model)
    if step not in known:
        told = ", ".join(map(str, known)) or "none"
        raise ConfigError(f"models: {model} is not kept at step {step}; its steps are {told}.")
    entry = config.models[model]
    if entry.checkpoints is None:
        return entry
    place = entry.checkpoints.at(step)
    kind = "path" if entry.path else "revision"
    return entry.model_copy(update={kind: place, "checkpoints": None})


def training_problems(config: Config) -> list[str]:
    """Return what is wrong with the training ladders of a configuration that holds otherwise."""
    problems = []
    for name, ladder in config.training_ladders.items():
        key = f"training_ladders.{name}"
        if name in config.ladders:
            problems.append(f"{key}: ladders has a {name!r}, too; tables need another name")
        told = _pair_problems(config, key, ladder)
        problems += told or _step_problems(config, name, ladder)
    return problems


def _pair_problems(config: Config, key: str, ladder: TrainingLadder) -> list[str]:
    pairs = config.pairs()
    if tuple(ladder.models) not in pairs:
        there = ", ".join(map(group_name, pairs))
        return [
            f"{key}.models: no rung of ladders compares {group_name(tuple(ladder.models))}, whose "
            f"matches are the end of the training; add it, or name one of {there}"
        ]
    problems = []
    for model in ladder.models:
        entry = config.models[model]
        if config.is_generator(model):
            problems.append(
                f"{key}.models: {model} makes images, other ones at every step, on which steps "
                "cannot be compared; name models that are shown the same images"
            )
        elif entry.untrained:
            problems.append(f"{key}.models: {model} is untrained and has no steps")
        elif not entry.zoo and entry.checkpoints is None:
            problems.append(
                f"{key}.models: {model} is not trained here; say where its steps are "
                f"(models.{model}.checkpoints)"
            )
    return problems


def _step_problems(config: Config, name: str, ladder: TrainingLadder) -> list[str]:
    problems, key = [], f"training_ladders.{name}.steps"
    steps = kept_steps(config, name)
    ends = {model: n_steps_of(config, model) for model in ladder.models}
    shortest = min(ends, key=ends.__getitem__)
    first = steps[0] if isinstance(ladder.steps, list) else ladder.steps.first
    last = max([first, *steps])
    if last >= ends[shortest]:
        return [
            f"{key}: {last} is not before the end of the training of {shortest}, "
            f"{ends[shortest]} steps, which is looked at anyway"
        ]
    for model in ladder.models:
        checkpoints = config.models[model].checkpoints
        lacking = [step for step in steps if checkpoints and checkpoints.at(step) is None]
        if lacking:
            problems.append(f"{key}: models.{model}.checkpoints has no step {lacking[0]}")
    joined = max(len(rung.pair) for rung in training_rungs(config, name))
    if joined > MAX_JOINED:
        problems.append(
            f"{key}: the names of the models at a step, joined into a file name, have {joined} "
            f"characters; {MAX_JOINED} is the limit, so shorten the models' names"
        )
    return problems
