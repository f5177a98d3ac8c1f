"""The command that does the work of several stages in one process."""

from __future__ import annotations

from typing import Annotated

import typer

from rosetta.cli.options import ConfigOption, open_run


def job(
    rule: Annotated[str, typer.Argument(help="a rule of the workflow, such as profile or pair")],
    config: ConfigOption,
    name: Annotated[str, typer.Argument(help="the model or pair that the job is on")] = "",
) -> None:
    """Do all that one model, or one pair, needs; what is there and current is kept."""
    from rosetta.jobs.steps import job_step

    job_step(*open_run(config), rule, name)


COMMANDS = (job,)
