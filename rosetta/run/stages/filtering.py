"""The stages of the filtered corpus: one neuron as a filter, and what it is worth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rosetta.config import Config, group_name
from rosetta.run.paths import FilterPaths, Paths
from rosetta.run.stages import files
from rosetta.run.stages.record import Files, Sized, Slice, Stage, Wildcards, once


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


def _where(config: Config, paths: Paths) -> FilterPaths:
    assert config.filtering is not None, "the stages have jobs only with a filter"
    return paths.filtering(config.filtering.name)


def _filter_files(*places: str) -> Files:
    """Return the function for paths of the filter, by their names in `FilterPaths`."""
    return lambda config, paths, _job: [getattr(_where(config, paths), name) for name in places]


def _filter_file(place: str, wildcard: str) -> Files:
    """Return the function for a path of the filter that depends on a wildcard."""
    return lambda config, paths, job: [getattr(_where(config, paths), place)(job[wildcard])]


def _chosen_from(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    model, group = config.filter_model(), group_name(config.filter_group())
    known = (paths.model_manifest, paths.neurons, paths.contexts)
    return [paths.corpus_manifest, *(path(model) for path in known), paths.rosetta(group)]


def _pool_files(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    where = _where(config, paths)
    return [where.pool_manifest, *map(where.pool_shard, range(_n_shards(config)))]


def _score_manifests(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    return [_where(config, paths).shard_scores_manifest(i) for i in range(_n_shards(config))]


def _scored_by(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    return [paths.model_manifest(model) for model in config.filter_models()]


def _trained_on(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    return [paths.model_manifest(config.filter_models()[-1])]


def _training_files(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    where = _where(config, paths)
    return [where.training(job["training"]) for job in _trainings(config)]


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
        inputs=_chosen_from,
        makes=_filter_files("choice", "candidates", "classifier"),
    ),
    Stage(
        name="filter_pool",
        version=3,
        phase="filtering",
        reads=("corpus",),
        jobs=_filtered,
        config_slice=_pool,
        resources=Sized(by="stage"),
        inputs=files.corpus,
        makes=_pool_files,
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
        inputs=files.both(
            _filter_files("choice", "classifier", "pool_manifest"),
            _filter_file("pool_shard", "shard"),
            _scored_by,
        ),
        makes=files.both(
            _filter_file("shard_scores", "shard"), _filter_file("shard_scores_manifest", "shard")
        ),
    ),
    Stage(
        name="filter_select",
        version=3,
        phase="filtering",
        reads=("filter_choose", "filter_pool", "filter_score"),
        jobs=_filtered,
        config_slice=_part("target", "selection", "seeds"),
        resources=Sized(by="stage"),
        inputs=files.both(_filter_files("choice", "candidates"), _pool_files, _score_manifests),
        makes=_filter_files(
            "corpus_manifest", "selections_manifest", "scores", "recovery", "shares", "percentiles"
        ),
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
        inputs=files.both(
            files.corpus, _filter_files("selections_manifest", "pool_manifest"), _trained_on
        ),
        makes=_filter_file("training", "training"),
    ),
    Stage(
        name="filter_tables",
        version=3,
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
            "filtering_percentiles": "precision and recall of each filter as a gate, by the "
            "percentile of the scores that a document has to exceed",
        },
        inputs=files.both(_filter_files("recovery", "shares", "percentiles"), _training_files),
    ),
    Stage(
        name="filter_figure",
        version=3,
        phase="filtering",
        reads=("filter_tables",),
        jobs=_filtered,
        figures={"filtering": "F1, precision by recall, domains and perplexity of the filters"},
        inputs=files.tables("filtering_summary", "filtering_domains", "filtering_percentiles"),
    ),
)
