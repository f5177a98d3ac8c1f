"""The rules whose jobs do the work of several stages: all that one model, or one pair, needs.

Starting a process takes seconds, and small models need less for the work itself. Where models are
large, each stage has a rule of its own (`Config.is_small`, `Config.small_pairs`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rosetta.config import PAIR_SEPARATOR, Config, group_name
from rosetta.run.stages import analysis, filtering, models, theory
from rosetta.run.stages.record import Bundle, Piece, Sized, Stage, Wildcards


def _small_models(config: Config) -> list[Wildcards]:
    """Return the small models of ladders that are not trained here."""
    return [job for job in _profiled(config) if not config.entry(job["model"]).zoo]


def _small_zoo_models(config: Config) -> list[Wildcards]:
    """Return the small models of ladders that are trained here."""
    return [job for job in _profiled(config) if config.entry(job["model"]).zoo]


def _profiled(config: Config) -> list[Wildcards]:
    return [{"model": model} for model in config.used_models() if config.is_small(model)]


def _shards(config: Config, model: str) -> list[Piece]:
    shards = range(config.activations.n_shards)
    return [Piece("activations", {"model": model, "shard": shard}) for shard in shards]


def _profile(config: Config, job: Wildcards) -> list[Piece]:
    pieces = [*_shards(config, job["model"]), Piece("vocabulary", job), Piece("neurons", job)]
    twins = config.small_pairs and config.controls.untrained_seeds
    return [*pieces, Piece("twins", job)] if twins else pieces


def _further(config: Config, job: Wildcards) -> tuple[str, ...]:
    """Return the further trainings of a model, if the jobs of its pairs are bundles too.

    Other rules could not tell that they need this job: no rule declares what it makes of these.
    """
    return config.replicates(job["model"])[1:] if config.small_pairs else ()


def _further_shards(config: Config, job: Wildcards) -> list[Piece]:
    return [piece for model in _further(config, job) for piece in _shards(config, model)]


def _rungs(config: Config) -> list[Wildcards]:
    return _pairs(config, rungs=True)


def _parts_of_rungs(config: Config) -> list[Wildcards]:
    return _pairs(config, rungs=False)


def _pairs(config: Config, *, rungs: bool) -> list[Wildcards]:
    """Return the pairs that are a rung of a ladder, or those that are only a part of one."""
    if not config.small_pairs:
        return []
    groups = set(config.groups())
    return [{"pair": group_name(pair)} for pair in config.pairs() if (pair in groups) == rungs]


def _pair(config: Config, job: Wildcards) -> list[Piece]:
    nulls = [Piece("nulls", {**job, "control": control}) for control in config.controls.names]
    sweeps = [Piece("sweeps", job)] if config.sweeps_recorrelate else []
    neighbors = Piece("correlate", {**job, "job": 0})
    return [neighbors, *nulls, Piece("intervals", job), *sweeps, Piece("match", job)]


def _group(job: Wildcards) -> list[Piece]:
    return [Piece("anchors", job), Piece("contexts", job)]


def _rung(config: Config, job: Wildcards) -> list[Piece]:
    return [*_pair(config, job), *_group({"group": job["pair"]})]


def _further_pairs(config: Config, job: Wildcards) -> list[Piece]:
    a, b = job["pair"].split(PAIR_SEPARATOR)
    further = [{"pair": group_name(pair)} for pair in config.replicate_pairs((a, b))[1:]]
    return [
        piece
        for pair in further
        for piece in (Piece("correlate", {**pair, "job": 0}), Piece("match", pair))
    ]


def _larger_groups(config: Config) -> list[tuple[str, ...]]:
    return [group for group in config.groups() if len(group) > 2] if config.small_pairs else []


def _with_larger_groups(config: Config) -> Sequence[Wildcards]:
    return [{}] if _larger_groups(config) else []


def _groups(config: Config, _job: Wildcards) -> list[Piece]:
    names = map(group_name, _larger_groups(config))
    return [piece for name in names for piece in _group({"group": name})]


def _pieces(config: Config, *stages: Stage) -> list[Piece]:
    """Return all work of some stages, one stage after the other."""
    return [Piece(stage.name, job) for stage in stages for job in stage.jobs(config)]


def _all_of(*stages: Stage) -> Callable[[Config, Wildcards], list[Piece]]:
    return lambda config, _job: _pieces(config, *stages)


def _any_of(*stages: Stage) -> Callable[[Config], list[Wildcards]]:
    return lambda config: [{}] if _pieces(config, *stages) else []


def _trained(config: Config, job: Wildcards) -> list[Piece]:
    return [Piece("train", job), *_profile(config, job)]


def _further_trained(config: Config, job: Wildcards) -> list[Piece]:
    further = _further(config, job)
    trained = [Piece("train", {"model": name}) for name in further if config.entry(name).zoo]
    return [*trained, *_further_shards(config, job)]


def _small_filter(config: Config) -> list[Wildcards]:
    return [{}] if config.small_filter else []


def _small_simulations(config: Config) -> list[Wildcards]:
    return [{}] if config.theory.small else []


_OF_MODELS, _OF_COUNTS, _OF_THEORY = (
    {stage.name: stage for stage in part.STAGES} for part in (models, analysis, theory)
)
_TOKENIZERS = (_OF_MODELS["tokenizer"],)
_SIMULATIONS = [
    _OF_THEORY[f"theory_{name}"]
    for name in ("simulate", "exponents", "sweep", "sweep_table", "frontiers")
]
# Nothing made from a match is upstream of them, so they are a bundle of their own.
_ROUTES = [_OF_THEORY[f"theory_{name}"] for name in ("ngrams", "beta")]
_TABLES = [
    *(_OF_COUNTS[name] for name in ("counts", "control_tables", "fit", "describe")),
    *(_OF_THEORY[f"theory_{name}"] for name in ("compare", "predict")),
]
_FIGURES = [
    *(_OF_COUNTS[name] for name in ("figures", "control_figures", "neuron_figures")),
    _OF_THEORY["theory_figures"],
]

BUNDLES = (
    Bundle(
        name="tokenizers",
        jobs=_any_of(*_TOKENIZERS),
        pieces=_all_of(*_TOKENIZERS),
        resources=Sized(by="stage"),
    ),
    Bundle(
        name="train_and_profile",
        job="{model}",
        jobs=_small_zoo_models,
        pieces=_trained,
        others=_further_trained,
        resources=Sized(by="model", gpu="always"),
    ),
    Bundle(
        name="profile",
        job="{model}",
        jobs=_small_models,
        pieces=_profile,
        others=_further_shards,
        resources=Sized(by="model", gpu="always"),
    ),
    Bundle(
        name="pair",
        job="{pair}",
        jobs=_rungs,
        pieces=_rung,
        others=_further_pairs,
        resources=Sized(by="pair", gpu="always"),
    ),
    Bundle(
        name="part_of_rung",
        job="{pair}",
        jobs=_parts_of_rungs,
        pieces=_pair,
        others=_further_pairs,
        resources=Sized(by="pair", gpu="always"),
    ),
    Bundle(
        name="groups",
        jobs=_with_larger_groups,
        pieces=_groups,
        resources=Sized(by="stage"),
    ),
    Bundle(
        name="simulations",
        jobs=_small_simulations,
        pieces=_all_of(*_SIMULATIONS),
        resources=Sized(by="stage"),
    ),
    Bundle(name="routes", pieces=_all_of(*_ROUTES), resources=Sized(by="stage")),
    Bundle(name="tables", pieces=_all_of(*_TABLES)),
    Bundle(
        name="filtering",
        jobs=_small_filter,
        pieces=_all_of(*filtering.STAGES),
        resources=Sized(by="stage", gpu="always"),
    ),
    Bundle(name="drawings", pieces=_all_of(*_FIGURES), local=True),
)
