"""The commands that exchange matches with the published code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rosetta.cli.options import OutOption, check_kept, open_run


def import_buddies(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.json", help="best_buddies.json of the published code")
    ],
    a: Annotated[str, typer.Option("--a", help="name of its model 1, the anchor")],
    b: Annotated[str, typer.Option("--b", help="name of its model 2")],
    out: OutOption,
    k: Annotated[
        int | None, typer.Option(min=1, help="keep ranks up to k; all if not given")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="a run's run_config.yaml with both models: are the neurons theirs?"),
    ] = None,
) -> None:
    """Turn a published best_buddies.json into matches, for `rosetta anchors` and analyses."""
    from rosetta.matching.steps import import_buddies_step

    check_kept([file, config], out=out)
    import_buddies_step(file, (a, b), out, k, open_run(config) if config else None)


def export(
    matches: Annotated[Path, typer.Argument(metavar="MATCHES.parquet", help="matches of one pair")],
    out: OutOption,
) -> None:
    """Write the matches of a pair as a best_buddies.json of the published code."""
    from rosetta.matching.steps import export_step

    check_kept([matches], out=out)
    export_step(matches, out)


COMMANDS = (import_buddies, export)
