"""What `rosetta filter` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rosetta.config import FilesSource
from rosetta.config.filtering import FilterScoring, FilterSelection


@dataclass(frozen=True)
class FilterRequest:
    """What `rosetta filter` was asked for.

    Attributes
    ----------
    model, revision, neuron, dtype : str
        Folder or hub id, its revision, the neuron's name, the precision of the forward pass.
    pool : Path
        File or folder.
    text_column : str
        Column of the text.
    domain_column : str or None
        Column of a label.
    shard_bytes : float
        Size of the pool's files per shard.
    scoring : FilterScoring
        How a score is made.
    selection : FilterSelection
        How much is taken; one of its rules has to be given.
    whole_context : bool
        Lower the sequence length to the model's context if that is shorter.
    """

    model: str
    revision: str
    neuron: str
    dtype: str
    pool: Path
    text_column: str
    domain_column: str | None
    shard_bytes: float
    scoring: FilterScoring
    selection: FilterSelection
    whole_context: bool

    @property
    def source(self) -> FilesSource:
        """The pool as a source of texts."""
        columns = {"text": self.text_column, "domain": self.domain_column}
        return FilesSource(kind="files", path=str(self.pool), **columns)
