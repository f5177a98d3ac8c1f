"""The configuration: one strict model, whose sections are files of this package.

`config.yaml` and the presets are instances of `Config`. Unknown keys are rejected, references
between sections are checked, and every field's description is the documentation (`rosetta
config-reference` prints it).
"""

from __future__ import annotations

import hashlib
from itertools import product
from typing import Annotated, Literal

from pydantic import Field, model_validator

from rosetta.config.ablation import Ablation, Attribution, ablation_problems
from rosetta.config.across_seeds import AcrossSeeds, seed_problems
from rosetta.config.activations import Activations
from rosetta.config.alignment import Alignment
from rosetta.config.base import Folder, Modality, Name, Section
from rosetta.config.controls import Controls
from rosetta.config.corpus import Corpus
from rosetta.config.correlation import Correlation
from rosetta.config.dask import Dask
from rosetta.config.devices import Devices, device_problems
from rosetta.config.exclusions import Exclusions
from rosetta.config.filtering import Filtering, filtering_problems
from rosetta.config.images import Images
from rosetta.config.instruments import Instruments, instrument_problems
from rosetta.config.intervals import Intervals
from rosetta.config.judge import Judge, judge_problems
from rosetta.config.matching import Matching
from rosetta.config.models import Dimensions, ModelEntry, Untrained
from rosetta.config.names import (
    PAIR_SEPARATOR,
    REPLICATE_SEPARATOR,
    TWIN_SEPARATOR,
    entry_of,
    generator_of_store,
    group_name,
    group_pairs,
    model_of_store,
    replicate_name,
    step_of,
    store_name,
    twin_name,
)
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
    image_problems,
    ladder_problems,
    matching_problems,
    model_problems,
    name_problems,
    sampling_problems,
)
from rosetta.config.report import Report
from rosetta.config.sae import Sae, sae_problems
from rosetta.config.store_choice import runs_cost_less_than_stores
from rosetta.config.sweeps import Sweeps
from rosetta.config.theory import Theory, theory_problems
from rosetta.config.training_ladders import (
    TrainingLadder,
    entry_at,
    step_pairs,
    training_problems,
)
from rosetta.config.zoo import Zoo
from rosetta.errors import ConfigError


def _drawn_seed(*of: object) -> int:
    """Return a seed that depends on what it is drawn of, and on nothing else."""
    text = " ".join(map(str, of))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest())


# Up to this number of parameters, a job does all that one model, or one pair, needs of its stores.
SMALL_MODEL = 20_000_000


class Config(Section):
    """Everything a run can be told."""

    results: Folder = Field("results", description="folder of all outputs")
    corpus: Corpus = Corpus()
    images: Images = Images()
    zoo: Zoo = Zoo()
    models: dict[Name, ModelEntry] = Field(min_length=1, description="models by name")
    ladders: dict[Name, list[Annotated[list[str], Field(min_length=2)]]] = Field(
        min_length=1,
        description="by name, rungs of models of matched size; the first model of a rung is its "
        "anchor",
    )
    training_ladders: dict[Name, TrainingLadder] = Field(
        {}, description="by name, pairs of models that are compared over their training, too"
    )
    across_seeds: AcrossSeeds = AcrossSeeds()
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
    instruments: Instruments = Instruments()
    sae: Sae | None = Field(None, description="null: no sparse autoencoder is trained or read")
    controls: Controls = Controls()
    intervals: Intervals = Intervals()
    sweeps: Sweeps = Sweeps()
    selectivity: Selectivity = Selectivity()
    specialization: Specialization = Specialization()
    bootstrap: Bootstrap = Bootstrap()
    attribution: Attribution | None = Field(
        Attribution(), description="null: what partners write to the vocabulary is not compared"
    )
    ablation: Ablation | None = Field(None, description="null: no neuron is ablated")
    annotation: Annotation | None = Field(None, description="null: neurons are not annotated")
    judge: Judge | None = Field(None, description="null: neurons are not judged")
    viewer: Viewer = Viewer()
    filtering: Filtering | None = Field(None, description="null: no corpus is filtered")
    theory: Theory = Theory()
    report: Report = Report()

    @model_validator(mode="after")
    def _references(self) -> Config:
        problems = [*name_problems(self), *model_problems(self), *ladder_problems(self)]
        problems += sampling_problems(self)
        problems += context_problems(self.specialization, self.viewer, self.annotation)
        problems += bootstrap_problems(self)
        problems += [
            *filtering_problems(self),
            *theory_problems(self.theory),
            *device_problems(self),
        ]
        problems += [*matching_problems(self), *instrument_problems(self)]
        # These need names that hold.
        problems = problems or sae_problems(self)
        problems = problems or image_problems(self)
        problems = problems or [
            *judge_problems(self),
            *training_problems(self),
            *seed_problems(self),
            *ablation_problems(self),
        ]
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
        of_images = sweeps.grid or sweeps.image_source
        of_both = sweeps.budgets or sweeps.split_half or sweeps.pooling or sweeps.exclusions
        return bool(of_images or of_both)

    @property
    def store_mode(self) -> Literal["kept", "temporary", "live"]:
        """What becomes of activation stores: kept, deleted once used, or never written."""
        keep = self.activations.keep
        if keep is True:
            return "kept"
        live = runs_cost_less_than_stores(self) if keep == "auto" else keep is False
        return "live" if live else "temporary"

    @property
    def permutes_live(self) -> bool:
        """Whether pairs are correlated with their positions permuted, too, whenever models run."""
        return self.store_mode == "live" and self.correlation.method == "exact"

    def permuted_with(self, pair: str) -> list[int]:
        """Return the seeds of permutations whose correlations come from the pair's own passes."""
        shared = self.permutes_live and self.is_first(pair)
        return list(self.controls.permutation_seeds) if shared else []

    @property
    def models_at_once(self) -> int:
        """How many models a job that runs them holds: both of a pair, if nothing is stored."""
        return 2 if self.store_mode == "live" else 1

    def modality_of(self, name: str) -> Modality:
        """Return what a model sees, by the name of an entry, a twin, a training or stores."""
        return self.described(name).modality_of(self.zoo)

    def is_generator(self, name: str) -> bool:
        """Tell whether a model makes images: its activations are those of making its own."""
        return self.described(name).is_generator(self.zoo)

    def described(self, name: str) -> ModelEntry:
        """Return the entry that says what a model is: that of its base model if it is a twin."""
        entry = self.entry(name)
        return self.models[entry.untrained.of] if entry.untrained else entry

    def ladder_modality(self, ladder: str) -> Modality:
        """Return what the models of a ladder see."""
        return self.modality_of(self.ladders[ladder][0][0])

    @property
    def text_ladders(self) -> dict[str, list[list[str]]]:
        """The ladders of language models."""
        return {
            name: rungs
            for name, rungs in self.ladders.items()
            if self.ladder_modality(name) == "text"
        }

    @property
    def modalities(self) -> list[Modality]:
        """What the models of the ladders see, in order of appearance."""
        return list(dict.fromkeys(map(self.ladder_modality, self.ladders)))

    def groups(self, modality: Modality | None = None) -> list[tuple[str, ...]]:
        """Return the distinct rungs of all ladders, or of those of a modality, in their order.

        These are the models that ladders name. Where some have replicates, their further trainings
        are in `replicate_groups`.
        """
        ladders = (
            rungs
            for ladder, rungs in self.ladders.items()
            if modality in (None, self.ladder_modality(ladder))
        )
        return list(dict.fromkeys(tuple(rung) for rungs in ladders for rung in rungs))

    def pairs(self, modality: Modality | None = None) -> list[tuple[str, str]]:
        """Return the distinct (anchor, other) pairs that the rungs need, in order of appearance."""
        groups = self.groups(modality)
        return list(dict.fromkeys(pair for group in groups for pair in group_pairs(group)))

    def used_models(self, modality: Modality | None = None) -> list[str]:
        """Return the models that some ladder names, in order of appearance."""
        return list(dict.fromkeys(model for group in self.groups(modality) for model in group))

    def stores_of(self, pair: str) -> tuple[str, str]:
        """Return the names of the stores of both models of a pair, which is given by its name.

        If the first is a generator, they are of images that it made; of those that the trained
        generator made, if both are untrained twins.
        """
        a, b = pair.split(PAIR_SEPARATOR)
        if not self.is_generator(a):
            return a, b
        return a, store_name(b, a.partition(TWIN_SEPARATOR)[0])

    def trained_models(self, modality: Modality) -> list[str]:
        """Return the needed models of a modality that are trained here."""
        trained = (name for name in self.needed_models() if self.models[name].zoo)
        return [name for name in trained if self.modality_of(name) == modality]

    @property
    def draws_images(self) -> bool:
        """Whether images of the run's source are trained on, or shown to a pair of models."""
        shown = (a for a, _ in self.pairs("images") if not self.is_generator(a))
        return bool(self.trained_models("images")) or any(shown)

    def stores(self) -> list[str]:
        """Return the names of the stores of all models of all trainings' pairs."""
        pairs = map(group_name, self.all_pairs())
        return list(dict.fromkeys(name for pair in pairs for name in self.stores_of(pair)))

    def stores_of_model(self, model: str) -> list[str]:
        """Return the names of the stores that pairs of first trainings need of a model."""
        pairs = map(group_name, self.pairs())
        named = dict.fromkeys(name for pair in pairs for name in self.stores_of(pair))
        return [name for name in named if model_of_store(name) == model]

    def twin_stores(self, model: str) -> list[str]:
        """Return the names of the stores of a model's untrained twins, of all seeds."""
        shown = [generator_of_store(name) for name in self.stores_of_model(model)]
        return [
            store_name(twin_name(model, seed), generator)
            for seed in self.controls.untrained_seeds
            for generator in shown
        ]

    def replicates(self, name: str) -> tuple[str, ...]:
        """Return the trainings of a model that a ladder names: the model itself, then the others.

        For example `("pythia-xs", "pythia-xs~2")` where `zoo.sizes.xs.replicates` is 2.
        """
        recipe = self.models[name].zoo
        n_trained = self.zoo.sizes[recipe.size].replicates if recipe else 1
        trained = [replicate_name(name, number) for number in range(1, n_trained + 1)]
        others = [other for other, entry in self.models.items() if entry.replicate_of == name]
        return (*trained, *others)

    def replicate_groups(self, group: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Return all groups of one training per model of a rung; the first is the rung itself.

        With two trainings of each of two models there are four. Groups that share a training are
        not independent, which the fit of the scaling law takes into account
        (`rosetta.analysis.count_law`).
        """
        return list(product(*map(self.replicates, group)))

    def replicate_pairs(self, pair: tuple[str, str]) -> list[tuple[str, str]]:
        """Return all pairs of trainings of two models; the first is the pair itself."""
        return [(a, b) for a in self.replicates(pair[0]) for b in self.replicates(pair[1])]

    def ladders_of(self, pair: str) -> list[str]:
        """Return the ladders in which a pair of trainings, by its name, is counted."""
        found = []
        for ladder, rungs in self.ladders.items():
            firsts = [first for rung in rungs for first in group_pairs(tuple(rung))]
            trained = [other for first in firsts for other in self.replicate_pairs(first)]
            if pair in map(group_name, trained):
                found.append(ladder)
        return found

    def is_first(self, pair: str) -> bool:
        """Tell whether a pair, by its name, is of first trainings: nulls are only of these."""
        return pair in map(group_name, self.pairs())

    def controls_of(self, pair: str) -> list[str]:
        """Return the null models that a pair, by its name, is matched under.

        They are all of them for first trainings, exchanged samples for steps of a training, and
        none for further trainings.
        """
        if self.is_first(pair):
            return self.controls.names
        exchanged = [name for name in self.controls.names if name == "documents"]
        return exchanged if pair in step_pairs(self) else []

    def is_resampled(self, pair: str) -> bool:
        """Tell whether a pair, by its name, has intervals: not if it is of further trainings."""
        return self.is_first(pair) or pair in step_pairs(self)

    def is_small(self, name: str) -> bool:
        """Tell whether one job does all that a model needs of its stores.

        `activations.shards_per_job` decides; where it is `auto`, the number of parameters, as far
        as the configuration alone tells it, so that the jobs of a run do not change while it runs.
        Stores that are not kept are outputs of jobs of their own, which Snakemake deletes.
        """
        chosen = self.activations.shards_per_job
        if chosen == "one" or self.store_mode != "kept":
            return False
        if chosen == "all":
            return True
        told = self.told_size(name)
        return told is not None and told.n_parameters <= SMALL_MODEL

    def told_size(self, name: str) -> Dimensions | None:
        """Return a model's size as far as the configuration alone tells it.

        Of a zoo model its parameters are told about; of a twin its size is that of its model.
        """
        entry = self.described(name)
        if not entry.zoo:
            return entry.dimensions
        size, family = self.zoo.sizes[entry.zoo.size], self.zoo.families[entry.zoo.family]
        n_parameters = size.n_parameters(family.vocab_size)
        return Dimensions(n_layers=size.n_layers, d_mlp=size.d_mlp, n_parameters=n_parameters)

    @property
    def small_pairs(self) -> bool:
        """Whether one job does all that a pair needs.

        All models are small, and tiles are computed where the job runs. A pair waits for no null
        model of another one.
        """
        correlation = self.correlation
        here = self.dask.local and correlation.n_jobs == 1 and not correlation.floor_of_nulls
        return here and all(map(self.is_small, self.used_models()))

    def entry(self, name: str) -> ModelEntry:
        """Return a model entry by its name, which may be an untrained twin's (`twin_name`), a zoo
        model's further training's (`replicate_name`), a model's at a step of its training
        (`step_name`) or that of stores (`store_name`).

        Raises
        ------
        ConfigError
            If there is none.
        """
        model, separator, seed = model_of_store(name).partition(TWIN_SEPARATOR)
        entry = self._trained_entry(model)
        if not separator:
            return entry
        of = entry.untrained.of if entry.untrained else model
        # Twins of one seed must not be alike: with one stream of random numbers, they would share
        # their first weights.
        return ModelEntry(
            untrained=Untrained(of=of, seed=_drawn_seed(model, seed)), dtype=entry.dtype
        )

    def all_models(self) -> list[str]:
        """Return the used models and their further trainings."""
        return list(
            dict.fromkeys(name for model in self.used_models() for name in self.replicates(model))
        )

    def all_pairs(self) -> list[tuple[str, str]]:
        """Return the pairs of all rungs and of their further trainings."""
        return list(
            dict.fromkeys(pair for rung in self.pairs() for pair in self.replicate_pairs(rung))
        )

    def _trained_entry(self, name: str) -> ModelEntry:
        model, separator, number = name.partition(REPLICATE_SEPARATOR)
        entry = entry_of(self.models, model, "models")
        if not separator:
            return entry
        if (step := step_of(name)) is not None:
            return entry_at(self, model, step)
        if name not in self.replicates(model) or entry.zoo is None:
            trained = ", ".join(self.replicates(model))
            raise ConfigError(f"models: has no {name!r}; the trainings of {model} are {trained}.")
        own = entry.zoo.seed
        first = self.zoo.families[entry.zoo.family].seed if own is None else own
        seed = _drawn_seed(first, "replicate", number)
        return entry.model_copy(update={"zoo": entry.zoo.model_copy(update={"seed": seed})})

    def judged_generators(self) -> list[tuple[str, str]]:
        """Return the generators of the zoo, each with a classifier of the zoo in a rung with it.

        Both were trained on the same classes.
        """
        found: dict[str, str] = {}
        for group in self.groups("images"):
            tasks = {name: self.task_of(name) for name in group}
            classifiers = [name for name, task in tasks.items() if task == "classifier"]
            if tasks[group[0]] == "generator" and classifiers:
                found.setdefault(group[0], classifiers[0])
        return list(found.items())

    def task_of(self, name: str) -> str | None:
        """Return what a model that sees images learns in the zoo; None if it is not of the zoo."""
        recipe = self.entry(name).zoo
        return self.zoo.families[recipe.family].task if recipe else None

    def filter_group(self) -> tuple[str, ...]:
        """Return the rung whose Rosetta Neurons are candidates for the filter."""
        assert self.filtering is not None
        return tuple(self.ladders[self.filtering.ladder][self.filtering.rung])

    def filter_model(self) -> str:
        """Return the model whose neuron filters."""
        assert self.filtering is not None
        return self.filtering.model or self.filter_group()[0]

    def filter_models(self) -> list[str]:
        """Return the model whose neuron filters, and the one that is trained on selections, if any:
        its tokenizer tells the size of documents.
        """
        assert self.filtering is not None
        trained = [self.filtering.pretraining.model] if self.filtering.pretraining else []
        return [self.filter_model(), *trained]

    @property
    def small_filter(self) -> bool:
        """Whether one job does all of filtering: the models that score and learn are small."""
        return self.filtering is not None and all(map(self.is_small, self.filter_models()))

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
