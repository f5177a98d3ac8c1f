"""The commands on activation stores, of this or another program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

store_app = typer.Typer(
    no_args_is_help=True, help="Activation stores, of this or another program (docs/stores.md)."
)


@store_app.command()
def check(
    path: Annotated[Path, typer.Argument(help="a store's manifest, or a folder of shard stores")],
) -> None:
    """Check every byte and value of stores against docs/stores.md; print what they hold."""
    from rosetta.activations.steps import store_check_step

    for line in store_check_step(path):
        print(line)
