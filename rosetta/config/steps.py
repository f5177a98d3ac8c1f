"""The step that documents the configuration."""

from __future__ import annotations

from rosetta.config import Config
from rosetta.config.documentation import render_reference


def config_reference_step() -> str:
    """Return the documentation of all configuration keys, docs/configuration.md."""
    return render_reference(Config)
