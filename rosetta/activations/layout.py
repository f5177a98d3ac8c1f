"""Checks of an activation store's manifest and metadata (docs/stores.md).

These checks cost little beside reading activations, so that every opening of a store makes them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import zarr
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from rosetta.activations.variables import (
    ACTIVATION_DTYPES,
    SAMPLES,
    VARIABLES,
    activation_path,
)
from rosetta.config.activations import CHUNK_POSITIONS
from rosetta.config.base import Modality
from rosetta.errors import StoreError
from rosetta.storage.arrays import is_checksummed

KIND = "activations"
FORMAT_VERSION = 3
READ_VERSIONS = (2, FORMAT_VERSION)  # 2 had no exponents: all of them were 0
LARGEST_EXPONENT = 126  # 2^126 and 2^-126 are normal numbers of float32
SPECIFICATION = "docs/stores.md says what a store holds."
HIDDEN = (
    "is a hidden file, as other systems leave beside what they copy, and not a part of the "
    "store. Delete it."
)


# Whose manifests need not tell their modality: those of earlier versions did not.
UNNAMED: Modality = "text"
# What all shards of a model have in common, beside what those of every modality have.
SAME_IN_SHARDS: dict[Modality, tuple[str, ...]] = {
    "text": (),
    "images": ("grid", "image_size", "step"),
}
# What a group's attributes repeat of its manifest, beside what those of every modality do.
_TOLD: dict[Modality, tuple[str, ...]] = {"text": (), "images": ("grid", "image_size")}


class _Keys(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _File(_Keys):
    bytes: NonNegativeInt
    digest: str


class _Holds(_Keys):
    n_positions: PositiveInt
    n_layers: PositiveInt
    d_mlp: PositiveInt
    n_experts: NonNegativeInt = 0
    d_expert: NonNegativeInt = 0
    dtype: Literal["float16", "float32", "bfloat16"]
    chunks: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]
    shard: NonNegativeInt
    n_shards: PositiveInt


class _HoldsText(_Holds):
    n_with_bytes: NonNegativeInt
    n_documents: PositiveInt


class _HoldsImages(_Holds):
    n_images: PositiveInt
    grid: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]
    image_size: PositiveInt
    step: str | None = None


_HOLDS: dict[Modality, type[_Holds]] = {"text": _HoldsText, "images": _HoldsImages}


class _Manifest(_Keys):
    made_by: dict[str, Any]
    holds: dict[str, Any]
    files: dict[str, _File]


def check_version(manifest: dict[str, Any], place: str) -> None:
    """Check the version of the format.

    Raises
    ------
    StoreError
        If it is another one.
    """
    version = manifest.get("format_version")
    if version not in READ_VERSIONS:
        known = " and ".join(map(str, READ_VERSIONS))
        raise StoreError(
            f"{place}: format_version is {version}; this version reads {known}. Make it again."
        )


def store_modality(manifest: dict[str, Any], place: str) -> Modality:
    """Return what the model of a store sees; `text` where the manifest does not say.

    Raises
    ------
    StoreError
        If stores of this modality have no variables in the registry.
    """
    told = manifest.get("modality", UNNAMED)
    for modality in VARIABLES:
        if told == modality:
            return modality
    raise StoreError(
        f"{place}: modality is {told!r}; this version reads stores of {' and '.join(VARIABLES)}."
    )


def n_samples(holds: dict[str, Any], modality: Modality) -> int:
    """Return how many samples (documents, images) a store holds."""
    n: int = holds[f"n_{SAMPLES[modality]}s"]
    return n


def sample_ids(modality: Modality) -> str:
    """Return the variable that holds the ids of samples."""
    return f"{SAMPLES[modality]}_ids"


def has_exponents(version: int) -> bool:
    """Whether stores of this version of the format hold the exponents of their layers."""
    return version > 2


def _holds(manifest: dict[str, Any], place: str) -> _Holds:
    kind, within = _HOLDS[store_modality(manifest, place)], ()
    try:
        _Manifest.model_validate(manifest)
        within = ("holds",)
        return kind.model_validate(manifest["holds"])
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, (*within, *problem["loc"])))
        raise StoreError(
            f"{place}: {key}: {problem['msg']} (got {problem['input']!r}). {SPECIFICATION}"
        ) from None


def check_manifest(manifest: dict[str, Any], place: str) -> None:
    """Check version, modality and keys of a written store's manifest; further keys are welcome.

    Raises
    ------
    StoreError
        Naming the first key that is missing or wrong.
    """
    check_version(manifest, place)
    holds = _holds(manifest, place)
    if holds.shard >= holds.n_shards:
        raise StoreError(
            f"{place}: holds.shard: {holds.shard} is not among {holds.n_shards} shards, counted "
            "from 0."
        )
    if holds.n_experts * holds.d_expert > holds.d_mlp or bool(holds.n_experts) != bool(
        holds.d_expert
    ):
        raise StoreError(
            f"{place}: holds.n_experts: {holds.n_experts} experts of {holds.d_expert} units are "
            "not among the "
            f"{holds.d_mlp} units of a layer. {SPECIFICATION}"
        )
    if holds.chunks[0] > CHUNK_POSITIONS:
        raise StoreError(
            f"{place}: holds.chunks: {holds.chunks[0]} positions; a chunk may hold "
            f"{CHUNK_POSITIONS} at most."
        )
    if isinstance(holds, _HoldsImages):
        _check_cells(holds, place)


def _check_cells(holds: _HoldsImages, place: str) -> None:
    height, width = holds.grid
    cells = holds.n_images * height * width
    if holds.n_positions != cells:
        raise StoreError(
            f"{place}: holds.n_positions: {holds.n_positions}, but {holds.n_images} images of "
            f"{height} × {width} cells (holds.grid) have {cells}. Store the cells alone, without "
            "class and register tokens."
        )


def group_attributes(
    holds: dict[str, Any], modality: Modality, version: int = FORMAT_VERSION
) -> dict[str, Any]:
    """Return the attributes that a store's group must have."""
    told = {key: holds[key] for key in ("n_layers", "d_mlp", "dtype", *_TOLD[modality])}
    named = {} if modality == UNNAMED else {"modality": modality}
    return {"rosetta_store": version, **named, **told}


def array_names(n_layers: int, modality: Modality, version: int = FORMAT_VERSION) -> dict[str, str]:
    """Return the paths of all arrays of a store, each with its variable in the registry."""
    others = {"activations"} if has_exponents(version) else {"activations", "exponent"}
    small = {name: name for name in VARIABLES[modality] if name not in others}
    return small | {activation_path(layer): "activations" for layer in range(n_layers)}


def check_arrays(
    group: zarr.Group,
    holds: dict[str, Any],
    place: str,
    modality: Modality,
    version: int = FORMAT_VERSION,
) -> None:
    """Check attributes and every array's dtype, shape, dimension names, checksums and chunks.

    Raises
    ------
    StoreError
        Naming the first array that is not as registered or not as the manifest says.
    """
    for key, value in group_attributes(holds, modality, version).items():
        if group.attrs.get(key) != value:
            raise StoreError(
                f"{place}: attribute {key} is {group.attrs.get(key)}, but should be {value}. "
                f"{SPECIFICATION}"
            )
    sizes = {
        "position": holds["n_positions"],
        SAMPLES[modality]: n_samples(holds, modality),
        "layer": holds["n_layers"],
        "unit": holds["d_mlp"],
    }
    for path, name in array_names(holds["n_layers"], modality, version).items():
        array = group.get(path)
        if not isinstance(array, zarr.Array):
            raise StoreError(f"{place}: has no array {path}. {SPECIFICATION}")
        wanted = VARIABLES[modality][name]
        facts = {
            "dtype": (array.dtype.name, wanted.dtypes[0]),
            "dimension names": (array.metadata.dimension_names, wanted.dimensions),
            "shape": (array.shape, tuple(sizes[dimension] for dimension in wanted.dimensions)),
        }
        if name == "activations":
            facts["dtype"] = (array.dtype.name, ACTIVATION_DTYPES[holds["dtype"]])
            facts["chunks"] = (array.chunks, tuple(holds["chunks"]))
        for what, (found, expected) in facts.items():
            if found != expected:
                raise StoreError(
                    f"{place}: {path}: {what} {found}, but should be {expected}. {SPECIFICATION}"
                )
        if not is_checksummed(array):
            raise StoreError(
                f"{place}: {path}: its chunks carry no crc32c checksum. {SPECIFICATION}"
            )


def check_exponents(exponents: np.ndarray, place: str) -> None:
    """Check that stored values times 2 to these powers are numbers of float32.

    Raises
    ------
    StoreError
        Naming the first layer of which that cannot be.
    """
    if (layer := first_true(np.abs(exponents.astype(np.int64)) > LARGEST_EXPONENT)) >= 0:
        raise StoreError(
            f"{place}: exponent is {exponents[layer]} in layer {layer}, but may be "
            f"{LARGEST_EXPONENT} above or below 0 "
            f"at most. {SPECIFICATION}"
        )


def first_true(wrong: np.ndarray) -> int:
    """Return the index of the first true entry, or -1."""
    return int(np.argmax(wrong)) if wrong.any() else -1
