"""The commands that count, fit and describe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rosetta.cli.options import (
    ConfigOption,
    GroupOption,
    ModelOption,
    PairOption,
    check_kept,
    check_out,
    checked_pair,
    open_run,
)
from rosetta.errors import ConfigError


def counts(config: ConfigOption) -> None:
    """Count Rosetta Neurons per rung of every ladder, with intervals."""
    from rosetta.analysis.steps import counts_step

    counts_step(*open_run(config))


def fit(
    counts: Annotated[
        Path,
        typer.Argument(
            metavar="COUNTS.csv",
            help="columns ladder, n_neurons, matches; with `statistic`, each is fitted by itself",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(callback=check_out, help="CSV to write; printed if not given")
    ] = None,
    replicates: Annotated[
        Path | None, typer.Option(help="counts on half-samples of the documents")
    ] = None,
    controls: Annotated[Path | None, typer.Option(help="counts under the null models")] = None,
    pooled: Annotated[
        Path | None, typer.Option(help="CSV to write: one exponent for all ladders of pairs")
    ] = None,
    nulls: Annotated[
        Path | None, typer.Option(help="CSV to write: the exponents of --controls")
    ] = None,
    rungs: Annotated[
        Path | None, typer.Option(help="CSV to write: the mean counts of the rungs")
    ] = None,
    floors: Annotated[
        Path | None, typer.Option(help="CSV to write: the exponents above floors of r")
    ] = None,
) -> None:
    """Fit the power law |R| = c · x^α to every ladder of a table of counts."""
    from rosetta.analysis.steps import fit_step

    if nulls and not controls:
        raise ConfigError("--nulls: has no counts to fit; give --controls.")
    outputs = {"out": out, "pooled": pooled, "nulls": nulls, "rungs": rungs, "floors": floors}
    check_kept([counts, replicates, controls], **outputs)
    table = fit_step(counts, replicates, controls, **outputs)
    if out is None:
        print(table.to_string(index=False))


def vocabulary(config: ConfigOption, model: ModelOption) -> None:
    """Measure how few tokens each neuron of a model writes to: vocabulary kurtosis."""
    from rosetta.analysis.steps import vocabulary_step

    vocabulary_step(*open_run(config), model)


def neurons(config: ConfigOption, model: ModelOption) -> None:
    """Find each neuron's distribution, firing and top contexts, in one pass over a model."""
    from rosetta.analysis.steps import neurons_step

    neurons_step(*open_run(config), model)


def image_neurons(config: ConfigOption, model: ModelOption) -> None:
    """Find each neuron's distribution, firing, top images and what explains them, on images."""
    from rosetta.analysis.steps import image_neurons_step

    image_neurons_step(*open_run(config), model)


def partner_images(config: ConfigOption, pair: PairOption) -> None:
    """Find what matched neurons do on the top images of their partners."""
    from rosetta.analysis.steps import partner_images_step

    loaded, paths = open_run(config)
    partner_images_step(loaded, paths, checked_pair(pair, loaded.pairs("images")))


def image_excerpts(config: ConfigOption, group: GroupOption) -> None:
    """Collect what the viewer shows of a group of models that see images."""
    from rosetta.analysis.steps import image_excerpts_step

    image_excerpts_step(*open_run(config), group)


def place(config: ConfigOption, pair: PairOption) -> None:
    """Find how much of the r of matched neurons place in the image alone makes."""
    from rosetta.analysis.steps import place_step

    loaded, paths = open_run(config)
    place_step(loaded, paths, checked_pair(pair, loaded.pairs("images")))


def contexts(config: ConfigOption, group: GroupOption) -> None:
    """Read matched neurons' partners on their top contexts; collect what the viewer shows."""
    from rosetta.analysis.steps import contexts_step

    contexts_step(*open_run(config), group)


def describe(config: ConfigOption) -> None:
    """Compare Rosetta Neurons with the others: selectivity, specialisation, depth."""
    from rosetta.analysis.steps import describe_step

    describe_step(*open_run(config))


def findings(config: ConfigOption) -> None:
    """Tell whether the run supports each finding of the study."""
    from rosetta.analysis.steps import findings_step

    findings_step(*open_run(config))


def generated_images(config: ConfigOption) -> None:
    """Tell how good generators are, by a classifier of the run."""
    from rosetta.analysis.steps import generated_images_step

    generated_images_step(*open_run(config))


COMMANDS = (
    counts,
    fit,
    vocabulary,
    neurons,
    image_neurons,
    partner_images,
    image_excerpts,
    place,
    contexts,
    describe,
    findings,
    generated_images,
)
