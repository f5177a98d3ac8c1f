"""The rules whose jobs do the work of several stages: all that one model, or one pair, needs.

Starting a process takes seconds, and small models need less for the work itself. Where models are
large, each stage has a rule of its own (`Config.is_small`, `Config.small_pairs`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rosetta.config import PAIR_SEPARATOR, Config, group_name, twin_name
from rosetta.config.base import Modality
from rosetta.config.names import first_training, model_of_store
from rosetta.config.training_ladders import step_models, step_pairs, steps_of_model
from rosetta.run.stages import (
    ablation,
    activations,
    analysis,
    emergence,
    filtering,
    images,
    instruments,
    models,
    sae,
    seeds,
    theory,
)
from rosetta.run.stages.correlation import ON_PAIRS
from rosetta.run.stages.record import Bundle, Piece, Sized, Stage, Wildcards


def _small_models(modality: Modality, *, trained: bool) -> Callable[[Config], list[Wildcards]]:
    """Return the function for the small models of ladders that are trained here, or are not."""

    def jobs(config: Config) -> list[Wildcards]:
        small = filter(config.is_small, config.used_models(modality))
        names = [name for name in small if (config.entry(name).zoo is not None) == trained]
        # No rule could declare what a job makes of some of these, and not of others.
        named = names if modality == "text" or config.small_pairs else []
        return [{"model": name} for name in named]

    return jobs


def _shards(config: Config, names: Iterable[str]) -> list[Piece]:
    shards = range(config.activations.n_shards)
    return [
        Piece(_capturing(config, name), {"model": name, "shard": shard})
        for name in names
        for shard in shards
    ]


def _capturing(config: Config, name: str) -> str:
    """Return the stage that makes stores; the name may be a wildcard in braces, of any text."""
    generates = model_of_store(name) in config.all_models() and config.is_generator(name)
    return "generate" if generates else "activations"


def _profile(config: Config, job: Wildcards) -> list[Piece]:
    pieces = [*_shards(config, [job["model"]]), Piece("vocabulary", job), Piece("neurons", job)]
    twins = config.small_pairs and config.controls.untrained_seeds
    return [*pieces, Piece("twins", job)] if twins else pieces


def _captured(_config: Config, job: Wildcards) -> list[Piece]:
    return [Piece("captured", job)]


def _image_stores(config: Config, job: Wildcards) -> list[Piece]:
    """Return what a model that sees images needs besides, the work on further trainings too.

    It is shown other images by each generator, so the number of its stores differs.
    """
    trained = config.replicates(job["model"])
    trainings = [Piece("train", {"model": name}) for name in trained if config.entry(name).zoo]
    stores = [name for name in config.stores() if model_of_store(name) in trained]
    twins = [twin_name(job["model"], seed) for seed in config.controls.untrained_seeds]
    return [
        *_kept_steps(config, job["model"]),
        *trainings,
        *_shards(config, stores),
        *(Piece("model", {"model": twin}) for twin in twins),
        *(Piece("image_twins", on) for on in activations.twin_shards(config, job["model"])),
    ]


def _kept_steps(config: Config, model: str) -> list[Piece]:
    """Return the part of a training up to the last of its steps that are kept, if any are.

    It comes before the rest of the training, which goes on from its checkpoint.
    """
    kept = config.entry(model).zoo is not None and steps_of_model(config, model)
    return [Piece("train_steps", {"model": model})] if kept else []


def _further(config: Config, job: Wildcards) -> tuple[str, ...]:
    """Return the further trainings of a model, if the jobs of its pairs are bundles too.

    Other rules could not tell that they need this job: no rule declares what it makes of these.
    """
    return config.replicates(job["model"])[1:] if config.small_pairs else ()


def _further_shards(config: Config, job: Wildcards) -> list[Piece]:
    return _shards(config, _further(config, job))


def _pairs(modality: Modality, *, rungs: bool) -> Callable[[Config], list[Wildcards]]:
    """Return the function for the pairs that are a rung of a ladder, or only a part of one."""

    def jobs(config: Config) -> list[Wildcards]:
        if not config.small_pairs:
            return []
        groups, pairs = set(config.groups()), config.pairs(modality)
        return [{"pair": group_name(pair)} for pair in pairs if (pair in groups) == rungs]

    return jobs


def _pair(config: Config, job: Wildcards) -> list[Piece]:
    nulls = [Piece("nulls", {**job, "control": control}) for control in config.controls.names]
    sweeps = [Piece("sweeps", job)] if config.sweeps_recorrelate else []
    neighbors = Piece("correlate", {**job, "job": 0})
    compared = _compared(config, job)
    return [neighbors, *nulls, Piece("intervals", job), *sweeps, Piece("match", job), *compared]


def _compared(config: Config, job: Wildcards) -> list[Piece]:
    return [Piece("instruments", job)] if config.matching.instruments else []


def _image_pair(config: Config, job: Wildcards) -> list[Piece]:
    shown = [Piece(name, job) for name in ("partner_images", "place", "contact_sheet")]
    return [*_pair(config, job), *shown]


def _image_rung(config: Config, job: Wildcards) -> list[Piece]:
    return [*_image_pair(config, job), *_image_group({"group": job["pair"]})]


def _group(job: Wildcards) -> list[Piece]:
    return [Piece("anchors", job), Piece("contexts", job)]


def _image_group(job: Wildcards) -> list[Piece]:
    return [Piece("anchors", job), Piece("image_excerpts", job)]


def _rung(config: Config, job: Wildcards) -> list[Piece]:
    return [*_pair(config, job), *_group({"group": job["pair"]})]


def _further_pairs(config: Config, job: Wildcards) -> list[Piece]:
    a, b = job["pair"].split(PAIR_SEPARATOR)
    further = [{"pair": group_name(pair)} for pair in config.replicate_pairs((a, b))[1:]]
    return [
        piece
        for pair in further
        for piece in (
            Piece("correlate", {**pair, "job": 0}),
            Piece("match", pair),
            *_compared(config, pair),
        )
    ]


def _larger_groups(config: Config) -> list[tuple[str, ...]]:
    return [group for group in config.groups() if len(group) > 2] if config.small_pairs else []


def _with_larger_groups(config: Config) -> Sequence[Wildcards]:
    return [{}] if _larger_groups(config) else []


def _groups(config: Config, _job: Wildcards) -> list[Piece]:
    found = []
    for group in _larger_groups(config):
        job = {"group": group_name(group)}
        text = config.modality_of(group[0]) == "text"
        found += _group(job) if text else _image_group(job)
    return found


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
    kept = _kept_steps(config, job["model"])
    return [*kept, *trained, *_further_shards(config, job)]


def _kept_and_large(config: Config) -> list[Wildcards]:
    """Return the models with kept steps whose trainings are jobs of their own."""
    trained = [
        job["model"]
        for modality in ("text", "images")
        for job in _small_models(modality, trained=True)(config)
    ]
    named = dict.fromkeys(map(first_training, step_models(config)))
    large = [name for name in named if name not in trained and config.entry(name).zoo]
    return [{"model": name} for name in large]


def _kept_and_trained(_config: Config, job: Wildcards) -> list[Piece]:
    return [Piece("train_steps", job), Piece("train", job)]


def _small_ladders(config: Config) -> list[Wildcards]:
    return [{}] if config.small_pairs and config.training_ladders else []


def _over_training(config: Config, _job: Wildcards) -> list[Piece]:
    """Return all that training ladders need of the steps before their ends."""
    names = step_models(config)
    # Files of other models are inputs of a rule, which runs again when they are replaced.
    found = [Piece("model", {"model": name}) for name in names if config.entry(name).zoo]
    found += _shards(config, names)
    found += [Piece("vocabulary", {"model": name}) for name in step_models(config, "text")]
    for pair in ({"pair": pair} for pair in step_pairs(config)):
        nulls = config.controls_of(pair["pair"])
        found += [
            Piece("correlate", {**pair, "job": 0}),
            *(Piece("nulls", {**pair, "control": control}) for control in nulls),
            Piece("intervals", pair),
            Piece("match", pair),
            Piece("past", pair),
        ]
    return found


def _small_image_models(config: Config) -> list[Wildcards]:
    return [{}] if config.small_pairs and config.used_models("images") else []


def _small_autoencoders(config: Config) -> list[Wildcards]:
    return [{}] if config.small_pairs and config.sae else []


def _small_filter(config: Config) -> list[Wildcards]:
    return [{}] if config.small_filter else []


def _small_simulations(config: Config) -> list[Wildcards]:
    return _any_of(*_SIMULATIONS)(config) if config.theory.small else []


def _small_effects(config: Config) -> list[Wildcards]:
    return _any_of(*_EFFECTS)(config) if config.small_pairs else []


_OF_MODELS, _OF_STORES, _OF_IMAGES, _OF_COUNTS, _OF_INSTRUMENTS, _OF_THEORY = (
    {stage.name: stage for stage in part.STAGES}
    for part in (models, activations, images, analysis, instruments, theory)
)
_OF_OUTPUTS, _OF_SAE = ({stage.name: stage for stage in part.STAGES} for part in (ablation, sae))
_OVER_TRAINING = {stage.name: stage for stage in (*emergence.STAGES, *seeds.STAGES)}
# Both load the models again, which takes less time than to start a process for each.
_EFFECTS = [_OF_OUTPUTS[name] for name in ("attribution", "ablate")]
_PROFILES = [_OF_IMAGES["image_neurons"]]
_AUTOENCODERS = [_OF_SAE[name] for name in ("sae", "sae_encode", "sae_match")]
_TOKENIZERS = (_OF_MODELS["tokenizer"],)
_SIMULATIONS = [
    _OF_THEORY[f"theory_{name}"]
    for name in ("simulate", "exponents", "sweep", "sweep_table", "frontiers")
]
# Nothing made from a match is upstream of them, so they are a bundle of their own.
_ROUTES = [_OF_THEORY[f"theory_{name}"] for name in ("ngrams", "beta")]
_TABLES = [
    *(_OF_COUNTS[name] for name in ("counts", "control_tables", "fit", "describe", "findings")),
    _OF_INSTRUMENTS["instrument_tables"],
    _OVER_TRAINING["emergence"],
    _OVER_TRAINING["across_seeds"],
    *(_OF_OUTPUTS[name] for name in ("attribution_tables", "ablation_tables")),
    _OF_SAE["sae_tables"],
    *(_OF_THEORY[f"theory_{name}"] for name in ("compare", "predict")),
]
_FIGURES = [
    *(_OF_COUNTS[name] for name in ("figures", "control_figures", "neuron_figures")),
    _OF_INSTRUMENTS["instrument_figures"],
    _OVER_TRAINING["emergence_figures"],
    _OVER_TRAINING["across_seeds_figures"],
    *(_OF_OUTPUTS[name] for name in ("attribution_figures", "ablation_figures")),
    _OF_SAE["sae_figures"],
    _OF_IMAGES["place_maps"],
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
        jobs=_small_models("text", trained=True),
        pieces=_trained,
        others=_further_trained,
        resources=Sized(by="model", gpu="always"),
    ),
    Bundle(
        name="profile",
        job="{model}",
        jobs=_small_models("text", trained=False),
        pieces=_profile,
        others=_further_shards,
        resources=Sized(by="model", gpu="always"),
    ),
    Bundle(
        name="train_and_capture",
        job="{model}",
        jobs=_small_models("images", trained=True),
        pieces=_captured,
        others=_image_stores,
        resources=Sized(by="model", gpu="always"),
    ),
    Bundle(
        name="capture",
        job="{model}",
        jobs=_small_models("images", trained=False),
        pieces=_captured,
        others=_image_stores,
        resources=Sized(by="model", gpu="always"),
    ),
    Bundle(
        name="image_profiles",
        jobs=_small_image_models,
        pieces=_all_of(*_PROFILES),
        resources=Sized(by="stage"),
    ),
    Bundle(
        name="pair",
        job="{pair}",
        jobs=_pairs("text", rungs=True),
        pieces=_rung,
        others=_further_pairs,
        resources=ON_PAIRS,
    ),
    Bundle(
        name="image_pair",
        job="{pair}",
        jobs=_pairs("images", rungs=True),
        pieces=_image_rung,
        others=_further_pairs,
        resources=ON_PAIRS,
    ),
    Bundle(
        name="image_part_of_rung",
        job="{pair}",
        jobs=_pairs("images", rungs=False),
        pieces=_image_pair,
        others=_further_pairs,
        resources=ON_PAIRS,
    ),
    Bundle(
        name="part_of_rung",
        job="{pair}",
        jobs=_pairs("text", rungs=False),
        pieces=_pair,
        others=_further_pairs,
        resources=ON_PAIRS,
    ),
    Bundle(
        name="train_with_steps",
        job="{model}",
        jobs=_kept_and_large,
        pieces=_kept_and_trained,
        resources=Sized(by="model"),
    ),
    Bundle(
        name="over_training",
        jobs=_small_ladders,
        pieces=_over_training,
        resources=Sized(by="stage", gpu="always", cores="tasks"),
    ),
    Bundle(
        name="groups",
        jobs=_with_larger_groups,
        pieces=_groups,
        resources=Sized(by="stage"),
    ),
    Bundle(
        name="effects",
        jobs=_small_effects,
        pieces=_all_of(*_EFFECTS),
        resources=Sized(by="stage", gpu="always"),
    ),
    Bundle(
        name="autoencoders",
        jobs=_small_autoencoders,
        pieces=_all_of(*_AUTOENCODERS),
        resources=Sized(by="stage"),
    ),
    Bundle(
        name="simulations",
        jobs=_small_simulations,
        pieces=_all_of(*_SIMULATIONS),
        resources=Sized(by="stage"),
    ),
    Bundle(
        name="routes",
        jobs=_any_of(*_ROUTES),
        pieces=_all_of(*_ROUTES),
        resources=Sized(by="stage"),
    ),
    Bundle(name="tables", pieces=_all_of(*_TABLES), resources=Sized(by="stage")),
    Bundle(
        name="filtering",
        jobs=_small_filter,
        pieces=_all_of(*filtering.STAGES),
        resources=Sized(by="stage", gpu="always"),
    ),
    Bundle(name="drawings", pieces=_all_of(*_FIGURES), local=True),
)
