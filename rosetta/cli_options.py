"""Options that the commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rosetta.config import Config, load_config
from rosetta.paths import Paths

ConfigOption = Annotated[Path, typer.Option("--config", help="a run's complete configuration, results/run_config.yaml")]
ModelOption = Annotated[str, typer.Option("--model", help="name of a model entry")]
OutOption = Annotated[Path, typer.Option("--out", help="file to write")]


def open_run(config: Path) -> tuple[Config, Paths]:
    """Return a run's configuration and the paths of its results."""
    loaded = load_config(config)
    return loaded, Paths(Path(loaded.results))
