"""The commands that make texts, tokenizers and models, and capture activations."""

from __future__ import annotations

from typing import Annotated

import typer

from rosetta.cli.options import ConfigOption, ModelOption, open_run


def corpus(config: ConfigOption) -> None:
    """Build the corpus: harvest or read documents, deduplicate, split."""
    from rosetta.inputs.text.steps import corpus_step

    corpus_step(*open_run(config))


def tokenizer(
    config: ConfigOption, family: Annotated[str, typer.Option(help="name of a zoo family")]
) -> None:
    """Train the tokenizer of a zoo family."""
    from rosetta.models.steps import tokenizer_step

    tokenizer_step(*open_run(config), family)


def train(config: ConfigOption, model: ModelOption) -> None:
    """Train a zoo model, from its last checkpoint if there is one."""
    from rosetta.models.steps import train_step

    train_step(*open_run(config), model)


def model(config: ConfigOption, model: ModelOption) -> None:
    """Check a model end to end and write its manifest."""
    from rosetta.models.steps import model_step

    model_step(*open_run(config), model)


def activations(
    config: ConfigOption,
    model: ModelOption,
    shard: Annotated[int, typer.Option(help="number of the shard")],
) -> None:
    """Capture the activations of all layers of a model on one shard of the match split."""
    from rosetta.activations.steps import activations_step

    activations_step(*open_run(config), model, shard)


COMMANDS = (corpus, tokenizer, train, model, activations)
