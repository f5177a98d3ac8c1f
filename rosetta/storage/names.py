"""Names that files of every run have, and where the digest of a file lies."""

from __future__ import annotations

from pathlib import Path

RUN_CONFIG = "run_config.yaml"  # in the results folder of every run
USER_FILES = ".user_files.json"  # there, too: `rosetta.run.user_files`


def digest_path(path: Path) -> Path:
    """Return the path of a file's digest: a hidden file in `b2sum --check` format."""
    return path.with_name(f".{path.name}.digest")
