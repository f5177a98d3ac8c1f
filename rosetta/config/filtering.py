"""The configuration of the data-filtering corpus (docs/filtering.md)."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from rosetta.config.base import Distinct, Name, Section, Seed
from rosetta.config.corpus import EnvironmentSource, FilesSource, HubSource

NEURON_FILTERS = ("rosetta", "non_rosetta", "non_rosetta_best")
Filter = Literal["random", "non_rosetta", "non_rosetta_best", "classifier", "rosetta", "oracle"]
FILTERS: tuple[Filter, ...] = get_args(Filter)


class FilterPool(Section):
    """The documents that are filtered."""

    source: FilesSource | HubSource | None = Field(
        None,
        discriminator="kind",
        description="where they come from; null: the corpus's own split `pool`",
    )
    target_share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="thin the target domain out to this share of the bytes of the corpus's "
        "split; null: all of it",
    )
    n_shards: int = Field(1, ge=1, le=4096, description="shards of the pool; one job scores one")


class FilterScoring(Section):
    """How a document's score is made from the neuron's activations on its tokens."""

    score: Literal["mean", "max", "top_mean", "above"] = Field(
        "mean",
        description="mean, max, mean of the highest (`top_mean`), or share of tokens `above` "
        "the threshold",
    )
    top_fraction: float = Field(
        0.1, gt=0, le=1, description="share of the tokens that `top_mean` takes, one at least"
    )
    threshold: float = Field(0.0, description="of `above`")
    sequence_length: int = Field(
        1024,
        ge=2,
        le=1_000_000,
        description="tokens that the model reads at a time; longer documents are read in pieces",
    )
    batch_size: int = Field(16, ge=1, le=100_000, description="pieces per forward pass")


class FilterSelection(Section):
    """How much is taken, best scores first: at most one of these; none takes the target domain's
    tokens in the pool.
    """

    budget_tokens: int | None = Field(
        None, ge=1, description="take documents until they hold this many tokens"
    )
    count: int | None = Field(None, ge=1, description="take this many documents")
    percentile: float | None = Field(
        None,
        ge=0,
        lt=100,
        description="take documents whose score exceeds this percentile of the pool's scores",
    )

    @model_validator(mode="after")
    def _one_rule(self) -> FilterSelection:
        given = [
            key
            for key in ("budget_tokens", "count", "percentile")
            if getattr(self, key) is not None
        ]
        if len(given) > 1:
            raise ValueError(f"give at most one of budget_tokens, count, percentile; got {given}")
        return self


class FilterPretraining(Section):
    """Continued pre-training on what each filter selects (Dravid 2026, App. F)."""

    model: str = Field(description="name of the model entry that is trained on")
    filters: Distinct[Filter] = Field(
        list(FILTERS), min_length=1, description="whose selections are trained on"
    )
    sequence_length: int = Field(1024, ge=2, le=1_000_000, description="tokens per sequence")
    batch_size: int = Field(32, ge=1, le=100_000, description="sequences per step")
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        description="sequences per forward pass, for less memory; gradients add up; null: "
        "batch_size",
    )
    learning_rate: float = Field(1e-3, gt=0, description="peak; linear warm-up, then cosine to 0")
    warmup: float = Field(0.03, ge=0, lt=1, description="share of the steps that warm up")
    lora_rank: int = Field(
        1,
        ge=1,
        le=10_000,
        description="rank of the LoRA updates of the attention's and MLP's projections",
    )
    lora_alpha: float = Field(
        8.0, gt=0, description="the updates are scaled by lora_alpha / lora_rank"
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the products; auto: bfloat16 on a GPU that has it, else float32"
    )
    checkpoint_every: int = Field(100, ge=1, description="steps between checkpoints to resume from")

    @property
    def sequences_at_a_time(self) -> int:
        """Sequences of one forward pass."""
        return min(self.batch_size, self.micro_batch_size or self.batch_size)


class Filtering(Section):
    """One neuron as a filter: the corpus that it selects from a pool, and what that corpus is
    worth.
    """

    name: Name = Field(description="folder of the outputs under `filtering/`")
    target: str = Field(description="domain that the filter is to find")
    ladder: str = Field(description="ladder on one of whose rungs the neuron is a Rosetta Neuron")
    rung: int = Field(-1, ge=-1, description="number of that rung, from 0; -1 is the last")
    model: str | None = Field(
        None, description="model of that rung whose neuron filters; null: its anchor"
    )
    n_contexts: int = Field(
        20, ge=1, le=10_000, description="top contexts of each neuron by which it is chosen"
    )
    pool: FilterPool = FilterPool()
    scoring: FilterScoring = FilterScoring()
    selection: FilterSelection = FilterSelection()
    seeds: Distinct[Seed] = Field(
        [0, 1, 2], min_length=1, description="of random selections, and of trainings"
    )
    pretraining: FilterPretraining | None = Field(None, description="null: no model is trained")

    def trainings(self) -> list[tuple[str, int]]:
        """Return the filters and seeds that a model is trained on, after the base model itself."""
        if not self.pretraining:
            return []
        return [
            ("base", 0),
            *((name, seed) for name in self.pretraining.filters for seed in self.seeds),
        ]


def filtering_problems(config: Any) -> list[str]:
    """Return what is wrong between `filtering` and the other sections of a `Config`."""
    filtering = config.filtering
    if filtering is None:
        return []
    problems = [*_neuron_problems(config, filtering), *_pool_problems(config, filtering)]
    if filtering.n_contexts > config.specialization.n_contexts:
        problems.append(
            f"filtering.n_contexts: {filtering.n_contexts} is above specialization.n_contexts "
            f"({config.specialization.n_contexts}), the contexts that are found"
        )
    lengths = {"scoring": (filtering.scoring.sequence_length, filtering.model)}
    if filtering.pretraining:
        lengths["pretraining"] = (
            filtering.pretraining.sequence_length,
            filtering.pretraining.model,
        )
        if filtering.pretraining.model not in config.models:
            problems.append(
                f"filtering.pretraining.model: no model is named {filtering.pretraining.model!r}; "
                f"models has {', '.join(config.models)}"
            )
        if config.corpus.splits.heldout == 0:
            problems.append(
                "filtering.pretraining: perplexity is measured on corpus.splits.heldout, which is 0"
            )
    for section, (length, model) in lengths.items():
        entry = config.models.get(model or _anchor(config, filtering))
        if entry and entry.zoo and length > config.zoo.training.sequence_length:
            problems.append(
                f"filtering.{section}.sequence_length: {length} is above the context of the zoo "
                "models "
                f"(zoo.training.sequence_length {config.zoo.training.sequence_length}); lower it"
            )
    return problems


def _anchor(config: Any, filtering: Filtering) -> str | None:
    rungs = config.ladders.get(filtering.ladder, [])
    return rungs[filtering.rung][0] if -len(rungs) <= filtering.rung < len(rungs) else None


def _neuron_problems(config: Any, filtering: Filtering) -> list[str]:
    if filtering.ladder not in config.ladders:
        return [
            f"filtering.ladder: {filtering.ladder!r} is not in ladders "
            f"({', '.join(config.ladders)})"
        ]
    rungs = config.ladders[filtering.ladder]
    if _anchor(config, filtering) is None:
        return [
            f"filtering.rung: ladders.{filtering.ladder} has {len(rungs)} rungs, so no number "
            f"{filtering.rung}"
        ]
    rung = rungs[filtering.rung]
    if filtering.model is not None and filtering.model not in rung:
        return [f"filtering.model: {filtering.model!r} is not on the rung ({', '.join(rung)})"]
    return []


def _pool_problems(config: Any, filtering: Filtering) -> list[str]:
    problems = []
    corpus, pool = config.corpus, filtering.pool
    if (
        isinstance(corpus.source, EnvironmentSource)
        and filtering.target not in corpus.source.domains
    ):
        problems.append(
            f"filtering.target: {filtering.target!r} is not in corpus.source.domains "
            f"({', '.join(corpus.source.domains)})"
        )
    elif not isinstance(corpus.source, EnvironmentSource) and corpus.source.domain is None:
        problems.append(
            f"filtering.target: no document is labelled {filtering.target!r}, because "
            "corpus.source.domain is not "
            "given; name the column"
        )
    if pool.source is not None and pool.source.domain is None:
        problems += _problems_without_labels(filtering)
    if pool.source is None and corpus.splits.pool == 0:
        problems.append(
            "filtering.pool: corpus.splits.pool is 0; raise it, or give filtering.pool.source"
        )
    if pool.source is not None and pool.target_share is not None:
        problems.append(
            "filtering.pool.target_share: thins out the corpus's split `pool` only; leave out "
            "pool.source"
        )
    return problems


def _problems_without_labels(filtering: Filtering) -> list[str]:
    problems = []
    if filtering.selection == FilterSelection():
        problems.append(
            "filtering.selection: without filtering.pool.source.domain the size of the target "
            "is not known; give "
            "budget_tokens, count or percentile, or name the column"
        )
    if filtering.pretraining and "oracle" in filtering.pretraining.filters:
        problems.append(
            "filtering.pretraining.filters: without filtering.pool.source.domain the oracle "
            "finds nothing to train "
            "on; leave it out, or name the column"
        )
    return problems
