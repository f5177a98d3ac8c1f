"""Measuring a run's models: loaded where they fit, on the run's held-out samples."""

from __future__ import annotations

from typing import Any

import pandas as pd

from rosetta.ablation.image_loss import Classifier, classifier_of, load_whole
from rosetta.ablation.measure import (
    Measured,
    Targets,
    facts_told,
    measure_on_images,
    measure_on_text,
)
from rosetta.ablation.run_inputs import (
    heldout_documents,
    heldout_images,
    statistics_of,
    targets_of,
)
from rosetta.activations.capture import tokenize_shard
from rosetta.activations.inputs import ShardInputs
from rosetta.config import Config
from rosetta.config.devices import AUTO
from rosetta.errors import ModelError, StoreError
from rosetta.models import loading, sources
from rosetta.models.devices import room_here
from rosetta.models.loading_within_memory import load_placed
from rosetta.models.model_manifest import checked_manifest
from rosetta.models.neurons import NeuronShape
from rosetta.models.placement import Demand
from rosetta.models.tokenizers import checked_tokenizer, n_embedded
from rosetta.run.paths import Paths
from rosetta.storage.damage import how_to_recompute


def measure_model(
    config: Config, paths: Paths, named: tuple[str, str], rosetta: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the losses of a model under all treatments, and what is told of these.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    named : (str, str)
        The model, and the stores that its neurons were measured on.
    rosetta : DataFrame
        `rosetta.matching.mutual.ROSETTA_COLUMNS` of the rung.

    Returns
    -------
    losses : DataFrame
        `rosetta.ablation.columns.LOSS_COLUMNS`.
    facts : dict
        `n_neurons`, `n_targets`, `layers`, and `composition`, a list of rows.
    """
    model, store = named
    text = config.modality_of(model) == "text"
    source = sources.model_source(config, paths, model)
    manifest = checked_manifest(source, paths.model_manifest(model))
    shape = NeuronShape.of(manifest)
    statistics = statistics_of(paths, store, text)
    if len(statistics["mean"]) != shape.n_neurons:
        raise StoreError(
            f"{paths.neurons(model)}: has {len(statistics['mean'])} neurons of {store} and "
            f"{model} {shape.n_neurons}. {how_to_recompute(paths.neurons(model))}"
        )
    assert config.ablation is not None, "models are measured only for an ablation"
    targets = Targets(targets_of(rosetta, model, shape), statistics, config.ablation, model)
    measured = (_on_text if text else _on_images)(config, paths, source, manifest, targets)
    return measured.losses, facts_told(measured, targets.mask)


def check_classes(classifier: Classifier, n_classes: int, place: str) -> None:
    """Check that a classifier tells as many classes as the run's images have.

    Raises
    ------
    ModelError
        If it tells others.
    """
    if classifier.n_classes != n_classes:
        raise ModelError(
            f"{place}: tells {classifier.n_classes} classes, and the run's images have "
            f"{n_classes}. Ablate a classifier of these images."
        )


def _on_text(
    config: Config,
    paths: Paths,
    source: sources.ModelSource,
    manifest: dict[str, Any],
    targets: Targets,
) -> Measured:
    documents = heldout_documents(paths, targets.settings.max_documents)
    settings, untrained = config.activations, source.untrained_seed is not None
    model_config, tokenizer = loading.load_config_of(source), checked_tokenizer(source, manifest)
    demand = Demand.of(
        NeuronShape.of(manifest),
        manifest["n_parameters"],
        source.dtype,
        settings.sequence_length,
        stored=None,
    )
    vocabulary = n_embedded(model_config)
    inputs = ShardInputs(
        source=source,
        demand=demand.with_logits(settings.sequence_length, vocabulary, source.dtype),
        room=room_here(config.devices).for_model(untrained=untrained),
        wanted_batch=settings.batch_size,
        model_config=model_config,
        tokenizer=tokenizer,
        documents=list(zip(documents["id"].tolist(), documents["text"].tolist(), strict=True)),
        made_by={},
    )
    tokenized, _ = tokenize_shard(inputs, settings)
    return measure_on_text(inputs.model, documents, tokenized, targets, inputs.batch_size)


def _on_images(
    config: Config,
    paths: Paths,
    source: sources.ModelSource,
    manifest: dict[str, Any],
    targets: Targets,
) -> Measured:
    images, pixels, n_classes = heldout_images(paths, targets.settings.max_images)
    shape, n_parameters = NeuronShape.of(manifest), manifest["n_parameters"]
    grid = manifest["grid"]
    n_tokens = manifest["n_prefix"] + grid[0] * grid[1]
    demand = Demand.of(shape, n_parameters, source.dtype, n_tokens, stored=None)
    room, wanted = room_here(config.devices), config.activations.batch_size
    batch = 1 if wanted == AUTO else wanted
    whole, placement = load_placed(source, demand, room, batch, load_whole)
    classifier = classifier_of(whole, source)
    check_classes(classifier, n_classes, source.place)
    return measure_on_images(classifier, images, pixels, targets, placement.batch_size)
