"""The configuration: one strict model, whose sections are files of this package.

`config.yaml` and the presets are instances of `Config`. Unknown keys are rejected, references
between sections are checked, and every field's description is the documentation (`rosetta
config-reference` prints it).
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import Field, model_validator

from rosetta.config.activations import Activations
from rosetta.config.alignment import Alignment
from rosetta.config.base import Folder, Name, Section
from rosetta.config.controls import Controls
from rosetta.config.corpus import Corpus
from rosetta.config.correlation import Correlation
from rosetta.config.dask import Dask
from rosetta.config.devices import Devices, device_problems
from rosetta.config.exclusions import Exclusions
from rosetta.config.filtering import Filtering, filtering_problems
from rosetta.config.intervals import Intervals
from rosetta.config.matching import Matching
from rosetta.config.models import ModelEntry, Untrained
from rosetta.config.names import TWIN_SEPARATOR, entry_of, group_pairs
from rosetta.config.neurons import (
    Annotation,
    Bootstrap,
    Selectivity,
    Specialization,
    Viewer,
    context_problems,
)
from rosetta.config.references import (
    bootstrap_problems,
    ladder_problems,
    matching_problems,
    model_problems,
    sampling_problems,
)
from rosetta.config.report import Report
from rosetta.config.sweeps import Sweeps
from rosetta.config.theory import Theory, theory_problems
from rosetta.config.zoo import Zoo


class Config(Section):
    """Everything a run can be told."""

    results: Folder = Field("results", description="folder of all outputs")
    corpus: Corpus = Corpus()
    zoo: Zoo = Zoo()
    models: dict[Name, ModelEntry] = Field(min_length=1, description="models by name")
    ladders: dict[Name, list[Annotated[list[str], Field(min_length=2)]]] = Field(
        min_length=1,
        description="by name, rungs of models of matched size; the first model of a rung is its "
        "anchor",
    )
    max_scale_ratio: float = Field(
        2.0,
        ge=1,
        description="the models of a rung are of matched scale: the largest has at most so many "
        "times the neurons of "
        "the smallest",
    )
    activations: Activations = Activations()
    alignment: Alignment = Alignment()
    correlation: Correlation = Correlation()
    dask: Dask = Dask()
    devices: Devices = Devices()
    gpu_from_minutes: int | None = Field(
        None,
        ge=0,
        description="jobs that run models or correlate, and would keep a slow core busy for so "
        "long, ask for one GPU "
        "(Snakemake's resource `gpu`); null: none asks",
    )
    exclusions: Exclusions = Exclusions()
    matching: Matching = Matching()
    controls: Controls = Controls()
    intervals: Intervals = Intervals()
    sweeps: Sweeps = Sweeps()
    selectivity: Selectivity = Selectivity()
    specialization: Specialization = Specialization()
    bootstrap: Bootstrap = Bootstrap()
    annotation: Annotation | None = Field(None, description="null: neurons are not annotated")
    viewer: Viewer = Viewer()
    filtering: Filtering | None = Field(None, description="null: no corpus is filtered")
    theory: Theory = Theory()
    report: Report = Report()

    @model_validator(mode="after")
    def _references(self) -> Config:
        problems = [*model_problems(self), *ladder_problems(self), *sampling_problems(self)]
        problems += context_problems(self.specialization, self.viewer, self.annotation)
        problems += bootstrap_problems(self)
        problems += [
            *filtering_problems(self),
            *theory_problems(self.theory),
            *device_problems(self),
        ]
        problems += matching_problems(self)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def swept_k(self) -> list[int]:
        """Return the k of the sweep."""
        if self.sweeps.k is not None:
            return sorted(set(self.sweeps.k)) or [self.matching.k]
        return [k for k in (1, 2, 5, 10) if k <= self.correlation.max_k]

    @property
    def sweeps_recorrelate(self) -> bool:
        """Whether any sweep correlates again."""
        sweeps = self.sweeps
        return bool(sweeps.budgets or sweeps.split_half or sweeps.pooling or sweeps.exclusions)

    @property
    def store_mode(self) -> Literal["kept", "temporary", "live"]:
        """What becomes of activation stores: kept, deleted once used, or never written."""
        if self.activations.keep:
            return "kept"
        return "live" if self.correlation.method == "screened" else "temporary"

    @property
    def models_at_once(self) -> int:
        """How many models a job that runs them holds: both of a pair, if nothing is stored."""
        return 2 if self.store_mode == "live" else 1

    def groups(self) -> list[tuple[str, ...]]:
        """Return the distinct rungs of all ladders, in order of appearance."""
        return list(dict.fromkeys(tuple(rung) for rungs in self.ladders.values() for rung in rungs))

    def pairs(self) -> list[tuple[str, str]]:
        """Return the distinct (anchor, other) pairs that the rungs need, in order of appearance."""
        return list(dict.fromkeys(pair for group in self.groups() for pair in group_pairs(group)))

    def used_models(self) -> list[str]:
        """Return the models that some ladder names, in order of appearance."""
        return list(dict.fromkeys(model for group in self.groups() for model in group))

    def entry(self, name: str) -> ModelEntry:
        """Return a model entry by its name, which may be that of an untrained twin (`twin_name`).

        Raises
        ------
        ConfigError
            If there is none.
        """
        model, separator, seed = name.partition(TWIN_SEPARATOR)
        entry = entry_of(self.models, model, "models")
        if not separator:
            return entry
        of = entry.untrained.of if entry.untrained else model
        # Twins of one seed must not be alike: with one stream of random numbers, they would share
        # their first weights.
        drawn = int.from_bytes(hashlib.blake2b(f"{model} {seed}".encode(), digest_size=4).digest())
        return ModelEntry(untrained=Untrained(of=of, seed=drawn), dtype=entry.dtype)

    def filter_group(self) -> tuple[str, ...]:
        """Return the rung whose Rosetta Neurons are candidates for the filter."""
        assert self.filtering is not None
        return tuple(self.ladders[self.filtering.ladder][self.filtering.rung])

    def filter_model(self) -> str:
        """Return the model whose neuron filters."""
        assert self.filtering is not None
        return self.filtering.model or self.filter_group()[0]

    def needed_models(self) -> list[str]:
        """Return the used models, the one filtering trains, and models of used twins."""
        trained = (
            self.filtering.pretraining.model
            if self.filtering and self.filtering.pretraining
            else None
        )
        used = [*self.used_models(), *([trained] if trained else [])]
        bases = [twin.of for name in used if (twin := self.models[name].untrained)]
        return list(dict.fromkeys([*used, *bases]))
