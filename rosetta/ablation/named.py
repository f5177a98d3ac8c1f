"""Ablating neurons that a user names: which they are, the losses of a loaded model, and the table.

What an ablated neuron is held at, and what draws match, is measured on the same samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd
import torch

from rosetta.ablation.columns import NAMED_COLUMNS
from rosetta.ablation.effects import told_effects
from rosetta.ablation.image_loss import Classifier
from rosetta.ablation.measure import (
    Measured,
    Targets,
    facts_told,
    measure_on_images,
    measure_on_text,
    named_mask,
)
from rosetta.activations.capture import forward, tokenize_shard
from rosetta.activations.image_capture import show_images
from rosetta.activations.inputs import CaptureInputs
from rosetta.analysis.selectivity import vocabulary_table
from rosetta.config import Activations, Bootstrap
from rosetta.config.ablation import AblationSettings
from rosetta.errors import ConfigError, CorpusError
from rosetta.models import loading
from rosetta.models.neurons import NeuronShape
from rosetta.models.output_weights import output_weights, unembedding
from rosetta.models.tokenizers import token_ids
from rosetta.moments import HigherMoments

MOST_TOKENS = 1024  # of a document, where neither a user nor a run says how many are read


@dataclass(frozen=True)
class NamedNeurons:
    """Neurons of a model that a user names.

    Attributes
    ----------
    model : str
        The model's name: with the seed, it determines draws and resamples.
    mask : ndarray of bool, shape (n_layers, d_mlp)
        The neurons.
    settings : AblationSettings
        Method and draws.
    """

    model: str
    mask: np.ndarray
    settings: AblationSettings

    def targets(self, found: HigherMoments, kurtosis: np.ndarray) -> Targets:
        """Return them with what is known of all neurons, each (n_neurons,)."""
        statistics = {"mean": found.mean, "variance": found.variance, "kurtosis": kurtosis}
        return Targets(self.mask, statistics, self.settings, self.model)


def mask_of(table: pd.DataFrame, shape: NeuronShape, place: str) -> np.ndarray:
    """Return the neurons that a table names, bool (n_layers, d_mlp).

    Parameters
    ----------
    table : DataFrame
        `layer` and `unit`, numbers ≥ 0.
    shape : NeuronShape
        The model's.
    place : str
        What messages name as the culprit.

    Raises
    ------
    ConfigError
        If a neuron is not in the model or is there twice.
    """
    for number, (layer, unit) in enumerate(zip(table["layer"], table["unit"], strict=True), 1):
        if layer != int(layer) or unit != int(unit):
            raise ConfigError(f"{place}: row {number} names no neuron: {layer}, {unit}.")
        if layer >= shape.n_layers or unit >= shape.d_mlp:
            raise ConfigError(
                f"{place}: row {number}, layer {int(layer)}, unit {int(unit)}, is not in the "
                f"model, whose {shape.in_words} are counted from 0."
            )
    if table.duplicated(["layer", "unit"]).any():
        number = int(table.duplicated(["layer", "unit"]).to_numpy().argmax()) + 1
        raise ConfigError(f"{place}: the neuron of row {number} is there before. Leave it out.")
    return named_mask(table["layer"].to_numpy(int), table["unit"].to_numpy(int), shape)


def tokens_read(model_config: object, wanted: int | None, most: int, key: str) -> int:
    """Return how many tokens of a document are read: as wanted, or `most` that the model reads.

    Raises
    ------
    ModelError
        If the model reads fewer than wanted; `key` says where the number is given.
    """
    if wanted is not None:
        loading.check_context(model_config, wanted, key)
        return wanted
    return min(most, loading.context_of(model_config) or most)


def ablate_on_text(
    inputs: CaptureInputs,
    documents: pd.DataFrame,
    named: NamedNeurons,
    sequence_length: int,
) -> pd.DataFrame:
    """Return what documents cost a language model without named neurons.

    Parameters
    ----------
    inputs : CaptureInputs
        The model, its tokenizer, and the texts.
    documents : DataFrame
        Of the same: id, domain, cluster.
    named : NamedNeurons
        The neurons.
    sequence_length : int
        Tokens of a document that are read.

    Returns
    -------
    DataFrame
        `NAMED_COLUMNS`.

    Raises
    ------
    CorpusError
        If no document has a token that another one predicts.
    ModelError
        If texts cannot be rebuilt from their tokens, or a loss is not finite.
    """
    tokenized, _ = tokenize_shard(inputs, Activations(sequence_length=sequence_length))
    model, place = inputs.model, inputs.place
    if all(len(one.token_ids) < 2 for one in tokenized):
        raise CorpusError(
            f"{place}: no document has two tokens, so nothing is predicted. Give longer texts, or "
            "read more of each."
        )
    found = _moments(forward(model, tokenized, inputs.batch_size, place))
    directions = unembedding(model, place, token_ids(inputs.tokenizer))
    written = vocabulary_table(output_weights(model, place), directions, len(named.mask), place)
    targets = named.targets(found, written["excess_kurtosis"].to_numpy(np.float64))
    measured = measure_on_text(model, documents, tokenized, targets, inputs.batch_size)
    return _table(measured, named)


def ablate_on_images(
    classifier: Classifier,
    images: pd.DataFrame,
    pixels: np.ndarray,
    named: NamedNeurons,
    batch_size: int,
) -> pd.DataFrame:
    """Return what images cost a classifier without named neurons, as `ablate_on_text`.

    Parameters
    ----------
    classifier : Classifier
        The model.
    images : DataFrame
        id, label, domain.
    pixels : ndarray of uint8, shape (n_images, height, width, 3)
        The same.
    named : NamedNeurons
        The neurons.
    batch_size : int
        Images per forward pass.
    """
    cut = (pixels[low : low + batch_size] for low in range(0, len(pixels), batch_size))
    found = _moments(show_images(classifier.seeing, cut))
    targets = named.targets(found, found.excess_kurtosis)
    return _table(measure_on_images(classifier, images, pixels, targets, batch_size), named)


def _table(measured: Measured, named: NamedNeurons) -> pd.DataFrame:
    told = facts_told(measured, named.mask)
    table = told_effects(measured.losses, told, Bootstrap(), named.model)
    return table.assign(method=named.settings.method)[NAMED_COLUMNS]


def _moments(passes: Iterable[torch.Tensor]) -> HigherMoments:
    """Return the moments of all neurons, from activations (n_layers, n_positions, d_mlp)."""
    parts = (
        HigherMoments.of(layers.float().transpose(0, 1).flatten(1).numpy()) for layers in passes
    )
    return reduce(HigherMoments.merge, parts)
