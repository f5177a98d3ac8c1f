"""Ablating the neurons that a user names, of a model of any folder or of the hub."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rosetta.ablation.image_loss import check_classifier, classifier_of, load_whole
from rosetta.ablation.named import (
    MOST_TOKENS,
    NamedNeurons,
    ablate_on_images,
    ablate_on_text,
    mask_of,
    tokens_read,
)
from rosetta.ablation.request import AblationRequest
from rosetta.ablation.run_inputs import heldout_documents, heldout_images
from rosetta.ablation.run_models import check_classes
from rosetta.activations.inputs import ShardInputs
from rosetta.config.devices import Devices
from rosetta.errors import ConfigError, CorpusError
from rosetta.inputs.text.documents import Text
from rosetta.inputs.text.records import Keys, file_texts
from rosetta.models import loading
from rosetta.models.architectures.registry import modality_of
from rosetta.models.devices import room_here
from rosetta.models.loading_within_memory import load_placed
from rosetta.models.model_manifest import count_parameters
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.neurons import NeuronShape
from rosetta.models.placement import Demand
from rosetta.models.sources import ModelSource, model_source, named_source
from rosetta.models.tokenizers import check_vocabulary, load_tokenizer, n_embedded
from rosetta.storage.digests import hash64
from rosetta.storage.tables import read_csv

LABEL = "--model"
KEYS = Keys("--texts", "--text-column", "--domain-column")


def ablate_by_hand(wanted: AblationRequest) -> pd.DataFrame:
    """Return what samples cost a model under all treatments: `NAMED_COLUMNS`.

    Raises
    ------
    RosettaError
        If the model has no loss or cannot be loaded, a neuron is not in it, an option does not
        apply to it, or there are no samples.
    """
    source = _source(wanted)
    config = loading.load_config_of(source)
    text = modality_of(config.model_type, LABEL) == "text"
    _check_options(wanted, text, is_folder=source.revision is None)
    if not text:
        check_classifier(config, LABEL)
    mask = read_mask(wanted.neurons, neuron_shape(config, LABEL))
    named = NamedNeurons(wanted.model, mask, wanted.settings)
    return (_on_text if text else _on_images)(wanted, source, config, named)


def _source(wanted: AblationRequest) -> ModelSource:
    if wanted.run is not None and wanted.of_run:
        return model_source(*wanted.run, wanted.model)
    if wanted.run is not None and "/" not in wanted.model and not Path(wanted.model).exists():
        raise ConfigError(
            f"{LABEL}: {wanted.model!r} is no model of the run, which has "
            f"{', '.join(wanted.run[0].models)}; nor is it a folder. Name one of these, a folder, "
            "or a model of the hub with its owner (owner/name)."
        )
    return named_source(wanted.model, wanted.revision, wanted.dtype, LABEL)


def _check_options(wanted: AblationRequest, text: bool, *, is_folder: bool) -> None:
    """Reject an option that would change nothing."""
    wrong: dict[str, str] = {}
    if is_folder:
        wrong["--revision"] = f"{wanted.model} is a folder, and has none"
    if wanted.of_run:
        said = f"{wanted.model} is a model of the run, whose configuration says it"
        wrong |= {"--revision": said, "--dtype": said}
    elif wanted.run is not None and wanted.texts is not None:
        wrong["--config"] = (
            f"with --texts, it tells of the run's own models, and {wanted.model} is none of them"
        )
    if wanted.texts is None:
        wrong |= dict.fromkeys(("--text-column", "--domain-column"), "no --texts are given")
    if text:
        wrong["--max-images"] = f"{wanted.model} reads text (--max-documents)"
    else:
        said = f"{wanted.model} sees images (--max-images)"
        wrong |= {"--max-documents": said, "--sequence-length": said}
    for option in sorted(wanted.given & wrong.keys()):
        raise ConfigError(f"{option}: {wrong[option]}. Leave the option out.")


def read_mask(path: Path, shape: NeuronShape) -> np.ndarray:
    """Return the neurons that a CSV names, bool (n_layers, d_mlp).

    Raises
    ------
    StoreError
        If it is not such a table, or has no row.
    ConfigError
        If a neuron is not in the model or is there twice.
    """
    table = read_csv(path, ["layer", "unit"], ("layer", "unit"), some=True)
    return mask_of(table, shape, str(path))


def _documents(wanted: AblationRequest) -> pd.DataFrame:
    """Return the documents that are read, each once."""
    if wanted.texts is None:
        assert wanted.run is not None, "one of both is given"
        return heldout_documents(wanted.run[1], wanted.settings.max_documents)
    # Ids are hashes, so the lowest are a random sample.
    found = lowest_ids(file_texts(wanted.source, KEYS), wanted.settings.max_documents)
    if not found:
        raise CorpusError(f"--texts: {wanted.texts} holds no document with text. Give others.")
    return document_table(found)


def document_table(texts: Mapping[int, Text]) -> pd.DataFrame:
    """Return id, text, domain and cluster of documents by id, each a cluster of its own."""
    return pd.DataFrame(
        {
            "id": np.array(list(texts), dtype=np.uint64),
            "text": [one.text for one in texts.values()],
            "domain": [one.domain for one in texts.values()],
            "cluster": [str(id_) for id_ in texts],
        }
    )


def lowest_ids(texts: Iterable[Text], limit: int | None) -> dict[int, Text]:
    """Return the different documents of lowest id, by id in ascending order; no more are held.

    Parameters
    ----------
    texts : iterable of Text
        Documents. Of several with one text, the first counts; blank ones do not.
    limit : int or None
        How many; None for all.
    """
    kept: dict[int, Text] = {}
    highest: list[int] = []  # ids times -1, so that the heap's first is the highest
    for one in texts:
        id_ = hash64(one.text)
        if not one.text.strip() or id_ in kept:
            continue
        if limit is not None and len(kept) == limit:
            if id_ > -highest[0]:
                continue
            del kept[-heapq.heappop(highest)]
        kept[id_] = one
        heapq.heappush(highest, -id_)
    return dict(sorted(kept.items()))


def _on_text(
    wanted: AblationRequest, source: ModelSource, config: Any, named: NamedNeurons
) -> pd.DataFrame:
    most = MOST_TOKENS if wanted.run is None else wanted.run[0].activations.sequence_length
    length = tokens_read(config, wanted.sequence_length, most, "--sequence-length")
    tokenizer, documents = load_tokenizer(source), _documents(wanted)
    check_vocabulary(tokenizer, config, LABEL)
    shape = neuron_shape(config, LABEL)
    demand = Demand.of(shape, count_parameters(config), source.dtype, length, stored=None)
    inputs = ShardInputs(
        source=source,
        demand=demand.with_logits(length, n_embedded(config), source.dtype),
        room=room_here(Devices()),
        wanted_batch=wanted.batch_size,
        model_config=config,
        tokenizer=tokenizer,
        documents=list(zip(documents["id"].tolist(), documents["text"].tolist(), strict=True)),
        made_by={},
    )
    return ablate_on_text(inputs, documents, named, length)


def _on_images(
    wanted: AblationRequest, source: ModelSource, config: Any, named: NamedNeurons
) -> pd.DataFrame:
    if wanted.run is None or wanted.texts is not None:
        raise ConfigError(
            f"--texts: {wanted.model} sees images, whose classes a run knows. Give --config, "
            "and no texts."
        )
    images, pixels, n_classes = heldout_images(wanted.run[1], wanted.settings.max_images)
    shape = neuron_shape(config, LABEL)
    demand = Demand.of(shape, count_parameters(config), source.dtype, 1024, stored=None)
    size = wanted.batch_size
    whole, _ = load_placed(source, demand, room_here(Devices()), size, load_whole)
    classifier = classifier_of(whole, source)
    check_classes(classifier, n_classes, LABEL)
    return ablate_on_images(classifier, images, pixels, named, size)
