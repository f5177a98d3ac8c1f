"""The stages of the filtered corpus: one neuron as a filter, and what it is worth."""

from __future__ import annotations

from collections.abc import Callable

from rosetta.config import Config
from rosetta.run.stages.record import Sized, Slice, Stage, Wildcards, once


def training_name(name: str, seed: int) -> str:
    """Return the name of the job that trains on what a filter selected."""
    return f"{name}-{seed}"


def _n_shards(config: Config) -> int:
    return config.filtering.pool.n_shards if config.filtering else 0


def _filtered(config: Config) -> list[Wildcards]:
    return once(config) if config.filtering else []


def _shards(config: Config) -> list[Wildcards]:
    return [{"shard": shard} for shard in range(_n_shards(config))]


def _trainings(config: Config) -> list[Wildcards]:
    trainings = config.filtering.trainings() if config.filtering else []
    return [{"training": training_name(*job)} for job in trainings]


def _section(config: Config, *keys: str) -> Slice:
    """Return parts of the section `filtering`, which a run may not have."""
    if config.filtering is None:
        return {}
    return config.filtering.model_dump(mode="json", include={"name", *keys})


def _part(*keys: str) -> Callable[[Config, str], Slice]:
    return lambda config, _name: _section(config, *keys)


def _choose(config: Config, _name: str) -> Slice:
    if config.filtering is None:
        return {}
    place = {"model": config.filter_model(), "group": config.filter_group()}
    return {**place, **_section(config, "target", "n_contexts")}


def _pool(config: Config, _name: str) -> Slice:
    seed = {"seed": config.corpus.seed} if config.filtering else {}
    return {**seed, **_section(config, "target", "pool")}


def _score(config: Config, _name: str) -> Slice:
    if config.filtering is None:
        return {}
    trained = config.filtering.pretraining
    # The size of a document is told in the tokens of the model that is trained on it.
    models = {"model": config.filter_model(), "counter": trained.model if trained else None}
    return {**models, **_section(config, "scoring")}


def _pretrain(config: Config, _name: str) -> Slice:
    # Which filters there are decides how many steps each takes: as many as the smallest selection.
    kept = _section(config, "target", "seeds", "pretraining")
    if not kept:
        return {}
    return {**kept, "pretraining": {**(kept.get("pretraining") or {}), "checkpoint_every": None}}


STAGES = (
    Stage(
        name="filter_choose",
        version=2,
        phase="filtering",
        reads=("corpus", "train", "model", "anchors", "neurons"),
        jobs=_filtered,
        config_slice=_choose,
        resources=Sized(by="stage"),
        tables={"filtering_candidates": "the best neurons that the filter was chosen from"},
    ),
    Stage(
        name="filter_pool",
        version=3,
        phase="filtering",
        reads=("corpus",),
        jobs=_filtered,
        config_slice=_pool,
        resources=Sized(by="stage"),
    ),
    Stage(
        name="filter_score",
        version=4,
        phase="filtering",
        reads=("train", "model", "filter_choose", "filter_pool"),
        job="pool.{shard}-of-{n_parts}",
        n_parts=_n_shards,
        jobs=_shards,
        config_slice=_score,
        resources=Sized(by="stage", gpu="always"),
    ),
    Stage(
        name="filter_select",
        version=2,
        phase="filtering",
        reads=("filter_choose", "filter_pool", "filter_score"),
        jobs=_filtered,
        config_slice=_part("target", "selection", "seeds"),
        resources=Sized(by="stage"),
    ),
    Stage(
        name="filter_pretrain",
        version=4,
        phase="pretraining",
        reads=("corpus", "train", "model", "filter_pool", "filter_select"),
        job="{training}",
        jobs=_trainings,
        config_slice=_pretrain,
        resources=Sized(by="stage", gpu="always"),
    ),
    Stage(
        name="filter_tables",
        version=2,
        phase="filtering",
        reads=("filter_select", "filter_pretrain"),
        jobs=_filtered,
        config_slice=_part("seeds"),
        tables={
            "filtering": "per filter and seed: precision, recall and F1 for the target domain, and "
            "held-out perplexity after training; of the neuron, controls, a classifier and the "
            "oracle",
            "filtering_summary": "their means over seeds, and differences from the neuron's",
            "filtering_domains": "what each filter selects of each domain",
        },
    ),
    Stage(
        name="filter_figure",
        version=2,
        phase="filtering",
        reads=("filter_tables",),
        jobs=_filtered,
        figures={"filtering": "F1, domains and perplexity of the filters"},
    ),
)
