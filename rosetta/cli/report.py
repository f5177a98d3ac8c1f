"""The commands that draw figures and write pages, and ask a model for names and verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rosetta.cli.options import ConfigOption, OutOption, PairOption, checked_pair, open_run
from rosetta.errors import ConfigError


def neuron_figures(config: ConfigOption) -> None:
    """Draw what Rosetta Neurons are like."""
    from rosetta.report.steps import neuron_figures_step

    neuron_figures_step(*open_run(config))


def figures(config: ConfigOption) -> None:
    """Draw the scaling law."""
    from rosetta.report.steps import figures_step

    figures_step(*open_run(config))


def place_maps(config: ConfigOption) -> None:
    """Draw where place alone correlates matched neurons, and tabulate how much."""
    from rosetta.report.steps import place_maps_step

    place_maps_step(*open_run(config))


def contact_sheet(config: ConfigOption, pair: PairOption) -> None:
    """Draw the best matches of a pair of models that see images: images, and both neurons' maps."""
    from rosetta.report.steps import contact_sheet_step

    loaded, paths = open_run(config)
    contact_sheet_step(loaded, paths, checked_pair(pair, loaded.pairs("images")))


def contact_card(
    config: ConfigOption,
    stores: Annotated[str, typer.Option(help="name of a model's stores, such as vit-s@pmf-s")],
    layer: Annotated[int, typer.Option(help="the neuron's layer, from 0")],
    unit: Annotated[int, typer.Option(help="its unit there, from 0")],
    out: OutOption,
) -> None:
    """Draw a neuron on its top images: each image, its map, and both laid over each other."""
    from rosetta.models.neurons import Neuron
    from rosetta.report.steps import contact_card_step

    contact_card_step(*open_run(config), stores, Neuron(layer, unit), out)


def annotate(config: ConfigOption) -> None:
    """Ask a language model what neurons respond to; goes on where a run before stopped."""
    from rosetta.judging.steps import annotate_step

    annotate_step(*open_run(config))


def judge(config: ConfigOption) -> None:
    """Ask a model whether neurons are monosemantic; goes on where a run before stopped."""
    from rosetta.judging.steps import judge_step

    judge_step(*open_run(config))


def viewer(config: ConfigOption) -> None:
    """Write the self-contained neuron viewer."""
    from rosetta.report.steps import viewer_step

    viewer_step(*open_run(config))


def report(config: ConfigOption) -> None:
    """Write the self-contained report."""
    from rosetta.report.steps import report_step

    report_step(*open_run(config))


def view(
    places: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN | FILE.parquet ...",
            help="results folder of a run, results if not given; with --matches, files of matches",
        ),
    ] = None,
    matches: Annotated[
        bool, typer.Option("--matches", help="show tables of matches, such as imported ones")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="where to listen; 0: any port that is free"),
    ] = None,
    browser: Annotated[bool, typer.Option(help="whether to open a browser")] = True,
) -> None:
    """Show a run's viewer and report in the browser, served to this machine only."""
    from rosetta.report.steps import view_step

    if not places and matches:
        raise ConfigError("--matches: name at least one file of matches.")
    if len(places or []) > 1 and not matches:
        raise ConfigError("view: shows one run. Name one folder, or files with --matches.")
    shown = places or [Path("results")]
    view_step(shown, port, are_matches=matches, opens_browser=browser)


COMMANDS = (
    neuron_figures,
    figures,
    place_maps,
    contact_sheet,
    contact_card,
    annotate,
    judge,
    viewer,
    report,
    view,
)
