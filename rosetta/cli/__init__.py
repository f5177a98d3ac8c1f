"""The `rosetta` command: one thin subcommand per step; each rule of the workflow calls one of
them.
"""

from rosetta.cli.app import main

__all__ = ["main"]
