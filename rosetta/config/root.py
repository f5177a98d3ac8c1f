"""The configuration: one strict model of everything a run can be told.

`config.yaml` and the presets are instances of `Config`. Unknown keys are refused, references between sections
are checked, and every field's description is the documentation (`rosetta config-reference` prints it).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import Field, JsonValue, ValidationError, model_validator

from rosetta.config.base import Folder, Name, Place, Section, Seed
from rosetta.config.controls import Controls, Exclusions, Intervals, Sweeps
from rosetta.config.devices import Devices, device_problems
from rosetta.config.filtering import Filtering, filtering_problems
from rosetta.config.inputs import EnvironmentSource, FilesSource, HubId, HubSource, Revision, Sampling
from rosetta.config.messages import describe_problems
from rosetta.config.neurons import (
    Annotation,
    Bootstrap,
    Selectivity,
    Specialization,
    Viewer,
    context_problems,
)
from rosetta.config.read import check_extent, read_yaml
from rosetta.config.references import bootstrap_problems, ladder_problems, model_problems, sampling_problems
from rosetta.config.theory import Theory, theory_problems
from rosetta.config.zoo import Zoo, ZooRecipe
from rosetta.errors import ConfigError

T = TypeVar("T")
PAIR_SEPARATOR = "--"
TWIN_SEPARATOR = "~untrained-"  # no entry's own name holds a ~
SPLITS = ("train", "match", "pool", "heldout")


class SplitFractions(Section):
    """Shares of the corpus; the parts of a file, or the pieces of a text, are in one split only."""

    train: float = Field(0.78, ge=0, le=1, description="trains tokenizers and zoo models")
    match: float = Field(0.06, ge=0, le=1, description="neurons are correlated on it")
    pool: float = Field(0.10, ge=0, le=1, description="documents to be filtered")
    heldout: float = Field(0.06, ge=0, le=1, description="losses and perplexities are measured on it")

    @model_validator(mode="after")
    def _sum_to_one(self) -> SplitFractions:
        total = self.train + self.match + self.pool + self.heldout
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the four fractions must sum to 1; they sum to {total:g}")
        if self.match == 0:
            raise ValueError("match must be above 0: neurons are correlated on this split")
        return self


class Corpus(Section):
    """What text the models see."""

    source: Annotated[
        EnvironmentSource | FilesSource | HubSource,
        Field(discriminator="kind", description="where the documents come from"),
    ] = EnvironmentSource()
    min_document_bytes: int = Field(64, ge=1, description="shorter documents are dropped")
    max_document_bytes: int | None = Field(
        None, ge=16, description="longer documents are cut at line ends into pieces of at most this size"
    )
    max_documents: int | None = Field(None, ge=1, description="stop after this many accepted documents")
    splits: SplitFractions = SplitFractions()
    sampling: Sampling | None = Field(
        None, description="null: the models read all documents of the match split, from their beginning"
    )
    seed: Seed = Field(0, description="seed of the split and of generated text")

    @model_validator(mode="after")
    def _lengths(self) -> Corpus:
        if self.max_document_bytes is not None and self.min_document_bytes > self.max_document_bytes:
            raise ValueError(
                f"min_document_bytes ({self.min_document_bytes}) is above max_document_bytes "
                f"({self.max_document_bytes}), so no document is left; lower it"
            )
        return self


class Untrained(Section):
    """The twin of another model with architecture-default random initialisation."""

    of: str = Field(description="name of another model entry")
    seed: Seed = 0


class Dimensions(Section):
    """Dimensions of a model that is not at hand, so that a plan needs no network; checked when the model is loaded."""

    n_layers: int = Field(ge=1)
    d_mlp: int = Field(ge=1)
    n_parameters: int = Field(ge=1)


class ModelEntry(Section):
    """A model: exactly one of `path`, `hub`, `zoo`, `untrained`."""

    path: Place | None = Field(None, description="local folder in Hugging Face format")
    hub: HubId | None = Field(None, description="model id on the hub")
    revision: Revision | None = Field(None, description="commit or tag of the hub model; required with `hub`")
    zoo: ZooRecipe | None = Field(None, description="a zoo family at a zoo size")
    untrained: Untrained | None = Field(None, description="random twin of another entry")
    dimensions: Dimensions | None = Field(None, description="of a hub model, for planning without the network")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="precision of the forward pass")

    @property
    def kind(self) -> str:
        """Which of the four kinds of entry this is."""
        return next(kind for kind in ("path", "hub", "zoo", "untrained") if getattr(self, kind) is not None)

    @model_validator(mode="after")
    def _exactly_one(self) -> ModelEntry:
        given = [kind for kind in ("path", "hub", "zoo", "untrained") if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of path, hub, zoo, untrained; got {given or 'none'}")
        if (self.hub is None) != (self.revision is None):
            raise ValueError("`hub` and `revision` go together: pin the model's commit or tag")
        return self


class Activations(Section):
    """How activations are captured and stored."""

    n_shards: int = Field(2, ge=1, le=10_000, description="stores per model; also the unit of resuming")
    max_documents: int | None = Field(None, ge=1, description="use at most this many match documents")
    sequence_length: int = Field(1024, ge=2, le=1_000_000, description="tokens kept from the start of each document")
    batch_size: Annotated[int, Field(ge=1, le=100_000)] | Literal["auto"] = Field(
        16, description="documents per forward pass; auto: as many as fit the memory that `devices` gives"
    )
    dtype: Literal["float16", "float32", "bfloat16"] = Field("float16", description="dtype of the stores")
    max_left_out: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of a shard's documents that a model may leave out because its tokens cannot be traced "
        "back to the text; more is an error",
    )
    keep: bool = Field(
        True,
        description="keep the stores; if not, they are deleted once used (correlation.method exact) or never written, "
        "the models running again instead (screened)",
    )


class Alignment(Section):
    """How the tokens inside an aligned span become one value."""

    pooling: Literal["mean", "max", "median"] = Field("mean", description="over the tokens of a span")


class Screening(Section):
    """How `correlation.method: screened` finds the pairs of neurons that are worth an exact correlation."""

    sketch_rows: int | None = Field(
        None, ge=64, le=2**24, description="rows m of the sketches, a power of two; chosen by the planner if not given"
    )
    n_candidates: int = Field(4, ge=1, le=1000, description="candidates K per neuron for the first exact pass")
    failure_probability: float = Field(
        1e-6, gt=0, lt=0.1, description="that anything in the result of a pair differs from `exact`"
    )
    min_r: float | None = Field(
        None, gt=-1, lt=1, description="give up on matches with r below this; none by default, so all are found"
    )

    @model_validator(mode="after")
    def _power_of_two(self) -> Screening:
        if self.sketch_rows and self.sketch_rows & (self.sketch_rows - 1):
            raise ValueError(f"sketch_rows must be a power of two (got {self.sketch_rows})")
        return self


class Correlation(Section):
    """How cross-model correlations are computed."""

    method: Literal["exact", "screened"] = Field(
        "exact", description="all pairs exactly, or candidates found in sketches, exactly and certified"
    )
    max_k: int = Field(10, ge=1, le=1000, description="neighbours kept per neuron; one more is kept for margins")
    memory_gb: float = Field(2.0, gt=0, le=100_000, description="memory budget of one job")
    n_jobs: int = Field(1, ge=1, le=10_000, description="jobs that share the tiles of a pair")
    precision: Literal["auto", "float32", "bfloat16", "float64"] = Field(
        "auto", description="what is multiplied; auto: bfloat16 where the machine has it natively, else float32"
    )
    screening: Screening = Screening()

    @model_validator(mode="after")
    def _one_job(self) -> Correlation:
        if self.method == "screened" and self.n_jobs > 1:
            raise ValueError("n_jobs must be 1 with method screened; spread its tasks with dask.n_workers")
        return self


class Dask(Section):
    """Where the tasks of a correlation job run."""

    scheduler: str = Field(
        "threads",
        pattern=r"^(threads|processes|slurm|(tcp|tls)://\S+)$",
        description="threads, processes, slurm (through dask-jobqueue) or the address of a scheduler",
    )
    n_workers: int = Field(
        1,
        ge=1,
        le=100_000,
        description="tasks at once; threads and processes share correlation.memory_gb, others have it each",
    )
    threads_per_worker: int = Field(1, ge=1, le=10_000, description="cores that each task uses")
    jobqueue: dict[str, JsonValue] = Field(
        {}, description="options of dask_jobqueue.SLURMCluster: memory, queue, account, walltime, …"
    )

    @model_validator(mode="after")
    def _quoted_walltime(self) -> Dask:
        walltime = self.jobqueue.get("walltime")
        if walltime is not None and not isinstance(walltime, str):
            raise ValueError(f"jobqueue.walltime must be in quotes: YAML reads 01:00:00 as a number (got {walltime})")
        return self

    @property
    def local(self) -> bool:
        """Whether the tasks run on the machine of the job that starts them."""
        return self.scheduler in ("threads", "processes")

    @property
    def n_processes(self) -> int:
        """Processes that share the memory of the job that starts the tasks."""
        return self.n_workers if self.scheduler == "processes" else 1


class Matching(Section):
    """What counts as a match."""

    k: int = Field(1, ge=1, description="mutual k-nearest neighbours")


class Report(Section):
    """What the report shows."""

    n_matches: int = Field(10, ge=0, description="matches shown per pair, highest r first")
    n_contexts: int = Field(5, ge=1, description="top contexts shown per neuron")


class Config(Section):
    """Everything a run can be told."""

    results: Folder = Field("results", description="folder of all outputs")
    corpus: Corpus = Corpus()
    zoo: Zoo = Zoo()
    models: dict[Name, ModelEntry] = Field(min_length=1, description="models by name")
    ladders: dict[Name, list[Annotated[list[str], Field(min_length=2)]]] = Field(
        min_length=1,
        description="by name, rungs of models of matched size; the first model of a rung is its anchor",
    )
    max_scale_ratio: float = Field(
        2.0,
        ge=1,
        description="the models of a rung are of matched scale: the largest has at most so many times the neurons of "
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
        description="jobs that run models or correlate, and would keep a slow core busy for so long, ask for one GPU "
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
        problems += [*filtering_problems(self), *theory_problems(self.theory), *device_problems(self)]
        if self.matching.k > self.correlation.max_k:
            problems.append(
                f"matching.k: {self.matching.k} is above correlation.max_k ({self.correlation.max_k}); raise max_k"
            )
        if max(self.swept_k()) > self.correlation.max_k:
            problems.append(f"sweeps.k: {max(self.swept_k())} is above correlation.max_k; raise max_k")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def swept_k(self) -> list[int]:
        """Return the k of the sweep."""
        if self.sweeps.k is not None:
            return sorted(set(self.sweeps.k)) or [self.matching.k]
        return [k for k in (1, 2, 5, 10) if k <= self.correlation.max_k]

    @property
    def swept_anew(self) -> bool:
        """Whether any sweep correlates anew."""
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
        """How many models a job that runs them holds: the two of a pair, where activations are not stored."""
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
        # Twins of one seed must not be alike: with one stream of random numbers, they would share their first weights.
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
        """Return the used models, the one that filtering trains, and those whose untrained twins are used."""
        trained = self.filtering.pretraining.model if self.filtering and self.filtering.pretraining else None
        used = [*self.used_models(), *([trained] if trained else [])]
        bases = [twin.of for name in used if (twin := self.models[name].untrained)]
        return list(dict.fromkeys([*used, *bases]))


def entry_of(entries: dict[str, T], name: str, key: str) -> T:
    """Return an entry of a section by its name.

    Raises
    ------
    ConfigError
        If there is none; the message lists those that there are.
    """
    if name not in entries:
        raise ConfigError(f"{key}: has no {name!r}; it has {', '.join(entries) or 'none'}.")
    return entries[name]


def group_pairs(group: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the (anchor, other) pairs of a rung."""
    return [(group[0], other) for other in group[1:]]


def twin_name(model: str, seed: int) -> str:
    """Return the name of a model's untrained twin."""
    return f"{model}{TWIN_SEPARATOR}{seed}"


def group_name(group: tuple[str, ...]) -> str:
    """Return the file name of a pair or larger group of models."""
    return PAIR_SEPARATOR.join(group)


def parse_config(content: Any, origin: str = "config") -> Config:
    """Validate a configuration given as plain data.

    Raises
    ------
    ConfigError
        With one line per problem: the key, what is wrong with the value, and the mend.
    """
    if not isinstance(content, dict):
        raise ConfigError(f"{origin}: expected a mapping of settings, got {type(content).__name__}.")
    check_extent(content, origin)
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        lines = [f"  {line}" for line in describe_problems(error.errors())]
        raise ConfigError("\n".join([f"{origin}: not a valid configuration.", *lines])) from None


def load_config(path: Path) -> Config:
    """Read and validate a YAML configuration.

    Raises
    ------
    ConfigError
        If the file cannot be read or is not a valid configuration.
    """
    return parse_config(read_yaml(path), str(path))


def dump_config(config: Config) -> str:
    """Return the complete configuration, defaults included, as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
