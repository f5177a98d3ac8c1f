"""Scores of documents from neurons' activations, by a truncated forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from rosetta.activations.capture import padded
from rosetta.config.filtering import FilterScoring
from rosetta.errors import ModelError
from rosetta.filtering.baselines import Classifier
from rosetta.filtering.select import exactly
from rosetta.inputs.text.documents import document_name
from rosetta.models.batches import batches
from rosetta.models.loading_within_memory import input_device
from rosetta.models.neurons import Neuron
from rosetta.models.sites import Site, locate, neuron_sites
from rosetta.models.tokenizers import check_embedded, plain_backend
from rosetta.progress import bar

DOCUMENTS_AT_ONCE = 1024  # documents tokenized, and sorted by length, at a time


class _Reached(Exception):
    """Ends a forward pass: everything that was asked for has been read."""


class NeuronProbe:
    """Reads some neurons of a model; no module after the last neuron's layer runs.

    Parameters
    ----------
    model : PreTrainedModel
        A loaded causal language model.
    neurons : list of Neuron
        What to read.
    place : str
        What messages name as the culprit.
    """

    def __init__(self, model: Any, neurons: list[Neuron], place: str) -> None:
        self._model = model
        layers = neuron_sites(model, place)
        self._places = [locate(layers[layer], unit) for layer, unit in neurons]
        self._sites = list(dict(self._places))
        self._read: dict[Site, torch.Tensor] = {}

    @torch.inference_mode()
    def __call__(self, ids: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
        """Return the activations on a batch, float32 of shape (n_neurons, n_rows, width)."""
        handles = [site.module.register_forward_pre_hook(self._hook(site)) for site in self._sites]
        device, self._read = input_device(self._model), {}
        try:
            self._model.base_model(
                input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False
            )
        except _Reached:
            pass
        finally:
            for handle in handles:
                handle.remove()
        shape = ids.shape  # OPT flattens the positions of a batch
        values = [self._read[site][..., unit].reshape(shape).cpu() for site, unit in self._places]
        self._read = {}
        return torch.stack(values).float().numpy()

    def _hook(self, site: Site) -> Callable:
        def keep(_module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            self._read[site] = site.read(inputs)
            if len(self._read) == len(self._sites):
                raise _Reached

        return keep


class Encoded(NamedTuple):
    """Tokens of one document, and which of them stand for text (special ones do not)."""

    ids: np.ndarray
    is_text: np.ndarray


def encode(tokenizer: Any, texts: list[str]) -> list[Encoded]:
    """Tokenize documents as the model reads them."""
    return [
        Encoded(np.asarray(found.ids, np.int64), np.asarray(found.special_tokens_mask) == 0)
        for found in plain_backend(tokenizer).encode_batch(texts)
    ]


def document_score(values: np.ndarray, settings: FilterScoring) -> np.ndarray:
    """Return the scores of one document (method, section 10).

    Parameters
    ----------
    values : ndarray of float64, shape (n_neurons, n_tokens)
        Activations, one token at least.
    settings : FilterScoring
        `mean`; `max`; `top_mean`, the mean of the ⌈top_fraction · n⌉ highest; or `above`, the share
        of tokens above the threshold.

    Returns
    -------
    ndarray of float64, shape (n_neurons,)
    """
    if settings.score == "mean":
        return values.mean(axis=1)
    if settings.score == "max":
        return values.max(axis=1)
    if settings.score == "above":
        return (values > settings.threshold).mean(axis=1)
    n = values.shape[1]
    n_top = min(n, math.ceil(exactly(settings.top_fraction) * n))
    return np.partition(values, n - n_top, axis=1)[:, n - n_top :].mean(axis=1)


@dataclass(frozen=True)
class Scorer:
    """What scores documents.

    Attributes
    ----------
    model, tokenizer
        Loaded model and its fast tokenizer.
    neurons : dict of str to Neuron
        By the name of the filter, which is the name of its column.
    settings : FilterScoring
        How a score is made.
    place : str
        What messages name as the culprit.
    classifier : Classifier or None
        The bag-of-tokens baseline, which reads the same tokens.
    counter : tokenizer or None
        Tokenizer whose tokens a document's size is told in; None for the model's own.
    """

    model: Any
    tokenizer: Any
    neurons: dict[str, Neuron]
    settings: FilterScoring
    place: str
    classifier: Classifier | None = None
    counter: Any = None

    def score(self, documents: pd.DataFrame) -> pd.DataFrame:
        """Return the scores of documents, in their order.

        A document that is longer than the model reads at a time is read in pieces, one after the
        other, so all of its tokens count. Pieces of similar length share a forward pass; how they
        are grouped changes a score by rounding only.

        Parameters
        ----------
        documents : DataFrame
            id, text, domain.

        Returns
        -------
        DataFrame
            id, domain, tokens (of the counter), and a column of float64 per filter.

        Raises
        ------
        ModelError
            If a document has no token that stands for text, or a score is not finite.
        """
        probe = NeuronProbe(self.model, list(dict.fromkeys(self.neurons.values())), self.place)
        column = {neuron: i for i, neuron in enumerate(dict.fromkeys(self.neurons.values()))}
        parts = []
        with bar(total=len(documents), label=self.place, unit="doc") as shown:
            for start in range(0, len(documents), DOCUMENTS_AT_ONCE):
                chunk = documents.iloc[start : start + DOCUMENTS_AT_ONCE]
                encoded = self._encoded(chunk)
                scores = self._neuron_scores(probe, encoded, chunk["id"].tolist())
                columns = {name: scores[:, column[neuron]] for name, neuron in self.neurons.items()}
                if self.classifier:
                    columns["classifier"] = self.classifier.scores(
                        [found.ids[found.is_text] for found in encoded]
                    )
                tokens = self._sizes(encoded, chunk["text"].tolist())
                parts.append(chunk[["id", "domain"]].assign(tokens=tokens, **columns))
                shown.update(len(chunk))
        return pd.concat(parts, ignore_index=True) if parts else _nothing(documents, self.columns)

    @property
    def columns(self) -> list[str]:
        """Names of the columns of scores."""
        return [*self.neurons, *(["classifier"] if self.classifier else [])]

    def _encoded(self, documents: pd.DataFrame) -> list[Encoded]:
        """Tokenize documents, and check that the model knows all their tokens."""
        encoded = encode(self.tokenizer, documents["text"].tolist())
        for found, id_ in zip(encoded, documents["id"].tolist(), strict=True):
            check_embedded(
                found.ids, document_name(id_), self.tokenizer, self.model.config, self.place
            )
        return encoded

    def _sizes(self, encoded: list[Encoded], texts: list[str]) -> np.ndarray:
        if self.counter is not None:
            encoded = encode(self.counter, texts)
        return np.array([int(found.is_text.sum()) for found in encoded], dtype=np.int64)

    def _neuron_scores(
        self, probe: NeuronProbe, encoded: list[Encoded], names: list[int]
    ) -> np.ndarray:
        """Return the scores of a chunk, shape (n_documents, n_distinct neurons)."""
        offsets = np.cumsum([0, *(len(found.ids) for found in encoded)])
        flat: np.ndarray | None = None
        for at, batch in self._batches(encoded, offsets):
            ids, mask = padded(batch)
            values = probe(ids, mask)
            if flat is None:
                flat = np.empty((len(values), offsets[-1]))
            for row, (start, piece) in enumerate(zip(at, batch, strict=True)):
                flat[:, start : start + len(piece)] = values[:, row, : len(piece)]
        scores = []
        for (low, high), found, name in zip(pairwise(offsets), encoded, names, strict=True):
            if not found.is_text.any():
                raise ModelError(
                    f"{self.place}: document {document_name(name)} has no token. Take it from "
                    "the pool."
                )
            assert flat is not None
            scores.append(document_score(flat[:, low:high][:, found.is_text], self.settings))
            if not np.isfinite(scores[-1]).all():
                raise ModelError(
                    f"{self.place}: a score of document {document_name(name)} is not finite. "
                    "Run the model in float32."
                )
        return np.array(scores)

    def _batches(
        self, encoded: list[Encoded], offsets: np.ndarray
    ) -> Iterator[tuple[list[int], list[np.ndarray]]]:
        """Yield pieces of documents, longest first, with where they begin in the chunk."""
        length = self.settings.sequence_length
        pieces = [
            (int(offset) + start, found.ids[start : start + length])
            for offset, found in zip(offsets, encoded, strict=False)
            for start in range(0, len(found.ids), length)
        ]
        pieces.sort(key=lambda piece: -len(piece[1]))
        for batch in batches(
            [len(ids) for _, ids in pieces], self.settings.batch_size, self.model.config
        ):
            yield [at for at, _ in pieces[batch]], [ids for _, ids in pieces[batch]]


def _nothing(documents: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return the scores of no document, with the types that others have."""
    empty = documents[["id", "domain"]].iloc[:0]
    return empty.assign(tokens=np.empty(0, np.int64), **{name: np.empty(0) for name in columns})
