"""The registry of what an activation store holds, by modality: name, dtype, dimensions, meaning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rosetta.config.base import Modality


@dataclass(frozen=True)
class Variable:
    """One array of a store."""

    dtypes: tuple[str, ...]
    dimensions: tuple[str, ...]
    meaning: str


# bfloat16 has no portable Zarr data type: its 16 bits are kept as uint16, and the store's attribute
# `dtype` says so.
ACTIVATION_DTYPES = {"float16": "float16", "float32": "float32", "bfloat16": "uint16"}

_OF_ALL = {
    "exponent": Variable(
        ("int16",),
        ("layer",),
        "an activation is the stored value times 2 to this power; not 0 in tiny layers only",
    ),
    "mean": Variable(
        ("float64",), ("layer", "unit"), "mean over the positions that count; of text: with bytes"
    ),
    "m2": Variable(
        ("float64",), ("layer", "unit"), "sum of squared deviations over these positions"
    ),
    "activations": Variable(
        tuple(ACTIVATION_DTYPES.values()),
        ("position", "unit"),
        "one array per layer, activations/{layer}: input of the MLP down projection",
    ),
}
_OF_TEXT = {
    "token_ids": Variable(("int32",), ("position",), "token id at each position"),
    "byte_start": Variable(
        ("int32",), ("position",), "first UTF-8 byte of the token in its document"
    ),
    "byte_end": Variable(
        ("int32",),
        ("position",),
        "byte after the token's last; equal to byte_start for special tokens",
    ),
    "document_index": Variable(
        ("int32",), ("position",), "index of the position's document in document_ids"
    ),
    "document_ids": Variable(
        ("uint64",), ("document",), "64-bit document ids, in the order of the corpus"
    ),
    "document_bytes": Variable(
        ("int64",), ("document",), "length of the whole document's UTF-8 text"
    ),
}
# A further modality is a further entry: what its positions are, and what stores of all have.
VARIABLES: dict[Modality, dict[str, Variable]] = {"text": {**_OF_TEXT, **_OF_ALL}}


def activation_path(layer: int) -> str:
    """Return the path of a layer's activations inside a store."""
    return f"activations/{layer}"


@dataclass(frozen=True)
class StoreTokens:
    """What the positions of a store of text are (see the registry).

    Attributes
    ----------
    token_ids, byte_start, byte_end, document_index : ndarray of int32, shape (n_positions,)
    document_ids : ndarray of uint64, shape (n_documents,)
    document_bytes : ndarray of int64, shape (n_documents,)
    """

    token_ids: np.ndarray
    byte_start: np.ndarray
    byte_end: np.ndarray
    document_index: np.ndarray
    document_ids: np.ndarray
    document_bytes: np.ndarray

    @property
    def with_bytes(self) -> np.ndarray:
        """Whether each position stands for bytes; the others are excluded, shape (n_positions,)."""
        return self.byte_end > self.byte_start
