"""What `rosetta ablate` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rosetta.config import Config, FilesSource
from rosetta.config.ablation import AblationSettings
from rosetta.config.training_ladders import step_models
from rosetta.run.paths import Paths


@dataclass(frozen=True)
class AblationRequest:
    """What `rosetta ablate` was asked for.

    Attributes
    ----------
    model : str
        Name of a model of the run, folder or hub id.
    revision, dtype : str
        Of another model: its revision on the hub, the precision of its pass.
    neurons : Path
        CSV with the columns layer and unit.
    texts : Path or None
        File or folder of documents; None for the held-out samples of a run.
    run : (Config, Paths) or None
        The run.
    text_column : str
        Column of the text.
    domain_column : str or None
        Column of a label.
    settings : AblationSettings
        Method and draws.
    sequence_length : int or None
        Tokens of a document that are read; None for those that a run reads, or the model's context.
    batch_size : int
        Documents or images per forward pass.
    given : frozenset of str
        The options that a user gave, of those that do not apply to every model.
    """

    model: str
    revision: str
    dtype: str
    neurons: Path
    texts: Path | None
    run: tuple[Config, Paths] | None
    text_column: str
    domain_column: str | None
    settings: AblationSettings
    sequence_length: int | None
    batch_size: int
    given: frozenset[str] = frozenset()

    @property
    def of_run(self) -> bool:
        """Whether the model is one of the run: an entry, a training of one, or a step of it."""
        if self.run is None:
            return False
        config, _ = self.run
        return self.model in {*config.models, *config.all_models(), *step_models(config)}

    @property
    def source(self) -> FilesSource:
        """The documents as a source of texts."""
        columns = {"text": self.text_column, "domain": self.domain_column}
        return FilesSource(kind="files", path=str(self.texts), **columns)
