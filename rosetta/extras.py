"""Optional packages: which extra brings a package, and whether it is installed.

`pyproject.toml` holds the only table of extras. This module reads it from the installed metadata.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution, metadata

from rosetta.errors import MissingExtraError

DISTRIBUTION = "rosetta-neurons"
# Packages that are imported by another name than they are installed by, beyond "-" and "_".
_INSTALLED_AS = {"sklearn": "scikit-learn", "PIL": "pillow"}


def require_extra(extra: str, needed_by: str) -> None:
    """Check that all packages of an extra are installed.

    Parameters
    ----------
    extra : str
        Name of the extra, as in `pyproject.toml`.
    needed_by : str
        What needs it: a key of the configuration or a command, for the message.

    Raises
    ------
    MissingExtraError
        If a package is missing; the message has the command that installs it.
    """
    missing = sorted(name for name in _packages()[extra] if not is_installed(name))
    if missing:
        raise MissingExtraError(_message(needed_by, missing, extra))


@contextmanager
def naming_extras(needed_by: str) -> Iterator[None]:
    """Turn the import error of an optional package into an error that names its extra.

    Raises
    ------
    MissingExtraError
        In place of a ModuleNotFoundError of a package that an extra brings.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        # A missing part of an installed package has a dotted name. It is a fault of that package.
        name = _INSTALLED_AS.get(error.name or "", error.name or "").replace("_", "-").lower()
        extra = next((extra for extra, names in _packages().items() if name in names), None)
        if extra is None:
            raise
        raise MissingExtraError(_message(needed_by, [name], extra)) from error


def _packages() -> dict[str, set[str]]:
    """Return the names of the packages that each extra lists, without those of extras it
    includes.
    """
    from packaging.requirements import Requirement

    described = metadata(DISTRIBUTION)
    requirements = [Requirement(line) for line in described.get_all("Requires-Dist") or []]
    return {
        extra: {
            requirement.name.replace("_", "-").lower()
            for requirement in requirements
            if requirement.name != DISTRIBUTION
            and requirement.marker is not None
            and requirement.marker.evaluate({"extra": extra})
        }
        for extra in described.get_all("Provides-Extra") or []
    }


def is_installed(name: str) -> bool:
    """Return whether a package is installed, given the name it is installed by."""
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _message(needed_by: str, packages: list[str], extra: str) -> str:
    verb = "is" if len(packages) == 1 else "are"
    return (
        f"{needed_by} needs {', '.join(packages)}, which {verb} not installed. "
        f"Install the extra: pip install '{DISTRIBUTION}[{extra}]'."
    )
