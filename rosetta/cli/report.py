"""The commands that draw figures and write pages, and ask a language model for names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rosetta.cli.options import ConfigOption, open_run


def neuron_figures(config: ConfigOption) -> None:
    """Draw what Rosetta Neurons are like."""
    from rosetta.report.steps import neuron_figures_step

    neuron_figures_step(*open_run(config))


def figures(
    counts: Annotated[Path, typer.Option(help="table of counts")],
    scaling: Annotated[Path, typer.Option(help="table of fitted laws")],
    nulls: Annotated[Path, typer.Option(help="table of counts under the null models, by rung")],
    null_scaling: Annotated[Path, typer.Option(help="table of the laws of these counts")],
    thresholds: Annotated[
        Path, typer.Option(help="table of counts and exponents above thresholds of r")
    ],
    out: Annotated[Path, typer.Option(help="figure without its suffix; PNG and PDF are written")],
) -> None:
    """Draw the scaling law."""
    from rosetta.report.steps import figures_step

    figures_step(counts, scaling, nulls, null_scaling, thresholds, out)


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


COMMANDS = (neuron_figures, figures, annotate, viewer, report)
