"""The record of a stage: everything that is known of a rule before it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from rosetta.config import Config, group_name

Slice = dict[str, Any]
Wildcards = Mapping[str, Any]
# What a plan adds up: the phases of a run, in the order in which it lists them.
Phase = Literal[
    "corpus",
    "tokenizers",
    "training",
    "models",
    "activations",
    "correlation",
    "twins",
    "nulls",
    "intervals",
    "sweeps",
    "neurons",
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
    """

    by: Literal["model", "pair", "group", "stage"]
    gpu: Literal["never", "live", "always"] = "never"


def once(_config: Config) -> list[Wildcards]:
    """Return the wildcards of a stage with one job."""
    return [{}]


def per_model(config: Config) -> list[Wildcards]:
    """Return the wildcards of a stage with one job per model of a ladder."""
    return [{"model": model} for model in config.used_models()]


def per_pair(config: Config) -> list[Wildcards]:
    """Return the wildcards of a stage with one job per pair of models."""
    return [{"pair": group_name(pair)} for pair in config.pairs()]


def per_group(config: Config) -> list[Wildcards]:
    """Return the wildcards of a stage with one job per group of models."""
    return [{"group": group_name(group)} for group in config.groups()]


def nothing(_config: Config, _name: str) -> Slice:
    """Return the slice of a stage that depends on its inputs only."""
    return {}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of the workflow: one rule, its jobs, and what their results depend on.

    Attributes
    ----------
    name : str
        The rule's name.
    version : int
        Raised when a change of the code changes the stage's results.
    phase : str
        The phase of a run that its jobs belong to, one of `PHASES`.
    reads : tuple of str
        The stages whose results its jobs read.
    job : str
        Name of a job, under which its log and benchmark are kept, with the rule's wildcards in
        braces. `{n_parts}` stands for the number of jobs that share the work.
    n_parts : callable, optional
        That number.
    jobs : callable
        Wildcards of every job that a configuration asks for.
    config_slice : callable
        The part of the configuration that the results depend on, for the value of the wildcard
        `slice_by`.
    slice_by : str
        The wildcard that the slice is taken for; empty if it is the same for all jobs.
    resources : Sized or None
        What a job needs; None if Snakemake's default is enough.
    local : bool
        Whether it takes less time than the start of a cluster's job.
    tables, figures : mapping of str to str
        Tables and figures that it makes, each with its meaning.
    drawn : callable, optional
        Names of the figures that a configuration asks for; all of `figures` if not given.
    timed : bool
        Whether the report tells its time.
    """

    name: str
    version: int
    phase: Phase
    reads: tuple[str, ...] = ()
    job: str = "all"
    n_parts: Callable[[Config], int] | None = None
    jobs: Callable[[Config], Sequence[Wildcards]] = once
    config_slice: Callable[[Config, str], Slice] = nothing
    slice_by: str = ""
    resources: Sized | None = None
    local: bool = False
    tables: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, str] = field(default_factory=dict)
    drawn: Callable[[Config], Sequence[str]] | None = None
    timed: bool = True

    def job_pattern(self, config: Config) -> str:
        """Return the name of a job, with the rule's wildcards in braces."""
        n_parts = self.n_parts(config) if self.n_parts else ""
        return self.job.replace("{n_parts}", str(n_parts))

    def job_names(self, config: Config) -> list[str]:
        """Return the names of the jobs that a configuration asks for."""
        pattern = self.job_pattern(config)
        return [pattern.format(**wildcards) for wildcards in self.jobs(config)]

    def figure_names(self, config: Config) -> list[str]:
        """Return the names of the figures that a configuration asks for."""
        return list(self.drawn(config) if self.drawn else self.figures)
