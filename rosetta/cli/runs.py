"""The commands about a run as a whole: before it, while it goes on, and once it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rosetta.cli.options import check_out, open_run
from rosetta.config import load_config


def check(
    configfile: Annotated[Path, typer.Option(help="configuration to check")] = Path("config.yaml"),
    out: Annotated[
        Path | None,
        typer.Option(callback=check_out, help="where to write it whole, defaults included"),
    ] = None,
) -> None:
    """Check a configuration and the files that it names; write it as the steps read it."""
    from rosetta.plan.steps import check_step

    check_step(load_config(configfile), out)
    print(f"{configfile}: valid")


def plan(
    configfile: Annotated[Path, typer.Option(help="configuration to plan")] = Path("config.yaml"),
    tflops: Annotated[
        float | None,
        typer.Option(min=1e-9, help="speed of a device; this machine's cores if not given"),
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="number of such devices")] = 1,
) -> None:
    """Print jobs, disk, memory, FLOPs and time of a configuration, without running it."""
    from rosetta.plan.steps import plan_step

    print(plan_step(*open_run(configfile), tflops, devices))


def pin(
    configfile: Annotated[Path, typer.Option(help="configuration to pin")],
    out: Annotated[
        Path | None, typer.Option(help="where to write it; printed if not given")
    ] = None,
) -> None:
    """Replace the revisions of hub models and datasets by commits that have safetensors."""
    from rosetta.models.steps import pin_step

    text = pin_step(configfile, out)
    if out is None:
        print(text, end="")


def status(
    results: Annotated[Path, typer.Argument(help="results folder of a run")] = Path("results"),
) -> None:
    """Show what of a run is done, running, missing or failed, its disk, and the time left."""
    from rosetta.run.steps import status_step

    print(status_step(results))


def verify(
    results: Annotated[
        Path, typer.Argument(help="results folder of a run, or of `rosetta filter`")
    ] = Path("results"),
) -> None:
    """Find all damaged files of a results folder; print the command that recomputes them."""
    from rosetta.run.steps import verify_step

    print(verify_step(results))


def config_reference() -> None:
    """Print the documentation of all configuration keys, docs/configuration.md."""
    from rosetta.config.steps import config_reference_step

    print(config_reference_step(), end="")


def results_reference() -> None:
    """Print what a run writes, docs/results.md."""
    from rosetta.run.steps import results_reference_step

    print(results_reference_step(), end="")


COMMANDS = (check, plan, pin, status, verify, config_reference, results_reference)
