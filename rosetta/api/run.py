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
from rosetta.api.arguments import as_one_of, as_path, as_text
from rosetta.config import PAIR_SEPARATOR, Config, group_name, load_config
from rosetta.config.training_ladders import step_models, step_pairs
from rosetta.correlation.neighbor_tables import NeighborLists, read_lists
from rosetta.errors import ConfigError, StoreError, naming_files
from rosetta.inputs.text.build import read_split
from rosetta.inputs.text.documents import CONTEXT_BYTES, around
from rosetta.matching.mutual import MATCH_COLUMNS, ROSETTA_COLUMNS
from rosetta.models.neurons import parse_neuron
from rosetta.run.folders import maker, run_config_in
from rosetta.run.paths import Paths
from rosetta.run.provenance import compare_with_run
from rosetta.run.stages import table_names
from rosetta.storage.damage import knowing_results
from rosetta.storage.digests import also_checking, check_digest
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
        If it is not a folder, or no run has begun there.
    StoreError
        If its configuration is damaged.
    """
    with naming_files():
        path = run_config_in(as_path("folder", folder))
        check_digest(path)
        return Run(load_config(path), Paths(path.parent))


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
        """Return one of the tables under `tables/`.

        Parameters
        ----------
        name : str
            Its file name without the suffix, such as `counts`; docs/results.md lists all tables.

        Returns
        -------
        DataFrame
            The table as it is in the file.

        Raises
        ------
        ConfigError
            If there is none of this name; the message lists those that there are.
        StoreError
            If it is not made yet, damaged, or of another configuration.
        """
        there = sorted(path.stem for path in self.paths.table("x").parent.glob("*.csv"))
        if name not in table_names(self.config):  # one of these is there, or not made yet
            as_one_of("name", name, there, str(self.paths.root), "table")
        return self._csv(name, [])

    def matches(self, a: str, b: str) -> pd.DataFrame:
        """Return a pair's matches: both neurons, r with its interval, ranks, margins, p-values.

        Parameters
        ----------
        a, b : str
            The pair's anchor and its other model: as `pairs` has them, further trainings of these
            (`pythia-64~2`), or both at a step of their training (`pythia-64~step-40`).

        Returns
        -------
        DataFrame
            One row per match: the columns of `rosetta.match`; `r_ci_low` and `r_ci_high`, the 95%
            interval of r; `p_permutation`, `p_documents` and `p_untrained`, the p-value under each
            null model. NaN where the run has no such control.

        Raises
        ------
        ConfigError
            If the run has no such pair; the message lists its pairs.
        StoreError
            If the matches are not made yet, damaged, or of another configuration.
        """
        return self._parquet(self.paths.matches(self._pair(a, b)), MATCH_COLUMNS)

    def neighbors(self, a: str, b: str) -> NeighborLists:
        """Return a pair's neighbour lists, of which `rosetta.match` makes matches for any k.

        Parameters
        ----------
        a, b : str
            The pair's anchor and its other model, as in `matches`.

        Returns
        -------
        NeighborLists
            With `correlation.max_k` neighbours of each neuron, of all jobs of the pair.

        Raises
        ------
        ConfigError
            If the run has no such pair; the message lists its pairs.
        StoreError
            If a job's lists are not made yet, damaged, or of another configuration.
        """
        pair, n_jobs = self._pair(a, b), self.config.correlation.n_jobs
        parts = [self._made(self.paths.neighbors_part(pair, job, n_jobs)) for job in range(n_jobs)]
        with _checked():
            return NeighborLists(*read_lists(parts))

    def rosetta_neurons(self, group: str | Sequence[str]) -> pd.DataFrame:
        """Return the Rosetta Neurons of a group of models.

        Parameters
        ----------
        group : str or sequence of str
            The group's name, as `groups` has it, or its models, the anchor first.

        Returns
        -------
        DataFrame
            One row per anchor neuron and partner: `model_anchor`, `layer_anchor`, `unit_anchor`,
            `model`, `layer`, `unit`, `r`.

        Raises
        ------
        ConfigError
            If the run has no such group; the message lists its groups.
        StoreError
            If the group's table is not made yet, damaged, or of another configuration.
        """
        name = group
        if isinstance(group, list | tuple) and all(isinstance(model, str) for model in group):
            name = group_name(tuple(group))
        name = as_one_of("group", name, self.groups, str(self.paths.root), "group")
        return self._parquet(self.paths.rosetta(name), ROSETTA_COLUMNS)

    def neurons(self, model: str) -> pd.DataFrame:
        """Return statistics of a model's neurons: moments, when each fires, on which domains.

        Parameters
        ----------
        model : str
            A model, as `models` has it.

        Returns
        -------
        DataFrame
            One row per neuron: `layer`, `unit`; the moments `activation_mean`,
            `activation_variance`, `activation_skewness` and `activation_kurtosis`;
            `fraction_active`, the share of positions where it fires; `domain_information`, the
            mutual information between firing and domain, in bits; `domain_firing`, a list of the
            share per domain.

        Raises
        ------
        ConfigError
            If the run has no such model; the message lists its models.
        StoreError
            If the table is not made yet, damaged, or of another configuration.
        """
        return self._parquet(self.paths.neurons(self._model(model)), NEURON_COLUMNS)

    def vocabulary(self, model: str) -> pd.DataFrame:
        """Return how few tokens each neuron of a model writes to (Dravid 2026, section 5.1).

        Parameters
        ----------
        model : str
            A model, as `models` has it.

        Returns
        -------
        DataFrame
            One row per neuron, as `rosetta.vocabulary_kurtosis` returns: `layer`, `unit`,
            `excess_kurtosis`.

        Raises
        ------
        ConfigError
            If the run has no such model; the message lists its models.
        StoreError
            If the table is not made yet, damaged, or of another configuration.
        """
        return self._parquet(self.paths.vocabulary(self._model(model)), VOCABULARY_COLUMNS)

    def contexts(self, model: str, neuron: str | None = None) -> pd.DataFrame:
        """Return where a model's neurons read highest: a row per neuron and document, best first.

        Parameters
        ----------
        model : str
            A model, as `models` has it.
        neuron : str, optional
            A neuron like `L3/U12`; those of all neurons if not given.

        Returns
        -------
        DataFrame
            `layer`, `unit`, `rank`, `document`, `domain`, `byte_start`, `byte_end`, `value`; of one
            neuron also the text: `before`, `token`, `after`.

        Raises
        ------
        ConfigError
            If the run has no such model, or `neuron` is not a string.
        ModelError
            If the model has no such neuron.
        StoreError
            If the table is not made yet, damaged, or of another configuration.
        """
        if neuron is not None:
            as_text("neuron", neuron, "the name of a neuron", "Write it like 'L3/U12'")
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

        Parameters
        ----------
        model : str
            A model, as `models` has it, a further training of one (`pythia-64~2`), or one at a step
            of its training (`pythia-64~step-40`).

        Returns
        -------
        ModelStore
            `layer` gives an array of shape (n_positions, d_mlp).

        Raises
        ------
        ConfigError
            If the run has no such model; the message lists its models.
        StoreError
            If they are not captured yet or damaged, or were deleted once they were used
            (`activations.keep: temporary`).
        """
        from rosetta.api.store import ModelStore

        known = [*self.config.all_models(), *step_models(self.config)]
        name = as_one_of("model", model, known, str(self.paths.root), "model")
        folder = self.paths.stores(name, self.config.activations.n_shards)
        self._made(folder)
        with _checked():
            return ModelStore(folder)

    def _model(self, name: str) -> str:
        return as_one_of("model", name, self.models, str(self.paths.root), "model")

    def _pair(self, a: str, b: str) -> str:
        for argument, name in (("a", a), ("b", b)):
            as_text(argument, name, "the name of a model", "Give one that the run matched")
        at_steps = [tuple(pair.split(PAIR_SEPARATOR)) for pair in step_pairs(self.config)]
        known = [*self.config.all_pairs(), *at_steps]
        if (a, b) not in known:
            there = ", ".join(f"({first}, {second})" for first, second in known)
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
    with naming_files(), also_checking(compare_with_run), knowing_results(maker):
        yield
