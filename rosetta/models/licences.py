"""What is said of the licence of a model: in its folder, or in its card on the hub."""

from __future__ import annotations

from pathlib import Path

import yaml
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from huggingface_hub.repocard import metadata_load

from rosetta.models.hub import UNANSWERED
from rosetta.models.sources import ModelSource

NOT_STATED = "not stated"
_CARD = "README.md"
_FILES = ("LICENSE", "LICENCE", "LICENSE.txt", "LICENCE.txt", "LICENSE.md", "LICENCE.md", "COPYING")
_MAX_CARD_BYTES, _MAX_CHARACTERS = 2**20, 100


def licence_of(source: ModelSource, trained_here: bool) -> str:
    """Return in words under which licence a model lies.

    Of a local folder it is what the front matter of `README.md` says or, without that, the first
    line of a licence file; of a hub model what its card says. Nothing of this is checked.
    """
    if trained_here:
        return "trained here"
    if source.untrained_seed is not None:
        return "random weights, made here"
    if source.revision is not None:
        return _of_hub(source.location, source.revision)
    folder = Path(source.location)
    stated = _of_card(folder / _CARD) if (folder / _CARD).is_file() else NOT_STATED
    return _of_file(folder) if stated == NOT_STATED else stated


def _of_hub(model: str, revision: str) -> str:
    try:
        return _of_card(Path(hf_hub_download(model, _CARD, revision=revision)))
    except LocalEntryNotFoundError:
        return "not known: the hub did not answer"
    except EntryNotFoundError:
        return NOT_STATED
    except UNANSWERED:
        return "not known: the hub did not answer"


def _of_card(path: Path) -> str:
    try:
        content = (metadata_load(path) or {}) if path.stat().st_size <= _MAX_CARD_BYTES else None
    except (yaml.YAMLError, ValueError, RecursionError):
        content = None
    if content is None:
        return f"not known: {_CARD} cannot be read"
    licence, name = content.get("license"), content.get("license_name")
    names = licence if isinstance(licence, list) else [licence]
    stated = ", ".join(str(one) for one in names if isinstance(one, str) and one.strip())
    return _short(f"{stated} ({name})" if stated and isinstance(name, str) else stated)


def _of_file(folder: Path) -> str:
    for path in (folder / name for name in _FILES):
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace") as file:
                lines = file.read(_MAX_CARD_BYTES).splitlines()
            first = next((line.strip(" #\t") for line in lines if line.strip(" #\t")), "")
            return _short(f"{path.name}: {first}" if first else "")
    return NOT_STATED


def _short(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not line:
        return NOT_STATED
    return line if len(line) <= _MAX_CHARACTERS else line[:_MAX_CHARACTERS] + "…"
