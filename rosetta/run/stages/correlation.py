"""The stages that correlate: the models, null models, half-samples, and the settings of sweeps."""

from __future__ import annotations

from pathlib import Path

from rosetta.config import Config
from rosetta.config.image_stores import shared_by_generator
from rosetta.config.training_ladders import step_pairs
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.run.stages.record import (
    Sized,
    Slice,
    Stage,
    Wildcards,
    per_pair,
    per_pair_and_step,
    per_pair_of_trainings,
)


def _parts(config: Config) -> list[Wildcards]:
    jobs = range(config.correlation.n_jobs)
    pairs = [*per_pair_of_trainings(config), *({"pair": pair} for pair in step_pairs(config))]
    return [{**pair, "job": job} for pair in pairs for job in jobs]


def _nulls_of_pairs(config: Config) -> list[Wildcards]:
    pairs = [job["pair"] for job in per_pair_and_step(config)]
    return [
        {"control": control, "pair": pair}
        for control in config.controls.names
        for pair in pairs
        if control in config.controls_of(pair)
    ]


def _swept(config: Config) -> list[Wildcards]:
    return per_pair(config) if config.sweeps_recorrelate else []


def seen(config: Config) -> Slice:
    """Return how stored rows become positions, and which positions are used.

    A grid that is not chosen is left out, so that results of before there was a choice stay valid.
    """
    return {
        "alignment": config.alignment.model_dump(mode="json", exclude_defaults=True)
        | {"pooling": config.alignment.pooling},
        "exclusions": config.exclusions.model_dump(mode="json"),
    }


def _recomputed(config: Config) -> Slice:
    """Return what stages that correlate and match again depend on."""
    return {
        **seen(config),
        "precision": config.correlation.precision,
        "matching": config.matching.model_dump(exclude={"instruments"}),
    }


def _correlate(config: Config, pair: str) -> Slice:
    # The memory budget changes how the work is cut, not its result; nor does where it runs.
    kept = config.correlation.model_dump(mode="json", exclude={"memory_gb"})
    found = {**seen(config), "correlation": kept}
    if permuted := config.permuted_with(pair):
        found["permuted"] = permuted
    if config.correlation.floor_of_nulls:
        quantile, n_blocks = config.controls.null_quantile, config.intervals.n_blocks
        found["floor"] = {"null_quantile": quantile, "n_blocks": n_blocks}
    return found


def _nulls(config: Config, control: str) -> Slice:
    return {**_recomputed(config), "seeds": config.controls.seeds(control)}


def _intervals(config: Config, _pair: str) -> Slice:
    # Half-samples are matched among all neurons only if those fit the memory of one task.
    memory_gb = config.correlation.memory_gb / config.dask.n_processes
    intervals = config.intervals.model_dump(mode="json")
    return {**_recomputed(config), "intervals": intervals, "memory_gb": memory_gb}


def _sweeps(config: Config, _pair: str) -> Slice:
    # Other k and thresholds are read off the same neighbour lists. What sweeps once did not have is
    # left out where it asks for nothing, so that results of before stay valid.
    swept = config.sweeps.model_dump(exclude={"k", "thresholds"})
    asked = {name: of for name, of in swept.items() if of or name not in ("grid", "image_source")}
    return {**_recomputed(config), "sweeps": asked}


def _on_other_images(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the stores of a pair's models on images that it is matched on beside its own."""
    if not config.sweeps.image_source:
        return []
    return [
        path
        for names in shared_by_generator(config, job["pair"]).values()
        for name in names
        for path in files.stores(config, paths, {"model": name})
    ]


ON_PAIRS = Sized(by="pair", gpu="always", cores="tasks")

STAGES = (
    Stage(
        name="correlate",
        version=4,
        phase="correlation",
        reads=("activations", "generate", "captured"),
        job="{pair}.{job}-of-{n_parts}",
        n_parts=lambda config: config.correlation.n_jobs,
        jobs=_parts,
        config_slice=_correlate,
        resources=ON_PAIRS,
        # What null models tell is read only where they do, so `reads` does not name them.
        inputs=files.both(files.stores_of_models, files.nulls_of_ladders),
        makes=lambda config, paths, job: [
            paths.neighbors_part(job["pair"], job["job"], config.correlation.n_jobs)
        ],
    ),
    Stage(
        name="nulls",
        version=2,
        phase="nulls",
        reads=(
            "corpus",
            "images",
            "activations",
            "generate",
            "captured",
            "correlate",
            "twins",
            "image_twins",
        ),
        job="{control}.{pair}",
        jobs=_nulls_of_pairs,
        config_slice=_nulls,
        slice_by="control",
        resources=ON_PAIRS,
        inputs=files.null_inputs,
        makes=files.one("null_matches", "control", "pair"),
    ),
    Stage(
        name="intervals",
        version=3,
        phase="intervals",
        reads=("corpus", "images", "activations", "generate", "captured", "correlate"),
        job="{pair}",
        jobs=per_pair_and_step,
        config_slice=_intervals,
        resources=ON_PAIRS,
        inputs=files.both(files.samples, files.stores_of_models, files.neighbors),
        makes=lambda _, paths, job: [paths.intervals(job["pair"]), paths.replicates(job["pair"])],
    ),
    Stage(
        name="sweeps",
        version=2,
        phase="sweeps",
        reads=("corpus", "images", "activations", "generate", "captured"),
        job="{pair}",
        jobs=_swept,
        config_slice=_sweeps,
        resources=ON_PAIRS,
        inputs=files.both(files.samples, files.stores_of_models, _on_other_images),
        makes=files.one("sweeps", "pair"),
    ),
)
