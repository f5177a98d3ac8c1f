"""Options that the commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rosetta.config import Config, load_config
from rosetta.errors import ConfigError
from rosetta.paths import Paths

ConfigOption = Annotated[Path, typer.Option("--config", help="a run's complete configuration, results/run_config.yaml")]
ModelOption = Annotated[str, typer.Option("--model", help="name of a model entry")]
OutOption = Annotated[Path, typer.Option("--out", help="file to write")]


def open_run(config: Path) -> tuple[Config, Paths]:
    """Return a run's configuration and the paths of its results."""
    loaded = load_config(config)
    return loaded, Paths(Path(loaded.results))


def parse_section(section: type, values: dict) -> object:
    """Validate command-line values against a section of the configuration model."""
    from pydantic import ValidationError

    try:
        return section.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        if not problem["loc"]:
            raise ConfigError(problem["msg"].removeprefix("Value error, ") + ".") from None
        option = "--" + str(problem["loc"][0]).replace("_", "-")
        raise ConfigError(f"{option}: {problem['msg']} (got {problem['input']!r})") from None
