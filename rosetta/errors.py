"""Errors meant for the person at the keyboard.

Every one of them carries a single message that names what is wrong (a key, a file, a unit) and how
to fix it. The command line prints the message and exits with 2; nothing here is ever caught to be
ignored.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_FULL = (errno.ENOSPC, errno.EDQUOT)
# Variables of the environment whose values are nobody's business.
_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
_SHORTEST_SECRET = 6  # below, a value is a word that may stand anywhere


class RosettaError(Exception):
    """Base of all errors that a user can fix."""


class ConfigError(RosettaError):
    """A configuration that cannot be run."""


class CorpusError(RosettaError):
    """A text source that cannot be read or holds nothing usable."""


class ImageSourceError(RosettaError):
    """A source of images that cannot be read or holds nothing usable."""


class ModelError(RosettaError):
    """A model or tokenizer that is missing, unsupported or inconsistent."""


class StoreError(RosettaError):
    """A store, manifest or table that is missing, damaged, or does not fit the others."""


class PlanError(RosettaError):
    """A computation that does not fit the resources it was given."""


class DiskFullError(RosettaError):
    """A file that does not fit on its disk."""


class BusyError(RosettaError):
    """A folder in which another run is at work."""


class ClusterError(RosettaError):
    """A cluster that cannot be reached or started."""


class StageError(RosettaError):
    """A stage of the workflow without a record, or a record without a rule."""


class EndpointError(RosettaError):
    """A language model's endpoint that fails, or rejects the key, model or request."""


class MissingExtraError(RosettaError):
    """A package that is not installed, because it belongs to an extra of this distribution."""


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error came of a full disk or quota, also in a library's words."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    return any(
        (isinstance(link, OSError) and link.errno in _FULL)
        or any(os.strerror(code) in str(link) for code in _FULL)
        for link in chain
    )


@contextmanager
def naming_files() -> Iterator[None]:
    """Turn the system's refusal of a file into an error that names it.

    Raises
    ------
    RosettaError
        In place of an OSError that knows its file.
    """
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise DiskFullError(
                f"{error.filename or 'a log or temporary file'}: the disk is full "
                f"({error.strerror}). Free some space "
                "and run the same command again: what is finished is kept."
            ) from None
        if not error.filename:
            raise
        raise RosettaError(
            f"{error.filename}: {error.strerror}. Check the path, its rights and the disk."
        ) from None


@contextmanager
def renaming_keys(names: Mapping[str, str]) -> Iterator[None]:
    """Have errors name what the user gave, an argument or option, instead of a configuration key.

    Parameters
    ----------
    names : mapping of str to str
        By key as messages write it, such as `correlation.memory_gb`: what the user gave for it.

    Raises
    ------
    RosettaError
        The one that the block raises, with the other name.
    """
    try:
        yield
    except RosettaError as error:
        error.args = tuple(_renamed(arg, names) for arg in error.args)
        raise


def _renamed(said: object, names: Mapping[str, str]) -> object:
    if isinstance(said, str):
        for key, name in names.items():
            said = said.replace(key, name)
    return said


def without_secrets(text: str) -> str:
    """Return a message without keys of the environment and users in addresses."""
    text = re.sub(r"(?<=://)[^\s@]+@", "***@", text)
    for name, value in os.environ.items():
        if _SECRET.search(name.upper()) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "***")
    return text


def brief(error: BaseException) -> str:
    """Return the kind of a library's error and the beginning of what it says, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
