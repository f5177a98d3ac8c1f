"""The commands that make texts, tokenizers and models, and capture activations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rosetta.cli.options import ConfigOption, ModelOption, ThreadsOption, open_run
from rosetta.config.dask import all_cores


def corpus(config: ConfigOption) -> None:
    """Build the corpus: harvest or read documents, deduplicate, split."""
    from rosetta.inputs.text.steps import corpus_step

    corpus_step(*open_run(config))


def images(config: ConfigOption) -> None:
    """Draw, find or read the images of a run, and split them."""
    from rosetta.inputs.images.steps import images_step

    images_step(*open_run(config))


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
    threads: ThreadsOption = None,
) -> None:
    """Capture the activations of all layers of a model on one shard of the match split.

    `--model vit-s@pmf-s` captures vit-s on images that pmf-s made; a generator makes its own.
    """
    from rosetta.activations.steps import activations_step

    activations_step(*open_run(config), model, shard, threads or all_cores())


def captured(config: ConfigOption, model: ModelOption) -> None:
    """Look over all stores of a model that sees images, once they are there."""
    from rosetta.activations.steps import captured_step

    captured_step(*open_run(config), model)


def convert_pmf(
    checkpoint: Annotated[Path, typer.Argument(help="published file, such as pMF-B-16.pt")],
    out: Annotated[Path, typer.Option(help="folder to write")],
    size: Annotated[Literal["B", "L", "H"], typer.Option(help="which model it is")],
) -> None:
    """Write a published pMF checkpoint as a folder of safetensors; runs no code of the file."""
    from rosetta.models.steps import convert_pmf_step

    convert_pmf_step(checkpoint, out, size)


def convert_eva(
    checkpoint: Annotated[Path, typer.Argument(help="published file, such as model.safetensors")],
    out: Annotated[Path, typer.Option(help="folder to write")],
) -> None:
    """Write the published vision tower of EVA-02-CLIP-E as a folder that can be loaded."""
    from rosetta.models.steps import convert_eva_step

    convert_eva_step(checkpoint, out)


COMMANDS = (
    corpus,
    images,
    tokenizer,
    train,
    model,
    activations,
    captured,
    convert_pmf,
    convert_eva,
)
