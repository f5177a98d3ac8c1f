"""The registry of what an activation store holds, by modality: name, dtype, dimensions, meaning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from rosetta.config.base import Modality
from rosetta.models.neurons import NeuronShape


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
_OF_IMAGES = {
    "image_ids": Variable(
        ("uint64",), ("image",), "64-bit ids of the images: hashes of their 8-bit pixels"
    ),
}
# A further modality is a further entry: what its positions are, and what stores of all have.
VARIABLES: dict[Modality, dict[str, Variable]] = {
    "text": {**_OF_TEXT, **_OF_ALL},
    "images": {**_OF_IMAGES, **_OF_ALL},
}
# What a sample is called: its ids are `{sample}_ids`, their number `n_{sample}s`.
SAMPLES: dict[Modality, str] = {"text": "document", "images": "image"}


def activation_path(layer: int) -> str:
    """Return the path of a layer's activations inside a store."""
    return f"activations/{layer}"


@dataclass(frozen=True)
class StoreDescription:
    """What a store is of, apart from its positions.

    Attributes
    ----------
    shape : NeuronShape
        Neurons of the model.
    dtype : {'float16', 'float32', 'bfloat16'}
        Stored precision.
    shard, n_shards : int
        Which shard of how many.
    made_by : dict
        What the store depends on, the same for all shards of a model.
    place : str
        What messages name as the culprit.
    """

    shape: NeuronShape
    dtype: str
    shard: int
    n_shards: int
    made_by: dict[str, Any]
    place: str


class Described(Protocol):
    """A store, as far as it tells what its positions are."""

    manifest: dict[str, Any]

    def read(self, variable: str) -> np.ndarray:
        """Return a small variable, whole."""


class StorePositions(ABC):
    """What the positions of a store are, in the terms that stores of all modalities share."""

    modality: ClassVar[Modality]

    @classmethod
    @abstractmethod
    def of(cls, store: Described) -> Self:
        """Return the positions of a store of this modality."""

    @property
    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """The variables that hold them, by name."""

    @property
    @abstractmethod
    def counts(self) -> dict[str, int]:
        """How many positions and samples there are, as manifests tell."""

    @property
    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """All that manifests tell of them, with the counts first."""

    @property
    @abstractmethod
    def columns(self) -> dict[str, np.ndarray]:
        """What each position is, as columns of a table, each of shape (n_positions,)."""

    @property
    @abstractmethod
    def in_words(self) -> str:
        """How many there are, of what."""

    @property
    @abstractmethod
    def n_positions(self) -> int:
        """Rows of the store."""

    @property
    @abstractmethod
    def counted(self) -> np.ndarray:
        """Whether each position counts; the others are excluded, bool of shape (n_positions,)."""


@dataclass(frozen=True)
class StoreTokens(StorePositions):
    """Positions of a store of text: tokens, document after document (see the registry).

    Attributes
    ----------
    token_ids, byte_start, byte_end, document_index : ndarray of int32, shape (n_positions,)
    document_ids : ndarray of uint64, shape (n_documents,)
    document_bytes : ndarray of int64, shape (n_documents,)
    """

    modality: ClassVar[Modality] = "text"

    token_ids: np.ndarray
    byte_start: np.ndarray
    byte_end: np.ndarray
    document_index: np.ndarray
    document_ids: np.ndarray
    document_bytes: np.ndarray

    @classmethod
    def of(cls, store: Described) -> StoreTokens:
        """Return the tokens of a store of text."""
        return cls(*(store.read(name) for name in _OF_TEXT))

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The variables that hold them, by name."""
        return dict(vars(self))

    @property
    def counts(self) -> dict[str, int]:
        """How many tokens and documents there are."""
        return {
            "n_positions": self.n_positions,
            "n_with_bytes": int(self.counted.sum()),
            "n_documents": len(self.document_ids),
        }

    @property
    def facts(self) -> dict[str, Any]:
        """The counts, and how many documents have no token with bytes."""
        read = np.unique(self.document_index[self.counted])
        return {**self.counts, "n_left_out": len(self.document_ids) - len(read)}

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Document, token and byte range of each position."""
        return {
            "document": self.document_ids[self.document_index],
            "token_id": self.token_ids,
            "byte_start": self.byte_start,
            "byte_end": self.byte_end,
        }

    @property
    def in_words(self) -> str:
        """How many positions, tokens with bytes and documents there are."""
        counts = self.counts
        return (
            f"{counts['n_positions']} positions ({counts['n_with_bytes']} with bytes) of "
            f"{counts['n_documents']} documents"
        )

    @property
    def n_positions(self) -> int:
        """Number of tokens."""
        return len(self.token_ids)

    @property
    def counted(self) -> np.ndarray:
        """Whether each token stands for bytes, bool of shape (n_positions,)."""
        return self.byte_end > self.byte_start


@dataclass(frozen=True)
class StoreCells(StorePositions):
    """Positions of a store of images: the cells of a grid, row by row, image after image.

    All of them count: class and register tokens are no cells and are not stored.

    Attributes
    ----------
    image_ids : ndarray of uint64, shape (n_images,)
        Hashes of the 8-bit pixels.
    grid : tuple of int
        Rows and columns (H, W) of cells per image.
    image_size : int
        Side of the square images that the model is shown or makes, in pixels.
    step : str or None
        Which step of generation the activations are of; None for a model that makes no images.
    """

    modality: ClassVar[Modality] = "images"

    image_ids: np.ndarray
    grid: tuple[int, int]
    image_size: int
    step: str | None = None

    @classmethod
    def of(cls, store: Described) -> StoreCells:
        """Return the cells of a store of images."""
        holds = store.manifest["holds"]
        height, width = holds["grid"]
        return cls(store.read("image_ids"), (height, width), holds["image_size"], holds.get("step"))

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The variables that hold them, by name."""
        return {"image_ids": self.image_ids}

    @property
    def counts(self) -> dict[str, int]:
        """How many cells and images there are."""
        return {"n_positions": self.n_positions, "n_images": len(self.image_ids)}

    @property
    def facts(self) -> dict[str, Any]:
        """The counts, the grid, the size of the images and the step."""
        given = {"grid": list(self.grid), "image_size": self.image_size, "step": self.step}
        return {**self.counts, **given}

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Image, row and column of each position."""
        row, column = np.indices(self.grid, np.int32).reshape(2, -1)
        n = len(self.image_ids)
        return {
            "image": np.repeat(self.image_ids, self.n_cells),
            "row": np.tile(row, n),
            "column": np.tile(column, n),
        }

    @property
    def in_words(self) -> str:
        """How many cells and images there are, and how large they are."""
        height, width = self.grid
        made = f", step {self.step}" if self.step else ""
        return (
            f"{self.n_positions} cells ({height} × {width}) of {len(self.image_ids)} images of "
            f"{self.image_size} px{made}"
        )

    @property
    def n_cells(self) -> int:
        """Cells per image."""
        return self.grid[0] * self.grid[1]

    @property
    def n_positions(self) -> int:
        """Number of cells of all images."""
        return len(self.image_ids) * self.n_cells

    @property
    def counted(self) -> np.ndarray:
        """All cells count, bool of shape (n_positions,)."""
        return np.ones(self.n_positions, bool)


POSITIONS: Mapping[Modality, type[StorePositions]] = {
    kind.modality: kind for kind in (StoreTokens, StoreCells)
}
