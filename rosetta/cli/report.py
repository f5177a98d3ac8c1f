"""The commands that draw figures and write pages, and ask a language model for names."""

from __future__ import annotations

from rosetta.cli.options import ConfigOption, PairOption, checked_pair, open_run


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


def annotate(config: ConfigOption) -> None:
    """Ask a language model what neurons respond to; goes on where a run before stopped."""
    from rosetta.judging.steps import annotate_step

    annotate_step(*open_run(config))


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
    annotate,
    viewer,
    report,
)
