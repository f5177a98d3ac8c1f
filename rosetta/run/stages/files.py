"""Files that several stages read."""

from __future__ import annotations

from pathlib import Path

from rosetta.config import PAIR_SEPARATOR, Config, group_name, group_pairs, twin_name
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


def store(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return a shard's manifest, and its store where one is written."""
    manifest = paths.store_manifest(job["model"], config.activations.n_shards, job["shard"])
    return [manifest] if config.store_mode == "live" else [manifest, store_folder(manifest)]


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
    return [path for name in models(job) for path in stores(config, paths, {"model": name})]


def twin_manifests(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the manifests of a model's untrained twins."""
    seeds = config.controls.untrained_seeds
    return [paths.model_manifest(twin_name(job["model"], seed)) for seed in seeds]


def twin_stores(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the stores of a model's untrained twins.

    They are deleted once they are used, unless the job that captures them does more.
    """
    twins = [twin_name(job["model"], seed) for seed in config.controls.untrained_seeds]
    n_shards = config.activations.n_shards
    shards = [(twin, shard) for twin in twins for shard in range(n_shards)]
    manifests = [paths.store_manifest(twin, n_shards, shard) for twin, shard in shards]
    written = [] if config.store_mode == "live" else manifests
    return [*manifests, *map(store_folder, written)]


def null_inputs(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return what a pair is matched on under a null model."""
    if job["control"] != "untrained":
        documents = [paths.corpus_manifest] if job["control"] == "documents" else []
        return [*documents, *stores_of_models(config, paths, job)]
    twins = [path for name in models(job) for path in twin_stores(config, paths, {"model": name})]
    kept = config.small_pairs  # like the models' own stores: manifests stand for them
    return [path for path in twins if not (kept and path.suffix == ".zarr")]


def neighbors(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the neighbour lists of a pair, one per job that shares its tiles."""
    n_jobs = config.correlation.n_jobs
    return [paths.neighbors_part(job["pair"], part, n_jobs) for part in range(n_jobs)]


def nulls(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the matches of a pair under the null models."""
    return [paths.null_matches(control, job["pair"]) for control in config.controls.names]


def group_matches(_config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the matches of a group's anchor with its other models."""
    pairs = group_pairs(tuple(models(job)))
    return [paths.matches(group_name(pair)) for pair in pairs]


def group_contexts(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the top contexts and the stores of a group's models."""
    found = [paths.contexts(name) for name in models(job)]
    return [*found, *stores_of_models(config, paths, job)]


def of_models(place: str) -> Files:
    """Return the function for one path of every model of a ladder, by its name in `Paths`."""
    return lambda config, paths, _: [getattr(paths, place)(name) for name in config.used_models()]


def of_trainings(place: str) -> Files:
    """Return the function for one path of every training of these models."""
    return lambda config, paths, _: [getattr(paths, place)(name) for name in config.all_models()]


def of_pairs(place: str) -> Files:
    """Return the function for one path of every pair, by its name in `Paths`."""
    return lambda config, paths, _: [
        getattr(paths, place)(group_name(pair)) for pair in config.pairs()
    ]


def of_pairs_of_trainings(place: str) -> Files:
    """Return the function for one path of every pair of trainings, by its name in `Paths`."""
    return lambda config, paths, _: [
        getattr(paths, place)(group_name(pair)) for pair in config.all_pairs()
    ]


def of_groups(place: str) -> Files:
    """Return the function for one path of every group, by its name in `Paths`."""
    return lambda config, paths, _: [
        getattr(paths, place)(group_name(group)) for group in config.groups()
    ]


def all_nulls(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    """Return the matches of all pairs under the null models."""
    pairs = map(group_name, config.pairs())
    return [path for pair in pairs for path in nulls(config, paths, {"pair": pair})]


def all_neighbors(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    """Return the neighbour lists of all pairs."""
    pairs = map(group_name, config.pairs())
    return [path for pair in pairs for path in neighbors(config, paths, {"pair": pair})]


# What is known of every model's neurons.
profiles = both(*map(of_models, ("vocabulary", "neurons", "contexts")))


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
