"""Whether ladders compare what is comparable: one modality, matched scale, base models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import takewhile, zip_longest
from pathlib import Path

from rosetta.config.base import Modality
from rosetta.config.root import Config
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
        If the largest model of a rung has more than `max_scale_ratio` times the neurons of the
        smallest.
    """
    for ladder, rungs in config.ladders.items():
        for number, rung in enumerate(rungs):
            trained = [name for model in rung for name in config.replicates(model)]
            sizes = {model: size for model in trained if (size := neurons_of(model))}
            if not sizes:
                continue
            small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
            if sizes[large] > config.max_scale_ratio * sizes[small]:
                raise ConfigError(
                    f"ladders.{ladder}[{number}]: {large} has {sizes[large]:,} neurons and "
                    f"{small} {sizes[small]:,}; "
                    "the models of a rung are of matched scale, within a factor of "
                    f"{config.max_scale_ratio:g} "
                    "(max_scale_ratio). Name models of like size, or raise it."
                )


def check_modalities(config: Config, modality_of: Callable[[str], Modality | None]) -> None:
    """Check that every ladder has one modality.

    Parameters
    ----------
    config : Config
        The configuration.
    modality_of : callable
        Returns what a model sees; None where it is not known.

    Raises
    ------
    ConfigError
        If the models of a ladder see different things.
    """
    for ladder in config.ladders:
        ladder_modality(config, ladder, modality_of)


def ladder_modality(
    config: Config, ladder: str, modality_of: Callable[[str], Modality | None]
) -> Modality | None:
    """Return what the models of a ladder see; None where it is known of none of them.

    Raises
    ------
    ConfigError
        If they see different things; the message names the ladder and the models.
    """
    models: dict[Modality, list[str]] = {}
    named = dict.fromkeys(model for rung in config.ladders[ladder] for model in rung)
    for model in (name for first in named for name in config.replicates(first)):
        if modality := modality_of(model):
            models.setdefault(modality, []).append(model)
    if len(models) > 1:
        found = ", and ".join(
            f"{modality} ({', '.join(names)})" for modality, names in models.items()
        )
        raise ConfigError(
            f"ladders.{ladder}: its models see different things: {found}. Neurons are compared "
            "on what "
            "both models see, so give each modality a ladder of its own."
        )
    return next(iter(models), None)


def cautions(config: Config) -> list[str]:
    """Return what a run's author may have overlooked, a sentence each.

    Models of a ladder whose name looks post-trained, as ladders are meant for base models; and text
    that is set aside for trainings which there are none of.
    """
    told = _idle_text(config)
    for name in config.all_models():
        entry = config.entry(name)
        source = entry.hub or (entry.path and Path(entry.path).name)
        found = next((text for text in (source, name) if text and _POST_TRAINED.search(text)), None)
        if source and found:
            told.append(
                f"models.{name}: {found} looks post-trained by its name. Ladders are meant for "
                "base models: further "
                "training changes neurons."
            )
    return told


def _idle_text(config: Config) -> list[str]:
    match = config.corpus.splits.match
    read = "text" in config.modalities
    if not read or config.trained_models("text") or config.filtering or match >= 0.5:
        return []
    return [
        "corpus.splits: nothing is trained or filtered here, and models are compared on the "
        "match split alone, "
        f"which has {match:.0%} of the text. With match: 1.0 and train, pool and heldout: 0.0 "
        "it has all."
    ]


def common_name(models: Iterable[str]) -> str:
    """Return what the names of models begin with in common, or the first of them."""
    names = list(dict.fromkeys(models))
    shared = "".join(
        letters[0]
        for letters in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    )
    return shared.rstrip("-_.") or names[0]


def families_of(ladders: dict[str, list[list[str]]]) -> dict[str, str]:
    """Return the family of every model of the ladders, whatever the models are.

    The models that stand at one place of all rungs of a ladder are a family, and places that share
    a model are the same family. It has the name that its models begin with; where two families
    would share it, that of the first model.
    """
    families: list[list[str]] = []
    for rungs in ladders.values():
        for models in zip_longest(*rungs):  # rungs may differ in length
            place = [model for model in models if model is not None]
            joined = [family for family in families if set(family) & set(place)]
            families = [family for family in families if family not in joined]
            families.append(
                list(dict.fromkeys(model for family in (*joined, place) for model in family))
            )
    names = [common_name(family) for family in families]
    unique = [
        name if names.count(name) == 1 else family[0]
        for name, family in zip(names, families, strict=True)
    ]
    return {model: name for name, family in zip(unique, families, strict=True) for model in family}
