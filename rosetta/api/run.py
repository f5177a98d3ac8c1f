"""A finished run as a value: its configuration, and its results as data frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from rosetta.analysis.columns import CONTEXT_COLUMNS, NEURON_COLUMNS, VOCABULARY_COLUMNS
from rosetta.analysis.counts import COUNT_COLUMNS, model_shape
from rosetta.analysis.scaling import POOLED_COLUMNS, SCALING_COLUMNS
from rosetta.analysis.verdicts import FINDING_COLUMNS
from rosetta.config import Config, group_name, load_config
from rosetta.correlation.neighbor_tables import NeighborLists, read_lists
from rosetta.errors import ConfigError, StoreError, naming_files
from rosetta.inputs.text.build import read_split
from rosetta.inputs.text.documents import CONTEXT_BYTES, around
from rosetta.matching.mutual import MATCH_COLUMNS, ROSETTA_COLUMNS
from rosetta.models.neurons import parse_neuron
from rosetta.run.paths import Paths
from rosetta.run.provenance import compare_with_run
from rosetta.storage.digests import also_checking, check_digest
from rosetta.storage.names import RUN_CONFIG
from rosetta.storage.tables import check_table, read_csv, read_parquet

if TYPE_CHECKING:
    from rosetta.api.store import ModelStore


def open_run(folder: str | Path) -> Run:
    """Open the results folder of a run, finished or not, for reading.

    Parameters
    ----------
    folder : str or Path
        The folder that the configuration calls `results`.

    Returns
    -------
    Run

    Raises
    ------
    ConfigError
        If no run has begun there.
    StoreError
        If its configuration is damaged.
    """
    folder = Path(folder)
    path = Paths(folder).run_config
    if not path.is_file():
        raise ConfigError(f"{folder}: {_no_run(folder)}")
    with naming_files():
        check_digest(path)
        return Run(load_config(path), Paths(folder))


def _no_run(folder: Path) -> str:
    if not folder.is_dir():
        return "no such folder. Name the results folder of a run."
    inside = sorted(path.parent for path in folder.glob(f"*/{RUN_CONFIG}"))
    there = f"; {inside[0]} has one" if inside else ""
    return (
        f"has no {RUN_CONFIG}, so it is not the results folder of a run{there}. Name that of "
        "a run that has begun."
    )


@dataclass(frozen=True, repr=False)
class Run:
    """The results of a run.

    Each file is compared with its digest, and with the configuration that lies in the folder,
    before it is read. A result that an unfinished run has not made yet raises a StoreError that
    names its file.

    Attributes
    ----------
    config : Config
        The complete configuration.
    paths : Paths
        Where everything lies.
    """

    config: Config
    paths: Paths

    def __repr__(self) -> str:
        models, ladders = ", ".join(self.models), ", ".join(self.config.ladders)
        return f"Run({str(self.paths.root)!r}): {models}; ladders {ladders}"

    @property
    def models(self) -> list[str]:
        """The models that ladders name."""
        return self.config.used_models()

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The (anchor, other) pairs that were matched."""
        return self.config.pairs()

    @property
    def groups(self) -> list[str]:
        """The groups that have Rosetta Neurons: models joined by `--`, the anchor first."""
        return [group_name(group) for group in self.config.groups()]

    @property
    def counts(self) -> pd.DataFrame:
        """Rosetta Neurons per rung of each ladder (`rosetta.analysis.counts.count_table`)."""
        return self._csv("counts", COUNT_COLUMNS)

    @property
    def scaling(self) -> pd.DataFrame:
        """The fitted law of each ladder (`rosetta.analysis.scaling.scaling_table`)."""
        return self._csv("scaling", SCALING_COLUMNS)

    @property
    def scaling_pooled(self) -> pd.DataFrame:
        """One exponent for all ladders of pairs (`rosetta.analysis.scaling.pooled_table`)."""
        return self._csv("scaling_pooled", POOLED_COLUMNS)

    @property
    def findings(self) -> pd.DataFrame:
        """Whether the run supports each finding of the study (`rosetta.analysis.findings`)."""
        return self._csv("findings", FINDING_COLUMNS)

    def table(self, name: str) -> pd.DataFrame:
        """Return one of the tables under `tables/`, by its file name without the suffix.

        Raises
        ------
        ConfigError
            If there is none of this name; the message lists those that there are.
        """
        there = sorted(path.stem for path in self.paths.table("x").parent.glob("*.csv"))
        if name not in there:
            raise ConfigError(
                f"{self.paths.root}: has no table {name!r}; it has "
                f"{', '.join(there) or 'none'}. {self._unfinished}"
            )
        return self._csv(name, [])

    def matches(self, a: str, b: str) -> pd.DataFrame:
        """Return a pair's matches: both neurons, r with its interval, ranks, margins, p-values.

        Parameters
        ----------
        a, b : str
            The pair's anchor and its other model, as `pairs` has them.
        """
        return self._parquet(self.paths.matches(self._pair(a, b)), MATCH_COLUMNS)

    def neighbors(self, a: str, b: str) -> NeighborLists:
        """Return a pair's neighbour lists, of which `rosetta.match` makes matches for any k."""
        pair, n_jobs = self._pair(a, b), self.config.correlation.n_jobs
        parts = [self._made(self.paths.neighbors_part(pair, job, n_jobs)) for job in range(n_jobs)]
        with _checked():
            return NeighborLists(*read_lists(parts))

    def rosetta_neurons(self, group: str | Sequence[str]) -> pd.DataFrame:
        """Return the Rosetta Neurons of a group, by its name or its models, the anchor first."""
        name = group if isinstance(group, str) else group_name(tuple(group))
        if name not in self.groups:
            raise ConfigError(
                f"{self.paths.root}: has no group {name!r}; it has {', '.join(self.groups)}."
            )
        return self._parquet(self.paths.rosetta(name), ROSETTA_COLUMNS)

    def neurons(self, model: str) -> pd.DataFrame:
        """Return statistics of a model's neurons: moments, when each fires, on which domains."""
        return self._parquet(self.paths.neurons(self._model(model)), NEURON_COLUMNS)

    def vocabulary(self, model: str) -> pd.DataFrame:
        """Return the vocabulary kurtosis of a model's neurons (`rosetta.vocabulary_kurtosis`)."""
        return self._parquet(self.paths.vocabulary(self._model(model)), VOCABULARY_COLUMNS)

    def contexts(self, model: str, neuron: str | None = None) -> pd.DataFrame:
        """Return where a model's neurons read highest: a row per neuron and document, best first.

        Parameters
        ----------
        model : str
            A model.
        neuron : str, optional
            A neuron like `L3/U12`; those of all neurons if not given.

        Returns
        -------
        DataFrame
            `layer`, `unit`, `rank`, `document`, `domain`, `byte_start`, `byte_end`, `value`; of one
            neuron also the text: `before`, `token`, `after`.

        Raises
        ------
        ModelError
            If the model has no such neuron.
        """
        contexts = self._parquet(self.paths.contexts(self._model(model)), CONTEXT_COLUMNS)
        if neuron is None:
            return contexts
        layer, unit = parse_neuron(neuron, model_shape(self.paths, model), model)
        mine = contexts[(contexts["layer"] == layer) & (contexts["unit"] == unit)].reset_index(
            drop=True
        )
        return mine.assign(**self._texts_at(mine))

    def _texts_at(self, contexts: pd.DataFrame) -> dict[str, list[str]]:
        """Return what stands before, at and after each context."""
        with _checked():
            documents = read_split(self.paths, "match", self.config.activations.max_documents)
        texts = dict(zip(documents["id"], documents["text"], strict=True))
        places = zip(
            contexts["document"], contexts["byte_start"], contexts["byte_end"], strict=True
        )
        shown = [
            around(texts[document], start, end, CONTEXT_BYTES) for document, start, end in places
        ]
        parts = ("before", "token", "after")
        return {name: [row[i] for row in shown] for i, name in enumerate(parts)}

    def store(self, model: str) -> ModelStore:
        """Return the activations of a model, which are read only where they are asked for.

        Raises
        ------
        StoreError
            If they were deleted once they were used, as with `activations.keep: false`.
        """
        from rosetta.api.store import ModelStore

        folder = self.paths.stores(self._model(model), self.config.activations.n_shards)
        self._made(folder)
        with _checked():
            return ModelStore(folder)

    def _model(self, name: str) -> str:
        if name not in self.models:
            raise ConfigError(
                f"{self.paths.root}: has no model {name!r}; it has {', '.join(self.models)}."
            )
        return name

    def _pair(self, a: str, b: str) -> str:
        if (a, b) not in self.pairs:
            there = ", ".join(f"({first}, {second})" for first, second in self.pairs)
            raise ConfigError(f"{self.paths.root}: has no pair ({a}, {b}); it has {there}.")
        return group_name((a, b))

    def _csv(self, name: str, columns: list[str]) -> pd.DataFrame:
        path = self._made(self.paths.table(name))
        with _checked():
            return read_csv(path, columns)

    def _parquet(self, path: Path, columns: list[str]) -> pd.DataFrame:
        self._made(path)
        with _checked():
            table = read_parquet(path)
        check_table(table, str(path), columns)
        return table

    def _made(self, path: Path) -> Path:
        if not path.exists():
            raise StoreError(f"{path}: is not there. {self._unfinished}")
        return path

    @property
    def _unfinished(self) -> str:
        return (
            f"`rosetta status {self.paths.root}` tells what of the run is missing; the command "
            "that "
            "started it makes that and nothing else."
        )


@contextmanager
def _checked() -> Iterator[None]:
    """Compare files with their run's configuration, too, and name them in the system's errors."""
    with naming_files(), also_checking(compare_with_run):
        yield
