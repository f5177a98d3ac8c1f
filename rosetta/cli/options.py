"""Options that the commands share."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from rosetta.config import Config, group_name, load_config
from rosetta.config.dask import all_cores
from rosetta.errors import ConfigError
from rosetta.run.paths import Paths
from rosetta.storage.digests import check_digest

ConfigOption = Annotated[
    Path, typer.Option("--config", help="a run's complete configuration, results/run_config.yaml")
]
ModelOption = Annotated[str, typer.Option("--model", help="name of a model entry")]
GroupOption = Annotated[
    str, typer.Option("--group", help="models of a rung joined by --, the anchor first")
]
ThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="cores to use; all of them if not given"),
]
PairOption = Annotated[str, typer.Option("--pair", help="names of two models, joined by --")]


def check_out(path: Path | None) -> Path | None:
    """Check, before any work, that a file can be written there.

    Raises
    ------
    ConfigError
        If it is a folder, or lies where none can be made.
    """
    if path is not None:
        parent = next(folder for folder in path.resolve().parents if folder.exists())
        if path.is_dir() or not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            raise ConfigError(
                f"--out: {path} is a folder, or nothing can be written in {parent}. Name "
                "another file."
            )
    return path


OutOption = Annotated[Path, typer.Option("--out", callback=check_out, help="file to write")]


def check_kept(inputs: Iterable[Path | None], **outputs: Path | None) -> None:
    """Check, before any work, that a command does not write over what it reads or writes.

    Parameters
    ----------
    inputs : iterable of Path or None
        The files that it reads; None where one is not given.
    **outputs : Path or None
        The files that it writes, by their options.

    Raises
    ------
    ConfigError
        If an output is one of the inputs, or of the other outputs.
    """
    taken = {path.resolve() for path in inputs if path}
    for option, path in outputs.items():
        if path and path.resolve() in taken:
            raise ConfigError(
                f"--{option}: {path} is a file that this command reads, or writes to, already. "
                "Name another file."
            )
        if path:
            taken.add(path.resolve())


def open_run(config: Path) -> tuple[Config, Paths]:
    """Return a run's configuration and the paths of its results.

    Raises
    ------
    RosettaError
        If the file is damaged, or not a configuration.
    """
    if config.exists():  # if not, `load_config` says so
        check_digest(config)
    loaded = load_config(config)
    return loaded, Paths(Path(loaded.results))


def cores_of(config: Config, threads: int | None) -> int:
    """Return the cores of a command on a pair: as asked; if not, as the section `dask` says, where
    `auto` stands for all of this machine.
    """
    chosen = config.dask.threads_per_worker != "auto"
    return threads or (config.dask.cores if chosen else all_cores())


def on_cores(config: Config, threads: int | None) -> Config:
    """Return a configuration whose correlations share the cores of a command (`cores_of`)."""
    dask = config.dask.on_cores(cores_of(config, threads))
    return config.model_copy(update={"dask": dask})


def option_of(key: str) -> str:
    """Return the option that gives a key of a section: `--screening: min_r` for `screening.min_r`,
    which is in JSON.
    """
    first, _, inner = key.partition(".")
    option = "--" + first.replace("_", "-")
    return f"{option}: {inner}" if inner else option


def parse_json(option: str, text: str) -> dict:
    """Return the JSON object that an option holds.

    Raises
    ------
    ConfigError
        If it holds something else.
    """
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ConfigError(f"{option}: not a JSON object: {text}")
    return values


def checked_pair(pair: str, pairs: Iterable[tuple[str, str]], at_steps: Iterable[str] = ()) -> str:
    """Return a pair's name, once it was found among those that a step is on: pairs of models, and
    names of pairs at a step of their training.

    Raises
    ------
    ConfigError
        If it is none of them.
    """
    known = [*map(group_name, pairs), *at_steps]
    if pair not in known:
        raise ConfigError(
            f"--pair: {pair!r} is not a pair of the run; there are {', '.join(known)}."
        )
    return pair
