"""The `rosetta` command: its commands by subject, and how their errors are printed."""

from __future__ import annotations

import os
import sys
from itertools import takewhile
from typing import Annotated

import typer

from rosetta.cli import (
    ablation,
    analysis,
    controls,
    emergence,
    filtering,
    instruments,
    interchange,
    jobs,
    matching,
    models,
    report,
    runs,
    sae,
)
from rosetta.cli.ablation import ablation_app
from rosetta.cli.atlas import atlas_app
from rosetta.cli.filtering import filtering_app
from rosetta.cli.stores import store_app
from rosetta.cli.theory import theory_app
from rosetta.errors import RosettaError, naming_files, without_secrets
from rosetta.extras import naming_extras
from rosetta.run.folders import maker
from rosetta.run.provenance import compare_with_run
from rosetta.storage.damage import knowing_results
from rosetta.storage.digests import also_checking, stamping

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find the neurons that independently trained networks share. Every step of the "
    "workflow is a command.",
)
for _module in (
    runs,
    jobs,
    models,
    matching,
    analysis,
    controls,
    instruments,
    emergence,
    sae,
    interchange,
    ablation,
    filtering,
    report,
):
    for _command in _module.COMMANDS:
        # `match_` and `config_reference` are typed `match` and `config-reference`.
        app.command(_command.__name__.rstrip("_").replace("_", "-"))(_command)
app.add_typer(store_app, name="store")
app.add_typer(theory_app, name="theory")
app.add_typer(filtering_app, name="filtering")
app.add_typer(atlas_app, name="atlas")
app.add_typer(ablation_app, name="ablation")


def _print_version(asked: bool) -> None:
    if asked:
        from rosetta import __version__  # read from the installed package

        print(f"rosetta {__version__}")
        raise typer.Exit


@app.callback()
def _job(
    context: typer.Context,
    made_by: Annotated[
        str | None, typer.Option(hidden=True, help="stamp of what the job writes")
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="print the version and exit"
        ),
    ] = False,
) -> None:
    """Stamp the results of a job of the workflow."""
    context.with_resource(stamping(made_by))


def main() -> None:
    """Run the command line; errors that a user can fix are printed as one message, exit code 2."""
    os.environ["MPLBACKEND"] = "Agg"  # figures go into files, whatever a notebook has set
    called = command_called(sys.argv[1:])
    try:
        with (
            naming_files(),
            naming_extras(called),
            also_checking(compare_with_run),
            knowing_results(maker),
        ):
            app()
    except RosettaError as error:
        message = f"rosetta: {without_secrets(str(error))}"
        try:
            print(message, file=sys.stderr)
        except OSError:  # the log is on the full disk
            print(message)
        sys.exit(2)


def command_called(words: list[str]) -> str:
    """Return the name of the command that the words of a command line call."""
    names = takewhile(lambda word: word.replace("-", "").isalpha() and word[0] != "-", words)
    return " ".join(["rosetta", *names])
