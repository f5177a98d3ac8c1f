"""A configuration from plain data or a YAML file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from rosetta.config.messages import describe_problems
from rosetta.config.read import check_extent, read_yaml
from rosetta.config.root import Config
from rosetta.errors import ConfigError


def parse_config(content: Any, origin: str = "config") -> Config:
    """Validate a configuration given as plain data.

    Raises
    ------
    ConfigError
        With one line per problem: the key, what is wrong with the value, and how to fix it.
    """
    if not isinstance(content, dict):
        raise ConfigError(
            f"{origin}: expected a mapping of settings, got {type(content).__name__}. "
            "Name a configuration, such as config.yaml."
        )
    check_extent(content, origin)
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        lines = [f"  {line}" for line in describe_problems(error.errors())]
        raise ConfigError("\n".join([f"{origin}: not a valid configuration.", *lines])) from None


def load_config(path: Path) -> Config:
    """Read and validate a YAML configuration.

    Raises
    ------
    ConfigError
        If the file cannot be read or is not a valid configuration.
    """
    return parse_config(read_yaml(path), str(path))


def dump_config(config: Config) -> str:
    """Return the complete configuration, defaults included, as YAML."""
    content = config.model_dump(mode="json")
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return text
