"""Files that several stages read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rosetta.config import PAIR_SEPARATOR, Config, group_name, group_pairs, twin_name
from rosetta.config.base import Modality
from rosetta.config.controls import CALIBRATING
from rosetta.config.names import first_training, generator_of_store, model_of_store
from rosetta.run.paths import Paths
from rosetta.run.stages.record import Files, Wildcards


def both(*several: Files) -> Files:
    """Return the files of all of some functions, as one function."""

    def files(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
        return [path for one in several for path in one(config, paths, job)]

    return files


def models(job: Wildcards) -> list[str]:
    """Return the models of a pair or a group, anchor first."""
    return (job["pair"] if "pair" in job else job["group"]).split(PAIR_SEPARATOR)


def samples(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return what says which samples the models of a job are shown, for all of their shards.

    The models of a ladder see the same, so the first tells it.
    """
    model = job["model"] if "model" in job else models(job)[0]
    if config.modality_of(model) == "text":
        return [paths.corpus_manifest]
    if config.is_generator(model):
        return []  # it makes them
    return [paths.image_set("match")]


def shown(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the samples that a shard of stores is of, but of a generator's own stores."""
    generator = generator_of_store(job["model"])
    if generator is None:
        return samples(config, paths, job)
    made = paths.generated(generator, config.activations.n_shards, job["shard"])
    return [made, paths.captured(first_training(generator))]


def captured(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return what says that all stores of the models of a pair are there, if these see images.

    Where no rule declares the stores, it is what a job has to wait for.
    """
    names = [first_training(name) for name in models(job)]
    if config.modality_of(names[0]) == "text":
        return []
    return [paths.captured(name) for name in names]


def all_stores(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return all stores of a model that sees images, and of its further trainings."""
    trained = config.replicates(job["model"])
    names = [name for name in config.stores() if model_of_store(name) in trained]
    return [path for name in names for path in stores(config, paths, {"model": name})]


def model_of_stores(_config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the manifest of the model that stores are of."""
    return [paths.model_manifest(model_of_store(job["model"]))]


def store(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return a shard's manifest, and its store where one is written."""
    manifest = paths.store_manifest(job["model"], config.activations.n_shards, job["shard"])
    return [manifest] if config.store_mode == "live" else [manifest, store_folder(manifest)]


def generated(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the manifest of the images that a generator made in a shard."""
    return [paths.generated(job["model"], config.activations.n_shards, job["shard"])]


def store_folder(manifest: Path) -> Path:
    """Return the store that a manifest describes."""
    return manifest.with_suffix(".zarr")


def stores(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return all shards of a model: their manifests; and the stores, where the workflow deletes
    them once they are used.
    """
    n_shards = config.activations.n_shards
    manifests = [paths.store_manifest(job["model"], n_shards, shard) for shard in range(n_shards)]
    written = manifests if config.store_mode == "temporary" else []
    return [*manifests, *map(store_folder, written)]


def stores_of_models(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the shards of all models of a pair or a group."""
    first, *others = models(job)
    pairs = [config.stores_of(group_name((first, other))) for other in others]
    names = dict.fromkeys(name for pair in pairs for name in pair)
    found = [path for name in names for path in stores(config, paths, {"model": name})]
    return [*found, *captured(config, paths, job)]


def store_folders(config: Config, paths: Paths, pair: str) -> tuple[Path, Path]:
    """Return the folders of the shard stores of both models of a pair, which may be twins."""
    a, b = (paths.stores(name, config.activations.n_shards) for name in config.stores_of(pair))
    return a, b


def sample_table(config: Config, paths: Paths, pair: str) -> Path | None:
    """Return the table that tells which samples of a pair are parts of one whole; of images, which
    are all for themselves, there is none.
    """
    text = config.modality_of(pair.split(PAIR_SEPARATOR)[0]) == "text"
    return paths.split("match") if text else None


def twin_manifests(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the manifests of a model's untrained twins."""
    seeds = config.controls.untrained_seeds
    return [paths.model_manifest(twin_name(job["model"], seed)) for seed in seeds]


def twin_stores(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the stores of a language model's untrained twins.

    They are deleted once they are used, unless the job that captures them does more.
    """
    seeds = config.controls.untrained_seeds
    return _twins(config, paths, [twin_name(job["model"], seed) for seed in seeds])


def _twins(config: Config, paths: Paths, names: Iterable[str]) -> list[Path]:
    n_shards = config.activations.n_shards
    shards = [(twin, shard) for twin in names for shard in range(n_shards)]
    manifests = [paths.store_manifest(twin, n_shards, shard) for twin, shard in shards]
    written = [] if config.store_mode == "live" else manifests
    return [*manifests, *map(store_folder, written)]


def shown_to_twin(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the samples that a shard of an untrained twin's stores is of.

    A generator's twin makes images of the same noise and labels, but has the ids of what it made.
    """
    twin = config.entry(job["model"]).untrained
    if twin and config.is_generator(twin.of):
        return [paths.generated(twin.of, config.activations.n_shards, job["shard"])]
    return shown(config, paths, job)


def null_inputs(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return what a pair is matched on under a null model."""
    if job["control"] == "permutation" and config.permutes_live:
        return neighbors(config, paths, job)
    if job["control"] != "untrained":
        known = samples(config, paths, job) if job["control"] == "documents" else []
        return [*known, *stores_of_models(config, paths, job)]
    pairs = [
        group_name(tuple(twin_name(model, seed) for model in models(job)))
        for seed in config.controls.untrained_seeds
    ]
    twins = _twins(config, paths, [name for pair in pairs for name in config.stores_of(pair)])
    if config.modality_of(models(job)[0]) == "images":
        return [*twins, *captured(config, paths, job)]
    kept = config.small_pairs  # like the models' own stores: manifests stand for them
    return [path for path in twins if not (kept and path.suffix == ".zarr")]


def neighbors(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the neighbour lists of a pair, one per job that shares its tiles."""
    n_jobs = config.correlation.n_jobs
    return [paths.neighbors_part(job["pair"], part, n_jobs) for part in range(n_jobs)]


def nulls(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the matches of a pair under the null models."""
    named = config.controls_of(job["pair"])
    return [paths.null_matches(control, job["pair"]) for control in named]


def nulls_of_ladders(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the null models' matches that tell what a pair is screened for."""
    if not config.correlation.floor_of_nulls:
        return []
    rungs = [rung for name in config.ladders_of(job["pair"]) for rung in config.ladders[name]]
    pairs = dict.fromkeys(group_name(pair) for rung in rungs for pair in group_pairs(tuple(rung)))
    named = [name for name in CALIBRATING if config.controls.seeds(name)]
    return [paths.null_matches(name, pair) for pair in pairs for name in named]


def group_matches(_config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the matches of a group's anchor with its other models."""
    pairs = group_pairs(tuple(models(job)))
    return [paths.matches(group_name(pair)) for pair in pairs]


def group_contexts(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the top contexts and the stores of a group's models."""
    found = [paths.contexts(name) for name in models(job)]
    return [*found, *stores_of_models(config, paths, job)]


def of_models(place: str, modality: Modality | None = None) -> Files:
    """Return the function for one path of every model of a ladder, by its name in `Paths`; of those
    of a modality only, if one is given.
    """
    return lambda config, paths, _: [
        getattr(paths, place)(name) for name in config.used_models(modality)
    ]


def of_trainings(place: str) -> Files:
    """Return the function for one path of every training of these models."""
    return lambda config, paths, _: [getattr(paths, place)(name) for name in config.all_models()]


def of_pairs(place: str, modality: Modality | None = None) -> Files:
    """Return the function for one path of every pair, by its name in `Paths`."""
    return lambda config, paths, _: [
        getattr(paths, place)(group_name(pair)) for pair in config.pairs(modality)
    ]


def of_pairs_of_trainings(place: str) -> Files:
    """Return the function for one path of every pair of trainings, by its name in `Paths`."""
    return lambda config, paths, _: [
        getattr(paths, place)(group_name(pair)) for pair in config.all_pairs()
    ]


def of_groups(place: str, modality: Modality | None = None) -> Files:
    """Return the function for one path of every group, by its name in `Paths`."""
    return lambda config, paths, _: [
        getattr(paths, place)(group_name(group)) for group in config.groups(modality)
    ]


def all_nulls(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    """Return the matches of all pairs under the null models."""
    pairs = map(group_name, config.pairs())
    return [path for pair in pairs for path in nulls(config, paths, {"pair": pair})]


def all_neighbors(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    """Return the neighbour lists of all pairs."""
    pairs = map(group_name, config.pairs())
    return [path for pair in pairs for path in neighbors(config, paths, {"pair": pair})]


# What is known of the neurons of every language model, and of every model that sees images.
profiles = both(*(of_models(name, "text") for name in ("vocabulary", "neurons", "contexts")))
_ON_IMAGES = ("neurons", "top_images", "monosemanticity", "factors")
image_profiles = both(*(of_models(name, "images") for name in _ON_IMAGES))


def tables(*names: str) -> Files:
    """Return the function for some tables."""
    return lambda _, paths, _job: [paths.table(name) for name in names]


def one(place: str, *wildcards: str) -> Files:
    """Return the function for a path, by its name in `Paths` and the wildcards that it takes."""

    def files(_config: Config, paths: Paths, job: Wildcards) -> list[Path]:
        path = getattr(paths, place)
        return [path(*(job[name] for name in wildcards)) if wildcards else path]

    return files


corpus = one("corpus_manifest")
model = one("model_manifest", "model")
