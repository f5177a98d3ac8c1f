"""Ablating neurons of a model in memory: what that costs, on any texts or images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import pandas as pd

from rosetta.ablation.by_hand import document_table, lowest_ids
from rosetta.ablation.image_loss import HEAD, Classifier, classifier_of
from rosetta.ablation.named import (
    MOST_TOKENS,
    NamedNeurons,
    ablate_on_images,
    ablate_on_text,
    mask_of,
    tokens_read,
)
from rosetta.api.arguments import as_int, as_text, wrong
from rosetta.api.in_memory import (
    ModelInMemory,
    check_loaded,
    check_model,
    documents_of,
    evaluating,
    own_tokenizer,
)
from rosetta.config import Activations
from rosetta.config.ablation import AblationSettings
from rosetta.config.arguments import checked
from rosetta.errors import ConfigError, CorpusError, ImageSourceError, ModelError, renaming_keys
from rosetta.inputs.text.documents import Text
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.neurons import NeuronShape, parse_neuron
from rosetta.models.sources import ModelSource
from rosetta.storage.tables import check_table


def ablate(
    model: Any,
    tokenizer: Any,
    texts: Iterable[str],
    neurons: pd.DataFrame | Iterable[str],
    *,
    domains: Iterable[str] | None = None,
    name: str | None = None,
    method: Literal["mean", "zero"] = "mean",
    n_draws: int = 20,
    n_nearest: int = 5,
    seed: int = 0,
    sequence_length: int | None = None,
    batch_size: int = 16,
) -> pd.DataFrame:
    """Return what texts cost a language model without some of its neurons, with intervals.

    Beside the neurons, as many others of the same layers are ablated: draws that match them in mean
    activation and output norm, the most active and the most kurtotic ones. What an ablated neuron
    is held at, and what draws match, is measured on the same texts. `rosetta ablate` returns the
    same of the same model, neurons and texts.

    Parameters
    ----------
    model : PreTrainedModel
        A causal language model of transformers, of a supported architecture. It runs in evaluation
        mode and is given back as it was.
    tokenizer : PreTrainedTokenizerFast or tokenizers.Tokenizer
        Its fast tokenizer.
    texts : iterable of str
        The documents, each once. All are read but blank ones.
    neurons : DataFrame or iterable of str
        The neurons: a table with the columns `layer` and `unit`, both from 0, or names such as
        'L3/U12'. Each once.
    domains : iterable of str, optional
        A label of each text: costs are told by domain as well.
    name : str, optional
        The model's name in the table; with `seed` it determines the draws. If not given, where the
        model was loaded from.
    method : {'mean', 'zero'}
        What an ablated neuron is held at: its mean, or 0.
    n_draws : int
        Draws of as many other neurons that match, at least 20.
    n_nearest : int
        In a draw, each neuron takes one of its so many nearest others at random.
    seed : int
        Of the draws.
    sequence_length : int, optional
        Tokens read from the start of each text; if not given 1024, or the model's context if that
        is shorter.
    batch_size : int
        Texts per forward pass.

    Returns
    -------
    DataFrame
        A row per treatment (`ablate` the population, or `keep` nothing but it), population and
        domain (empty: all texts). `rosetta` is what the population of the given neurons is called.
        `value` is the loss in bits per byte, `difference` what it is above that of the intact
        model, `rosetta_excess` what the given neurons' is above the population's, both with 95%
        intervals; docs/ablation.md says how they are made, and what the other columns are.

    Raises
    ------
    ConfigError
        If an argument is of another kind or out of range, or a neuron is not in the model or is
        there twice.
    CorpusError
        If there is no text, or a text is not a string, has no UTF-8 form, or is there twice; if no
        text has two tokens.
    ModelError
        If the model is not loaded or its architecture not supported, the tokenizer is not the
        model's or not a fast one, texts cannot be rebuilt from their tokens, or a loss is not
        finite.
    StoreError
        If `neurons` is a table without such columns, or without a row.
    """
    place = _name(name, model)
    own = own_tokenizer(tokenizer, place)
    check_model(model, own, place)
    documents = _documents(texts, domains)
    shape = neuron_shape(model.config, place)
    named = NamedNeurons(place, _mask(neurons, shape), _settings(method, n_draws, n_nearest, seed))
    wanted = {"batch_size": as_int("batch_size", batch_size)}
    if sequence_length is not None:
        wanted["sequence_length"] = as_int("sequence_length", sequence_length)
    given = checked(Activations, wanted)
    length = None if sequence_length is None else given.sequence_length
    read = tokens_read(model.config, length, MOST_TOKENS, "sequence_length")
    shown = list(zip(documents["id"].tolist(), documents["text"].tolist(), strict=True))
    inputs = ModelInMemory(model, own, place, wanted["batch_size"], shown, {})
    with renaming_keys({"activations.": ""}), evaluating(model):
        return ablate_on_text(inputs, documents, named, read)


def ablate_images(
    model: Any,
    images: np.ndarray,
    labels: Iterable[int],
    neurons: pd.DataFrame | Iterable[str],
    *,
    domains: Iterable[str] | None = None,
    name: str | None = None,
    method: Literal["mean", "zero"] = "mean",
    n_draws: int = 20,
    n_nearest: int = 5,
    seed: int = 0,
    revision: str | None = None,
    batch_size: int = 16,
) -> pd.DataFrame:
    """Return what images cost a classifier without some of its neurons, as `ablate` does of texts.

    Parameters
    ----------
    model : PreTrainedModel
        A classifier of images, as `AutoModelForImageClassification.from_pretrained` makes it, of a
        supported architecture. How it is shown images is read where it was loaded from. It runs in
        evaluation mode and is given back as it was.
    images : ndarray of uint8, shape (n, height, width, 3)
        Red, green, blue; resized whole to what the model sees.
    labels : iterable of int
        The class of each image, as the model counts them, from 0.
    neurons : DataFrame or iterable of str
        As for `ablate`.
    domains : iterable of str, optional
        A label of each image: costs are told by domain as well.
    name, method, n_draws, n_nearest, seed : optional
        As for `ablate`.
    revision : str, optional
        Of a model of the hub, the commit or tag that it was loaded at; `main` if not given.
    batch_size : int
        Images per forward pass.

    Returns
    -------
    DataFrame
        As `ablate` returns, of the two measures `loss`, in bits per image, and `accuracy`.

    Raises
    ------
    ConfigError
        If an argument is of another kind or out of range, or a neuron is not in the model or is
        there twice.
    ImageSourceError
        If there is no image, or images and labels do not fit each other or the model.
    ModelError
        If the model is no loaded classifier, or where it was loaded from is not known.
    StoreError
        If `neurons` is a table without such columns, or without a row.
    """
    place = _name(name, model)
    classifier = _classifier(model, place, revision)
    table = _image_table(images, labels, domains, classifier.n_classes)
    mask = _mask(neurons, classifier.seeing.shape)
    named = NamedNeurons(place, mask, _settings(method, n_draws, n_nearest, seed))
    size = checked(Activations, {"batch_size": as_int("batch_size", batch_size)}).batch_size
    with evaluating(model):
        return ablate_on_images(classifier, table, images, named, int(size))


def _name(name: str | None, model: Any) -> str:
    if name is not None:
        return as_text("name", name, "a name", "Give one")
    return getattr(model, "name_or_path", None) or type(model).__name__


def _settings(method: str, n_draws: int, n_nearest: int, seed: int) -> AblationSettings:
    numbers = {"n_draws": n_draws, "n_nearest": n_nearest, "seed": seed}
    values = {key: as_int(key, value) for key, value in numbers.items()}
    return checked(AblationSettings, {"method": method, **values})


def _mask(neurons: Any, shape: NeuronShape) -> np.ndarray:
    """Return the given neurons, bool (n_layers, d_mlp)."""
    if isinstance(neurons, str) or not isinstance(neurons, Iterable):
        fix = "Give a table with the columns layer and unit, or a list of names such as 'L3/U12'"
        raise wrong("neurons", neurons, "a list of neurons", fix)
    table = neurons if isinstance(neurons, pd.DataFrame) else _named(neurons, shape)
    check_table(table, "neurons", ["layer", "unit"], ("layer", "unit"), some=True)
    return mask_of(table, shape, "neurons")


def _named(names: Iterable[Any], shape: NeuronShape) -> pd.DataFrame:
    fix = "Write it like 'L3/U12'"
    texts = [as_text("neurons", name, "the name of a neuron", fix) for name in names]
    found = [parse_neuron(text, shape, "neurons") for text in texts]
    return pd.DataFrame(found, columns=["layer", "unit"])


def _documents(texts: Iterable[str], domains: Iterable[str] | None) -> pd.DataFrame:
    """Return the texts in the order in which the command reads those of a file."""
    found = [text for _, text in documents_of(texts)]
    records = zip(found, _labels(domains, len(found), "texts"), strict=True)
    kept = lowest_ids((Text(text, label, "") for text, label in records), None)
    if not kept:
        raise CorpusError("texts: all are blank. Give others.")
    return document_table(kept)


def _labels(domains: Any, n: int, of: str) -> list[str]:
    """Return a label per sample; an empty one if none is given."""
    if domains is None:
        return [""] * n
    if isinstance(domains, str) or not isinstance(domains, Iterable):
        raise wrong("domains", domains, "a list of labels", "Give a string for each sample")
    labels = list(domains)
    for number, label in enumerate(labels):
        as_text(f"domains[{number}]", label, "a label", "Give a string for each sample")
    if len(labels) != n:
        raise ConfigError(f"domains: has {len(labels)} labels of {n} {of}. Give one of each.")
    return labels


def _classifier(model: Any, place: str, revision: str | None) -> Classifier:
    """Return a classifier in memory with what its files say of how it is shown images."""
    check_loaded(place, model, "a classifier of images", "AutoModelForImageClassification")
    if not type(model).__name__.endswith(HEAD):
        raise ModelError(
            f"{place}: {type(model).__name__} has no head that tells classes. Give a classifier, "
            "as AutoModelForImageClassification.from_pretrained makes it."
        )
    location = model.name_or_path
    if not location:
        raise ModelError(
            f"{place}: is of no folder and not of the hub, whose files say how it is shown images. "
            "Save it with its image processor, and load it from there."
        )
    return classifier_of(model, ModelSource(place, location, revision, key=place))


def _image_table(
    images: Any, labels: Any, domains: Iterable[str] | None, n_classes: int
) -> pd.DataFrame:
    """Return id, label and domain of images."""
    if not isinstance(images, np.ndarray) or images.ndim != 4:
        fix = "Give 8-bit images in one array, shape (n, height, width, 3)"
        raise wrong("images", images, "an array of images", fix)
    classes = np.asarray(labels)
    if classes.dtype.kind not in "iu" or classes.shape != (len(images),) or not len(images):
        raise ImageSourceError(
            f"labels: shape {classes.shape} of {classes.dtype} are not the classes of "
            f"{len(images)} images. Give the number of a class for each, and an image at least."
        )
    if classes.min() < 0 or classes.max() >= n_classes:
        raise ImageSourceError(
            f"labels: go from {classes.min()} to {classes.max()}, and the model tells classes 0 to "
            f"{n_classes - 1}. Give classes as the model counts them."
        )
    numbers = np.arange(len(images), dtype=np.uint64)
    of = {"label": classes, "domain": _labels(domains, len(images), "images")}
    return pd.DataFrame({"id": numbers, **of})
