"""Pinning: hub revisions in a configuration become commits; the rest stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from rosetta.config import HubSource, load_config
from rosetta.config.models import ModelEntry
from rosetta.config.training_ladders import steps_of_model
from rosetta.errors import ConfigError
from rosetta.models.hub import PIPELINE_WEIGHTS, WEIGHTS, Pin, pin_dataset, pin_model
from rosetta.progress import say

Keys = tuple[str, ...]


def pin_text(path: Path, api: Any) -> str:
    """Return a configuration's text with every hub revision replaced by its commit.

    Only the values of the keys `revision` and `revisions` change: comments, order and layout stay.
    A pattern in `checkpoints.revisions` becomes a mapping of the steps that training ladders look
    at. What the user should know of a commit is said on the way.

    Parameters
    ----------
    path : Path
        The configuration.
    api : HfApi
        The hub.

    Raises
    ------
    ConfigError
        If it is no valid configuration, a hub dataset of it has no revision to replace, or a
        revision stands at an anchor.
    ModelError
        If the hub does not tell the commit, or a model has no safetensors there.
    """
    config = load_config(path)
    edits = _Edits(path.read_text(encoding="utf-8"))
    for name, entry in config.models.items():
        if entry.hub:
            _pin_entry(edits, api, name, entry, steps_of_model(config, name))
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
            found = pin_dataset(api, source.id, source.revision, place)
            edits.replace((*keys, "revision"), _said(place, found))
    return edits.text


def _pin_entry(edits: _Edits, api: Any, name: str, entry: ModelEntry, steps: list[int]) -> None:
    """Pin a hub model, and those steps of its training that are listed or that ladders look at."""
    weights = PIPELINE_WEIGHTS if entry.pipeline else WEIGHTS

    def commit(revision: str | None, place: str) -> str:
        assert entry.hub is not None, "only models of the hub are pinned"
        assert revision is not None, "the configuration is checked for it"
        return _said(place, pin_model(api, entry.hub, revision, place, weights))

    edits.replace(("models", name, "revision"), commit(entry.revision, f"models.{name}"))
    checkpoints = entry.checkpoints
    if checkpoints is None:
        return
    keys = ("models", name, "checkpoints", "revisions")
    place, listed = ".".join(keys), checkpoints.revisions
    wanted = list(listed) if isinstance(listed, dict) else steps
    commits = {step: commit(checkpoints.at(step), f"{place}.{step}") for step in wanted}
    if isinstance(listed, dict):
        edits.replace_values(keys, list(commits.values()))
    elif commits:
        edits.write_out(keys, commits)
    else:
        say(f"{place}: stays as it is, because no training ladder looks at a step")


def _said(place: str, pin: Pin) -> str:
    """Say what a revision is pinned to, and return the commit."""
    say(f"{place}: {pin.commit}{' (' + pin.note + ')' if pin.note else ''}")
    return pin.commit


class _Edits:
    """Values of a YAML text that are replaced, each found by the keys that lead to it.

    Parameters
    ----------
    text : str
        A mapping in YAML.
    """

    def __init__(self, text: str) -> None:
        self._text, self._root = text, yaml.compose(text)
        self._written: dict[tuple[int, int], str] = {}

    def replace(self, keys: Keys, value: str) -> None:
        """Replace the value of a key."""
        self._write(keys, self._node(keys), value)

    def replace_values(self, keys: Keys, values: list[str]) -> None:
        """Replace the values of a mapping, in its order."""
        nodes = [node for _, node in self._node(keys).value]
        # One of them is a mapping where an anchor's is merged in.
        if len(nodes) != len(values) or not all(isinstance(n, yaml.ScalarNode) for n in nodes):
            raise _unclear(keys)
        for node, value in zip(nodes, values, strict=True):
            self._write(keys, node, value)

    def write_out(self, keys: Keys, values: dict[int, str]) -> None:
        """Put a mapping in the place of the value of a key, a line per value."""
        node = self._node(keys)
        line = self._text[self._text.rfind("\n", 0, node.start_mark.index) + 1 :]
        indent = " " * (len(line) - len(line.lstrip(" ")) + 2)
        lines = ",\n".join(f"{indent}{key}: {value}" for key, value in values.items())
        self._write(keys, node, f"{{\n{lines}}}")

    @property
    def text(self) -> str:
        """The text with all values replaced."""
        text = self._text
        for (start, end), value in sorted(self._written.items(), reverse=True):
            text = f"{text[:start]}{value}{text[end:]}"
        return text

    def _write(self, keys: Keys, node: Any, value: str) -> None:
        start, end = node.start_mark.index, node.end_mark.index
        at_anchor = self._text[start] == "&"
        if at_anchor or self._written.setdefault((start, end), value) != value:
            raise _unclear(keys)

    def _node(self, keys: Keys) -> Any:
        """Return the YAML node that lies under nested keys."""
        node = self._root
        for key in keys:
            found = [value for name, value in node.value if name.value == key]
            if not found:  # it is there, so an anchor's mapping is merged in (<<)
                raise _unclear(keys)
            node = found[0]
        return node


def _unclear(keys: Keys) -> ConfigError:
    return ConfigError(
        f"{'.'.join(keys)}: stands at an anchor (&), and other keys may mean it as well. Write out "
        "what the anchor stands for."
    )
