"""YAML that means what it seems to: no key twice, no anchors that unfold without end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from rosetta.errors import ConfigError

MAX_VALUES = 100_000


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which alone would take the last of two equal keys and say nothing."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name in seen:
                line = key.start_mark.line + 1
                raise ConfigError(
                    f"line {line}: the key {key.value!r} is given twice in one mapping. Remove one."
                )
            if name:
                seen.add(name)
        return node


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not YAML, or gives a key twice.
    """
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)  # a safe loader
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{path}: cannot read the configuration ({why}). Name one, such as config.yaml."
        ) from None
    except yaml.YAMLError as error:
        why = " ".join(str(error).split())
        raise ConfigError(
            f"{path}: not YAML: {why}. Correct it, or name a configuration."
        ) from None
    except (RecursionError, ValueError) as error:  # nested thousands deep; a date that is none
        raise ConfigError(
            f"{path}: not a configuration ({type(error).__name__}: {error}). Correct it."
        ) from None


def check_extent(content: Any, origin: str) -> None:
    """Check that a configuration is not endless, as a few YAML anchors can make it.

    Raises
    ------
    ConfigError
        If it holds more than `MAX_VALUES` values.
    """
    for number, _ in enumerate(_values(content)):
        if number == MAX_VALUES:
            raise ConfigError(
                f"{origin}: holds more than {MAX_VALUES:,} values, or refers to itself. Write "
                "out what its anchors (&) "
                "stand for."
            )


def _values(content: Any) -> Iterator[Any]:
    waiting = [content]
    while waiting:
        value = waiting.pop()
        yield value
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
