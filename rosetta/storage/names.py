"""Names that files of every run have, and where the digest of a file lies."""

from __future__ import annotations

from pathlib import Path

RUN_CONFIG = "run_config.yaml"  # in the results folder of every run


def digest_path(path: Path) -> Path:
    """Return where the digest of a file lies: a hidden file, in the format of `b2sum --check`, its
    stamp a comment.
    """
    return path.with_name(f".{path.name}.digest")
