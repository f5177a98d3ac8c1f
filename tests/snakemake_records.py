"""What Snakemake has recorded of its jobs in a project folder's `.snakemake`."""

import os
from base64 import urlsafe_b64decode
from pathlib import Path


def recorded(folder: Path, kind: str) -> dict[str, Path]:
    """Return the outputs that Snakemake has a record of, each with the record's file.

    `kind` is "metadata" (of outputs that were made) or "incomplete" (of outputs whose job was
    started and is not known to have ended). A record's name is the output's path in base 64, cut
    into folders where it is too long.
    """
    root = folder / ".snakemake" / kind
    records = [Path(at) / name for at, _, names in os.walk(root) for name in names]
    return {_output_of(record.relative_to(root)): record for record in records}


def _output_of(name: Path) -> str:
    return urlsafe_b64decode("".join(part.removeprefix("@") for part in name.parts)).decode()
