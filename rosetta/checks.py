"""Everything about a configuration that can be found wrong before the first job starts, without heavy imports."""

from __future__ import annotations

import os
from pathlib import Path

from rosetta.annotation.endpoint import check_endpoint
from rosetta.config import Config, EnvironmentSource, FilesSource
from rosetta.errors import ConfigError
from rosetta.models.folders import check_model_folder


def check_config(config: Config) -> None:
    """Check the files and folders that a valid configuration speaks of.

    Raises
    ------
    RosettaError
        With the key, the value and the mend: a results folder that cannot be written, a model folder that
        cannot be used, a corpus that is missing, empty or lacks a column, a domain without a category,
        an endpoint without its key.
    """
    _check_results(Path(config.results))
    for name in config.models:
        entry = config.models[name]
        if entry.path is not None:
            check_model_folder(Path(entry.path), f"models.{name}.path", config.activations.sequence_length)
    if isinstance(config.corpus.source, FilesSource):
        from rosetta.corpus.records import check_files  # needs pyarrow, so only when it is used

        check_files(config.corpus.source, config.corpus.min_document_bytes)
    if config.annotation:
        check_endpoint(config.annotation)
    if isinstance(config.corpus.source, EnvironmentSource) and config.specialization.categories is not None:
        from rosetta.analysis.specialization import categories_of  # needs pandas

        categories_of(list(config.corpus.source.domains), config.specialization.categories)


def _check_results(results: Path) -> None:
    existing = next(folder for folder in (results, *results.resolve().parents) if folder.exists())
    if not existing.is_dir():
        raise ConfigError(f"results: {existing} is not a folder. Name another folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"results: {results} cannot be written ({existing} is read-only). Name another folder.")
