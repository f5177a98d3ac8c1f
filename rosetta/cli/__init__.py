"""The `rosetta` command: one thin subcommand per step."""

from rosetta.cli.app import main

__all__ = ["main"]
