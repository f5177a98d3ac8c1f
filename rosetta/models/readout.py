"""What a language model's vocabulary reads: unembedding vectors, and what their tokens say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from rosetta.config.devices import Devices
from rosetta.models.devices import room_here
from rosetta.models.loading_within_memory import load_to_read
from rosetta.models.model_manifest import checked_manifest
from rosetta.models.neurons import NeuronShape
from rosetta.models.output_weights import output_weights, unembedding
from rosetta.models.placement import Demand
from rosetta.models.sources import ModelSource
from rosetta.models.tokenizers import checked_tokenizer, token_ids, token_strings, token_texts
from rosetta.run.paths import Paths


@dataclass(frozen=True)
class Readout:
    """A model whose weights lie in main memory, and its vocabulary.

    Attributes
    ----------
    model : PreTrainedModel
        The loaded model.
    place : str
        What messages name as the culprit.
    n_layers : int
        Its layers.
    directions : Tensor of float32, shape (|V|, d_model)
        Unembedding vectors.
    tokenizer : PreTrainedTokenizerFast
        Its tokenizer.
    ids : list of int
        The tokens that the vectors are of.
    """

    model: Any
    place: str
    n_layers: int
    directions: torch.Tensor
    tokenizer: Any
    ids: list[int]

    def weights(self) -> Iterator[torch.Tensor]:
        """Yield the output weights of every layer, float32 (d_mlp, d_model)."""
        return output_weights(self.model, self.place)

    def texts(self) -> list[str]:
        """Return what every token says, for people to read."""
        return token_texts(self.tokenizer, self.ids)

    def strings(self) -> dict[str, int]:
        """Return the row of every string that is a token by itself.

        Of several tokens of one string it is the first; a single byte, to which a tokenizer of
        pieces falls back, only where no piece says the same.
        """
        name_of = self.tokenizer.backend_tokenizer.id_to_token
        found: dict[str, int] = {}
        strings = enumerate(token_strings(self.tokenizer, self.ids))
        told = [(row, string) for row, string in strings if string is not None]
        for row, string in sorted(told, key=lambda one: _is_byte(name_of(self.ids[one[0]]))):
            found.setdefault(string, row)
        return found

    @property
    def n_left_out(self) -> int:
        """Rows of the unembedding that belong to no token."""
        return len(self.model.get_output_embeddings().weight) - len(self.directions)


def _is_byte(name: str) -> bool:
    return re.fullmatch("<0x[0-9A-Fa-f]{2}>", name) is not None


def load_readout(
    source: ModelSource, paths: Paths, devices: Devices, *, fold_final_norm: bool
) -> Readout:
    """Load a model of a run to read its weights.

    Raises
    ------
    ModelError
        If it does not fit, cannot be loaded, or is not what its manifest describes.
    """
    manifest = checked_manifest(source, paths.model_manifest(source.name))
    shape, n_parameters = NeuronShape.of(manifest), manifest["n_parameters"]
    demand = Demand.of(shape, n_parameters, source.dtype, 1, stored=None)
    room = room_here(devices).for_model(untrained=source.untrained_seed is not None)
    loaded, place = load_to_read(source, demand, room), source.place
    tokenizer = checked_tokenizer(source, manifest)
    ids = token_ids(tokenizer)
    directions = unembedding(loaded, place, ids, fold_final_norm=fold_final_norm)
    # Tokens beyond the embeddings have none: they come last.
    return Readout(loaded, place, shape.n_layers, directions, tokenizer, ids[: len(directions)])


class Written(NamedTuple):
    """What is compared of a model's outputs, once the model itself is let go.

    Attributes
    ----------
    weights : list of ndarray of float32, each of shape (d_mlp, d_model)
        Output weights of every layer.
    directions : Tensor of float32, shape (|V|, d_model)
        Unembedding vectors.
    strings : dict of str to int
        `Readout.strings`.
    """

    weights: list[np.ndarray]
    directions: torch.Tensor
    strings: dict[str, int]

    @classmethod
    def of(cls, read: Readout) -> Written:
        """Return what is compared of a loaded model."""
        return cls([one.numpy() for one in read.weights()], read.directions, read.strings())


def shared_directions(a: Written, b: Written) -> tuple[np.ndarray, np.ndarray]:
    """Return the unembedding vectors of the strings that are tokens of both models, in one order:
    two ndarrays of float64, each of shape (n_strings, d_model).
    """
    shared = sorted(a.strings.keys() & b.strings.keys())
    of_a, of_b = (one.directions[[one.strings[string] for string in shared]] for one in (a, b))
    return of_a.double().numpy(), of_b.double().numpy()
