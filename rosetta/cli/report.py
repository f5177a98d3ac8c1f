"""The commands that draw figures and write pages, and ask a model for names and verdicts."""

from __future__ import annotations

from typing import Annotated

import typer

from rosetta.cli.options import ConfigOption, OutOption, PairOption, checked_pair, open_run


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
)
