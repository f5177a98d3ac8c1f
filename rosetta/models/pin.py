"""Pinning: hub revisions in a configuration become commits; the rest stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from rosetta.config import HubSource, load_config
from rosetta.errors import ConfigError
from rosetta.models.hub import PIPELINE_WEIGHTS, WEIGHTS, Pin, pin_dataset, pin_model
from rosetta.progress import say


def pin_text(path: Path, api: Any) -> str:
    """Return a configuration's text with every hub revision replaced by its commit.

    Only the values of the keys `revision` change: comments, order and layout stay. What the user
    should know of a commit is said on the way.

    Parameters
    ----------
    path : Path
        The configuration.
    api : HfApi
        The hub.

    Raises
    ------
    ConfigError
        If it is no valid configuration, or a hub dataset of it has no revision to replace.
    ModelError
        If the hub does not tell the commit, or a model has no safetensors there.
    """
    config = load_config(path)
    text = path.read_text(encoding="utf-8")
    root = yaml.compose(text)
    commits: dict[tuple[int, int], str] = {}

    def replace(keys: tuple[str, ...], pin: Pin) -> None:
        node = _node(root, (*keys, "revision"))
        commits[node.start_mark.index, node.end_mark.index] = pin.commit
        say(f"{'.'.join(keys)}: {pin.commit}{' (' + pin.note + ')' if pin.note else ''}")

    for name, entry in config.models.items():
        if entry.hub and entry.revision:
            weights = PIPELINE_WEIGHTS if entry.pipeline else WEIGHTS
            found = pin_model(api, entry.hub, entry.revision, f"models.{name}", weights)
            replace(("models", name), found)
    pool = config.filtering.pool.source if config.filtering else None
    for keys, source in (
        (("corpus", "source"), config.corpus.source),
        (("filtering", "pool", "source"), pool),
    ):
        if isinstance(source, HubSource):
            place = ".".join(keys)
            if source.revision is None:
                raise ConfigError(
                    f"{place}.revision: is missing. Add it, for example `revision: main`."
                )
            replace(keys, pin_dataset(api, source.id, source.revision, place))
    for (start, end), commit in sorted(commits.items(), reverse=True):
        text = f"{text[:start]}{commit}{text[end:]}"
    return text


def _node(root: Any, keys: tuple[str, ...]) -> Any:
    """Return the YAML node that lies under nested keys."""
    for key in keys:
        root = next(value for name, value in root.value if name.value == key)
    return root
