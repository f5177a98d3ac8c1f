"""Whether the rungs of ladders compare what may be compared: models of matched scale, and base models."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from rosetta.config import Config
from rosetta.errors import ConfigError

# Parts of a model's name that tell of training after pretraining.
_POST_TRAINED = re.compile(
    r"(?:^|[-_./])(?:instruct|instruction|chat|it|iml|bloomz|sft|dpo|ppo|kto|orpo|grpo|rlhf|rlvr|thinking|assistant)"
    r"(?=$|[-_./])",
    re.IGNORECASE,
)


def check_scales(config: Config, neurons_of: Callable[[str], int | None]) -> None:
    """Check that the models of each rung are of matched scale.

    Parameters
    ----------
    config : Config
        The configuration.
    neurons_of : callable
        Returns a model's neuron count, the size x of the scaling law; None where it is not known.

    Raises
    ------
    ConfigError
        If the largest model of a rung has more than `max_scale_ratio` times the neurons of the smallest.
    """
    for ladder, rungs in config.ladders.items():
        for number, rung in enumerate(rungs):
            sizes = {model: size for model in rung if (size := neurons_of(model))}
            if not sizes:
                continue
            small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
            if sizes[large] > config.max_scale_ratio * sizes[small]:
                raise ConfigError(
                    f"ladders.{ladder}[{number}]: {large} has {sizes[large]:,} neurons and {small} {sizes[small]:,}; "
                    f"the models of a rung are of matched scale, within a factor of {config.max_scale_ratio:g} "
                    "(max_scale_ratio). Name models of like size, or raise it."
                )


def cautions(config: Config) -> list[str]:
    """Return a sentence for each model of a ladder whose name looks post-trained: ladders are meant for base models."""
    told = []
    for name in config.used_models():
        entry = config.models[name]
        source = entry.hub or (entry.path and Path(entry.path).name)
        found = next((text for text in (source, name) if text and _POST_TRAINED.search(text)), None)
        if source and found:
            told.append(
                f"models.{name}: {found} looks post-trained by its name. Ladders are meant for base models: further "
                "training changes neurons."
            )
    return told
