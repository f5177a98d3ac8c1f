"""What can be found wrong with a configuration before the first job, lightly."""

from __future__ import annotations

import os
from functools import partial
from itertools import product
from pathlib import Path

from rosetta.config import Config, EnvironmentSource, FilesSource, Judge, group_name
from rosetta.config.base import MEANT_TO_SNAKEMAKE, Section
from rosetta.config.filtering import Filtering
from rosetta.config.image_stores import shared_by_generator
from rosetta.config.ladders import check_modalities, check_scales
from rosetta.config.names import step_name
from rosetta.config.sae import Sae
from rosetta.config.training_ladders import steps_of_model
from rosetta.correlation.plan import check_budget
from rosetta.errors import ConfigError
from rosetta.extras import require_extra
from rosetta.inputs.text.environment import HARVESTED_EXTRAS, SECTION
from rosetta.judging.budget import check_cost, most_calls
from rosetta.judging.endpoint import check_endpoint
from rosetta.models.diffusion.facts import names_in_file
from rosetta.models.diffusion.folders import check_pipeline_folder
from rosetta.models.folders import check_model_folder, folder_modality, model_files
from rosetta.models.known_sizes import is_planned, known_size
from rosetta.models.modality import known_modality
from rosetta.models.trainings import check_trainings
from rosetta.plan.costs.base import Known
from rosetta.plan.costs.filtering import filter_score
from rosetta.plan.costs.pairs import held_rows, tile_budget
from rosetta.plan.costs.stages import COSTS
from rosetta.plan.extent import Extent
from rosetta.run.paths import Paths
from rosetta.sae.folders import check_inputs, part_folders, weight_files
from rosetta.sae.sizes import check_active, sae_size


def check_config(config: Config, need_sources: bool = True) -> None:
    """Check a configuration's files and folders, and whether its jobs can succeed.

    Parameters
    ----------
    config : Config
        The configuration.
    need_sources : bool
        Whether local files of the corpus and of a pool have to be there, and models of `path`; a
        plan does without those files, and without models whose `dimensions` are given.

    Raises
    ------
    RosettaError
        With the key, the value and the fix: a results folder that cannot be written, a model
        folder that cannot be used, no text to train on, more shards than documents, models of
        unlike scale on a rung or of two modalities in a ladder, a replicate of another model, the
        same weights twice in a rung, too little memory for a model or a
        pair of known size, a corpus that is missing, empty or lacks a column, a domain without a
        category, an endpoint without its key, a judge that may cost more than is allowed, a
        package of an extra that is not installed.
    """
    _check_results(Path(config.results))
    if need_sources:
        _check_extras(config)
    for name in config.models:
        _check_entry(config, name, need_sources)
    if config.sae and need_sources:
        _check_autoencoders(config, config.sae)
    _check_training(config)
    _check_shards(config)
    check_modalities(config, partial(known_modality, config, Paths(Path(config.results))))
    check_trainings(config, Paths(Path(config.results)))
    _check_sizes(config)
    if "text" in config.modalities:
        _check_corpus(config, need_sources)
    _check_image_sweeps(config)
    if config.draws_images and need_sources:
        _check_images(config)
    if config.judge and need_sources:
        _check_judge(config, config.judge)


def _check_entry(config: Config, name: str, need_sources: bool) -> None:
    """Check the files that a model is read from."""
    entry = config.models[name]
    if entry.path is not None and not (is_planned(entry) and not need_sources):
        _check_folder(config, name, Path(entry.path))
        for step in steps_of_model(config, name) if need_sources else []:
            at_step = step_name(name, step)
            _check_folder(config, at_step, Path(str(config.entry(at_step).path)))
    if need_sources and entry.pipeline and isinstance(entry.pipeline.class_names, str):
        names_in_file(entry.pipeline.class_names, f"models.{name}.pipeline.class_names")
    if entry.hub is not None and Path(entry.hub).exists():
        raise ConfigError(
            f"models.{name}.hub: a folder {entry.hub} lies here, which would be loaded in "
            "its place. Give it as "
            "`path`, or run elsewhere."
        )


def _check_folder(config: Config, name: str, folder: Path) -> None:
    """Check a model's folder, and that the model sees what its entry says."""
    key, pipeline = f"models.{name}.path", config.entry(name).pipeline
    if pipeline is not None:
        check_pipeline_folder(folder, pipeline, f"models.{name}")
        _check_names(model_files(folder), key)
        return
    check_model_folder(folder, key, config.activations.sequence_length)
    _check_names(model_files(folder), key)
    seen = folder_modality(folder, key)
    if seen != config.modality_of(name):
        raise ConfigError(
            f"models.{name}.modality: is {config.modality_of(name)}, but the model in {folder} "
            f"sees {seen}. Set it to {seen}."
        )


def _check_corpus(config: Config, need_sources: bool) -> None:
    """Check what can be known of the texts before they are read."""
    source, shortest = config.corpus.source, config.corpus.min_document_bytes
    if isinstance(source, EnvironmentSource) and shortest > SECTION:
        raise ConfigError(
            f"corpus.min_document_bytes: {shortest} is above {SECTION}, the longest documents of "
            "kind environment. Lower it."
        )
    _check_source(source, "corpus.source", shortest, need_sources)
    if config.filtering:
        _check_filtering(config, config.filtering)
        _check_source(config.filtering.pool.source, "filtering.pool.source", 1, need_sources)
    if config.annotation:
        check_endpoint(config.annotation)
    if isinstance(source, EnvironmentSource) and config.specialization.categories is not None:
        from rosetta.analysis.specialization import categories_of  # needs pandas

        categories_of(list(source.domains), config.specialization.categories)


def _check_judge(config: Config, judge: Judge) -> None:
    """Check that judges can be asked, and what they may cost; a plan tells the latter."""
    for endpoint in (judge, judge.second):
        if endpoint:
            check_endpoint(endpoint)
    paths = Paths(Path(config.results))

    def n_neurons(model: str) -> int | None:
        size = known_size(config, paths, model)
        return size.shape.n_neurons if size else None

    check_cost(judge, most_calls(config, n_neurons))


def _check_image_sweeps(config: Config) -> None:
    """Check that the sweeps of images have images, and models that they apply to."""
    pairs = [group_name(pair) for pair in config.pairs("images")]
    if config.sweeps.grid and not pairs:
        raise ConfigError(
            "sweeps.grid: no ladder is of models that see images, and text has no grid. Leave it "
            "out."
        )
    if config.sweeps.image_source and not any(shared_by_generator(config, one) for one in pairs):
        raise ConfigError(
            "sweeps.image_source: no two models are compared both with each other and with one "
            "generator, so none saw images of two kinds. Add such ladders, or leave it out."
        )


def _check_autoencoders(config: Config, settings: Sae) -> None:
    """Check autoencoders that are read, and the size of others, as far as sizes are known."""
    paths = Paths(Path(config.results))
    for model, path in settings.path.items():
        _check_names(weight_files(Path(path)), f"sae.path.{model}")
    for model in config.used_models():
        size, path = known_size(config, paths, model), settings.path.get(model)
        if size is None:
            continue
        of = sae_size(settings, model, size.shape)
        for folder in part_folders(Path(path), settings.per, of.n_parts) if path else []:
            check_inputs(folder, of.d_in, f"sae.path.{model}")
        if not path:
            check_active(settings, of)


def _check_images(config: Config) -> None:
    """Check that local images are there, under names that Snakemake takes as they are."""
    from rosetta.inputs.images.inspection import check_source, local_files  # needs Pillow

    check_source(config.images.source)
    _check_names(local_files(config.images.source), "images.source.path")


def _check_filtering(config: Config, filtering: Filtering) -> None:
    read = [("scoring", config.filter_model(), filtering.scoring.sequence_length)]
    if filtering.pretraining:
        trained = filtering.pretraining
        read.append(("pretraining", trained.model, trained.sequence_length))
    for section, name, length in read:
        path = config.models[name].path
        if path is not None:
            key = f"filtering.{section}.sequence_length"
            check_model_folder(Path(path), f"models.{name}.path", length, key)


def _check_source(source: Section | None, section: str, min_bytes: int, needed: bool) -> None:
    if isinstance(source, FilesSource) and (needed or Path(source.path).exists()):
        from rosetta.inputs.text.records import (
            check_files,
            keys_of,
            left_out,
            source_files,
        )  # needs pyarrow, so only when it is used

        check_files(source, min_bytes, keys_of(section))
        _check_names(source_files(source.path), f"{section}.path")
        left_out(source.path, f"{section}.path")


def _check_names(files: list[Path], key: str) -> None:
    for file in files:
        if meant := MEANT_TO_SNAKEMAKE.search(str(file)):
            raise ConfigError(
                f"{key}: {file} has '{meant[0]}' in its name, which Snakemake takes for a wildcard "
                "or a variable. Rename it."
            )


def _check_extras(config: Config) -> None:
    """Find packages that are not installed before the first job, not after hours at the job that
    needs them.
    """
    needs = {"models": "models", "plots": "report"}
    needs |= {"corpora": "corpus"} if "text" in config.modalities else {}
    needs |= {"images": "images"} if "images" in config.modalities else {}
    for name in config.used_models("images"):
        if config.described(name).pipeline:
            needs["diffusion"] = f"models.{name}.pipeline"
    if config.filtering:
        needs["filtering"] = "filtering"
    if config.dask.scheduler == "slurm":
        needs["slurm"] = "dask.scheduler: slurm"
    read = "text" in config.modalities
    if read and isinstance(config.corpus.source, EnvironmentSource):  # or it would harvest less
        needs = dict.fromkeys(HARVESTED_EXTRAS, "corpus.source: kind environment") | needs
    for extra, key in needs.items():
        require_extra(extra, key)


def _check_results(results: Path) -> None:
    try:
        existing = next(
            folder for folder in (results, *results.resolve().parents) if folder.exists()
        )
    except OSError as error:
        raise ConfigError(f"results: {error.strerror}. Name another folder.") from None
    if not existing.is_dir():
        raise ConfigError(f"results: {existing} is not a folder. Name another folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(
            f"results: {results} cannot be written ({existing} is read-only). Name another folder."
        )


def _check_training(config: Config) -> None:
    splits = {"text": config.corpus.splits.train, "images": config.images.splits.train}
    keys = {"text": "corpus.splits.train", "images": "images.splits.train"}
    for modality in config.modalities:
        trained = config.trained_models(modality)
        if trained and splits[modality] == 0:
            raise ConfigError(
                f"{keys[modality]}: is 0, but models.{trained[0]} is trained on this split. "
                "Raise it, or leave zoo models out of the ladders."
            )


def _check_shards(config: Config) -> None:
    n_shards, sampling = config.activations.n_shards, config.corpus.sampling
    limits = {
        "activations.max_documents": config.activations.max_documents,
        "corpus.max_documents": config.corpus.max_documents,
        "corpus.sampling.max_sequences": sampling and sampling.max_sequences,
    }
    of_images = {
        "activations.max_images": config.activations.max_images,
        "images.max_images": config.images.max_images,
        "images.generated.n_images": config.images.generated.n_images,
    }
    limits = limits if "text" in config.modalities else {}
    for key, limit in (limits | (of_images if "images" in config.modalities else {})).items():
        if limit is not None and n_shards > limit:
            sample = "image" if key in of_images else "document"
            raise ConfigError(
                f"activations.n_shards: {n_shards} is above {key} ({limit}), so that a shard "
                f"would have no {sample}. Lower it, or raise {key}."
            )


def _check_sizes(config: Config) -> None:
    """Check what follows from the sizes of models, as far as they are known: that each job fits
    what it may use.
    """
    paths = Paths(Path(config.results))
    needed = dict.fromkeys([*config.needed_models(), *config.all_models()])
    sizes = {name: size for name in needed if (size := known_size(config, paths, name))}
    check_scales(config, {name: size.shape.n_neurons for name, size in sizes.items()}.get)
    known = Known(config, Extent(), sizes.__getitem__, "float32")
    of_first = ["vocabulary", *(["twins"] if config.controls.untrained_seeds else [])]
    jobs = [
        *product(["activations"], config.all_models()),
        *product(of_first, config.used_models()),
    ]
    for stage, name in jobs:
        if name in sizes:
            COSTS[stage](known, {"model": name})
    if config.filtering and config.filter_model() in sizes:
        filter_score(known)
    held = max(held_rows(control) for control in ("", *config.controls.names))
    for a, b in config.pairs():
        if a in sizes and b in sizes:
            size, budget = known.pair_size((a, b)), tile_budget(known, (a, b))
            check_budget(size, budget, config.correlation, held)
