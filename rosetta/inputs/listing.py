"""What lies below a folder of the user."""

from __future__ import annotations

import os
from pathlib import Path

from rosetta.errors import ConfigError


def listed(root: Path, key: str) -> list[Path]:
    """Return the files, folders and links below a folder in order of name, but for hidden ones.

    A link to a folder is listed and not followed: it may lead back to where it lies.

    Parameters
    ----------
    root : Path
        The folder.
    key : str
        The key of the configuration that names it, for messages.

    Raises
    ------
    ConfigError
        If a name is not UTF-8, so that no table could hold it.
    OSError
        If a folder cannot be read.
    """
    found = []
    for folder, folders, files in os.walk(root, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names = [*folders, *(name for name in files if not name.startswith("."))]
        found += [Path(folder, name) for name in names]
    for path in found:
        readable = os.fsencode(path).decode("utf-8", "backslashreplace")
        if readable != str(path):
            raise ConfigError(f"{key}: the name of {readable} is not UTF-8. Rename it.")
    return sorted(found)


def is_left_out(path: Path) -> bool:
    """Tell whether a listed path that is not read is worth a warning: all but plain folders."""
    return path.is_symlink() or not path.is_dir()


def _raise(error: OSError) -> None:
    raise error
