"""The records of stages and rules: everything that is known of a rule before it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from rosetta.config import Config, group_name
from rosetta.config.training_ladders import step_pairs
from rosetta.run.paths import Paths

Slice = dict[str, Any]
Wildcards = Mapping[str, Any]
FIGURE_KINDS = ("png", "pdf")
Files = Callable[[Config, Paths, Wildcards], list[Path]]
# What a plan adds up: the phases of a run, in the order in which it lists them.
Phase = Literal[
    "corpus",
    "images",
    "tokenizers",
    "training",
    "models",
    "activations",
    "correlation",
    "twins",
    "nulls",
    "intervals",
    "sweeps",
    "instruments",
    "emergence",
    "autoencoders",
    "neurons",
    "ablation",
    "theory",
    "filtering",
    "pretraining",
    "results",
]
PHASES: tuple[Phase, ...] = get_args(Phase)


@dataclass(frozen=True)
class Sized:
    """Resources that follow from sizes (`rosetta.plan.resources`).

    Attributes
    ----------
    by : str
        Whose sizes: those of a `model`, a `pair` or a `group`; or `stage`, of the largest job of a
        stage whose jobs are on none of these.
    gpu : str
        Whether a GPU makes the work faster: `never`, `always`, or where activations are not stored
        (`live`), because the models then run again.
    cores : str
        How many a job computes on (`rosetta.run.cores`): `one`; its `share` of those that the run
        is given; or those of its Dask `tasks`.
    """

    by: Literal["model", "pair", "group", "stage"]
    gpu: Literal["never", "live", "always"] = "never"
    cores: Literal["one", "share", "tasks"] = "one"


def once(_config: Config) -> list[Wildcards]:
    """Return the wildcards of a stage with one job."""
    return [{}]


def once_of_text(config: Config) -> list[Wildcards]:
    """Return the wildcards of a stage with one job, which is on ladders of language models."""
    return [{}] if "text" in config.modalities else []


def per_image_model(config: Config) -> list[Wildcards]:
    """Return the wildcards of a stage with one job per model of a ladder that sees images."""
    return [{"model": model} for model in config.used_models("images")]


def per_language_model(config: Config) -> list[Wildcards]:
    """Return the wildcards of a stage with one job per language model of a ladder."""
    return [{"model": model} for model in config.used_models("text")]


def per_pair(config: Config) -> list[Wildcards]:
    """Return the wildcards of a stage with one job per pair of models."""
    return [{"pair": group_name(pair)} for pair in config.pairs()]


def per_pair_and_step(config: Config) -> list[Wildcards]:
    """Return the wildcards of a stage with one job per pair, also at the steps of its training."""
    return [*per_pair(config), *({"pair": pair} for pair in step_pairs(config))]


def per_pair_of_trainings(config: Config) -> list[Wildcards]:
    """Return the wildcards of a stage with one job per pair of trainings."""
    return [{"pair": group_name(pair)} for pair in config.all_pairs()]


def per_group(config: Config) -> list[Wildcards]:
    """Return the wildcards of a stage with one job per group of models."""
    return [{"group": group_name(group)} for group in config.groups()]


def per_group_of_text(config: Config) -> list[Wildcards]:
    """Return the wildcards of a stage with one job per group of language models."""
    return [{"group": group_name(group)} for group in config.groups("text")]


def per_group_of_images(config: Config) -> list[Wildcards]:
    """Return the wildcards of a stage with one job per group of models that see images."""
    return [{"group": group_name(group)} for group in config.groups("images")]


def nothing(_config: Config, _name: str) -> Slice:
    """Return the slice of a stage that depends on its inputs only."""
    return {}


def no_files(_config: Config, _paths: Paths, _job: Wildcards) -> list[Path]:
    """Return the files of a stage that has none."""
    return []


class Piece(NamedTuple):
    """A stage's work on one model, pair, …: the least that is done, or found done, as a whole.

    Attributes
    ----------
    stage : str
        The stage.
    job : mapping
        What it works on: the wildcards that a rule of the stage's own would have.
    """

    stage: str
    job: Wildcards


def no_pieces(_config: Config, _job: Wildcards) -> list[Piece]:
    """Return the pieces of a job that has none."""
    return []


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What is known of a rule of the workflow before it runs.

    Attributes
    ----------
    name : str
        The rule's name.
    job : str
        Name of a job, under which its log and benchmark are kept, with the rule's wildcards in
        braces. `{n_parts}` stands for the number of jobs that share the work.
    n_parts : callable, optional
        That number.
    jobs : callable
        Wildcards of every job that a configuration asks for.
    resources : Sized or None
        What a job needs; None if Snakemake's default is enough.
    local : bool
        Whether it takes less time than the start of a cluster's job.
    timed : bool
        Whether the report tells its time.
    """

    name: str
    job: str = "all"
    n_parts: Callable[[Config], int] | None = None
    jobs: Callable[[Config], Sequence[Wildcards]] = once
    resources: Sized | None = None
    local: bool = False
    timed: bool = True

    def job_pattern(self, config: Config) -> str:
        """Return the name of a job, with the rule's wildcards in braces."""
        n_parts = self.n_parts(config) if self.n_parts else ""
        return self.job.replace("{n_parts}", str(n_parts))


@dataclass(frozen=True, kw_only=True)
class Stage(Rule):
    """A stage of the workflow: what its results depend on, and the rule that runs it alone.

    Attributes
    ----------
    version : int
        Raised when a change of the code changes the stage's results.
    phase : str
        The phase of a run that its work belongs to, one of `PHASES`.
    reads : tuple of str
        The stages whose results it reads.
    config_slice : callable
        The part of the configuration that the results depend on, for the value of the wildcard
        `slice_by`.
    slice_by : str
        The wildcard that the slice is taken for; empty if it is the same for all jobs.
    inputs : callable
        Files that a job reads.
    makes : callable
        Files that it writes, besides tables and figures. A store is named by its folder, too.
    tables, figures : mapping of str to str
        Tables and figures that it makes, each with its meaning.
    drawn : callable, optional
        Names of the figures that a configuration asks for; all of `figures` if not given.
    """

    version: int
    phase: Phase
    reads: tuple[str, ...] = ()
    config_slice: Callable[[Config, str], Slice] = nothing
    slice_by: str = ""
    inputs: Files = no_files
    makes: Files = no_files
    tables: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, str] = field(default_factory=dict)
    drawn: Callable[[Config], Sequence[str]] | None = None

    def outputs(self, config: Config, paths: Paths, job: Wildcards) -> list[Path]:
        """Return all files that a job writes; `job` may have wildcards in braces."""
        drawn = [
            paths.figure(name, kind) for kind in FIGURE_KINDS for name in self.figure_names(config)
        ]
        return [*self.makes(config, paths, job), *map(paths.table, self.tables), *drawn]

    def figure_names(self, config: Config) -> list[str]:
        """Return the names of the figures that a configuration asks for."""
        return list(self.drawn(config) if self.drawn else self.figures)


@dataclass(frozen=True, kw_only=True)
class Bundle(Rule):
    """A rule whose jobs do the work of several stages, or of one on several models, in a process.

    A piece that is there, whole, current and newer than what it reads is not computed again.

    Attributes
    ----------
    pieces : callable
        What a job does, in this order. The rule declares their outputs.
    others : callable
        What it does before: work on further trainings, whose outputs no rule declares, because
        their number differs between jobs (`rosetta.run.stages.undeclared_files`).
    """

    pieces: Callable[[Config, Wildcards], list[Piece]]
    others: Callable[[Config, Wildcards], list[Piece]] = no_pieces

    def all_pieces(self, config: Config, job: Wildcards) -> list[Piece]:
        """Return all that a job does, in order."""
        return [*self.others(config, job), *self.pieces(config, job)]
