"""Checks of an activation store's manifest, metadata and tokens (docs/stores.md).

These checks cost little beside reading activations, so that every opening of a store makes them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import zarr
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from rosetta.activations.variables import ACTIVATION_DTYPES, VARIABLES, StoreTokens, activation_path
from rosetta.config.activations import CHUNK_POSITIONS
from rosetta.config.base import Modality
from rosetta.errors import StoreError

KIND = "activations"
FORMAT_VERSION = 3
READ_VERSIONS = (2, FORMAT_VERSION)  # 2 had no exponents: all of them were 0
LARGEST_EXPONENT = 126  # 2^126 and 2^-126 are normal numbers of float32
SPECIFICATION = "docs/stores.md says what a store holds."
HIDDEN = (
    "is a hidden file, as other systems leave beside what they copy, and not a part of the "
    "store. Delete it."
)


class _Keys(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _File(_Keys):
    bytes: NonNegativeInt
    digest: str


class _Holds(_Keys):
    n_positions: PositiveInt
    n_with_bytes: NonNegativeInt
    n_documents: PositiveInt
    n_layers: PositiveInt
    d_mlp: PositiveInt
    n_experts: NonNegativeInt = 0
    d_expert: NonNegativeInt = 0
    dtype: Literal["float16", "float32", "bfloat16"]
    chunks: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]
    shard: NonNegativeInt
    n_shards: PositiveInt


class _Manifest(_Keys):
    made_by: dict[str, Any]
    holds: _Holds
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
    told = manifest.get("modality", "text")
    for modality in VARIABLES:
        if told == modality:
            return modality
    raise StoreError(
        f"{place}: modality is {told!r}; this version reads stores of {' and '.join(VARIABLES)}."
    )


def has_exponents(version: int) -> bool:
    """Whether stores of this version of the format hold the exponents of their layers."""
    return version > 2


def check_manifest(manifest: dict[str, Any], place: str) -> None:
    """Check version, modality and keys of a written store's manifest; further keys are welcome.

    Raises
    ------
    StoreError
        Naming the first key that is missing or wrong.
    """
    check_version(manifest, place)
    store_modality(manifest, place)
    try:
        holds = _Manifest.model_validate(manifest).holds
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise StoreError(
            f"{place}: {key}: {problem['msg']} (got {problem['input']!r}). {SPECIFICATION}"
        ) from None
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


def group_attributes(holds: dict[str, Any], version: int = FORMAT_VERSION) -> dict[str, Any]:
    """Return the attributes that a store's group must have."""
    return {"rosetta_store": version, **{key: holds[key] for key in ("n_layers", "d_mlp", "dtype")}}


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
    for key, value in group_attributes(holds, version).items():
        if group.attrs.get(key) != value:
            raise StoreError(
                f"{place}: attribute {key} is {group.attrs.get(key)}, but should be {value}. "
                f"{SPECIFICATION}"
            )
    sizes = {
        "position": holds["n_positions"],
        "document": holds["n_documents"],
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
        if not _checksummed(array.metadata.to_dict()["codecs"]):
            raise StoreError(
                f"{place}: {path}: its chunks carry no crc32c checksum. {SPECIFICATION}"
            )


def _checksummed(codecs: Any) -> bool:
    inner = [codec["configuration"] for codec in codecs if codec["name"] == "sharding_indexed"]
    if inner:
        return all(_checksummed(inner[0][key]) for key in ("codecs", "index_codecs"))
    return any(codec["name"] == "crc32c" for codec in codecs)


def check_exponents(exponents: np.ndarray, place: str) -> None:
    """Check that stored values times 2 to these powers are numbers of float32.

    Raises
    ------
    StoreError
        Naming the first layer of which that cannot be.
    """
    if (layer := _first(np.abs(exponents.astype(np.int64)) > LARGEST_EXPONENT)) >= 0:
        raise StoreError(
            f"{place}: exponent is {exponents[layer]} in layer {layer}, but may be "
            f"{LARGEST_EXPONENT} above or below 0 "
            f"at most. {SPECIFICATION}"
        )


def check_tokens(tokens: StoreTokens, place: str) -> None:
    """Check that documents are distinct and ordered, and byte ranges cover prefixes without gaps.

    Positions without bytes (`byte_end == byte_start`) are excluded: where they stand is not looked
    at.

    Raises
    ------
    StoreError
        Naming the first document or position that is wrong.
    """
    ids, lengths, document = tokens.document_ids, tokens.document_bytes, tokens.document_index
    start, end = tokens.byte_start, tokens.byte_end
    if len({len(values) for values in (tokens.token_ids, document, start, end)}) > 1 or len(
        ids
    ) != len(lengths):
        raise StoreError(f"{place}: arrays over positions, or over documents, differ in length.")
    check_distinct(ids, place)
    if (i := _first((document < 0) | (document >= len(ids)))) >= 0:
        raise StoreError(
            f"{place}: document_index is {document[i]} at position {i}, of {len(ids)} documents."
        )
    if (i := _first(document[1:] < document[:-1])) >= 0:
        raise StoreError(
            f"{place}: document_index decreases after position {i}. Keep documents in order."
        )
    if (i := _first(end < start)) >= 0:
        raise StoreError(f"{place}: byte_end is below byte_start at position {i}.")
    kept = np.flatnonzero(tokens.with_bytes)
    start, end, document = start[kept], end[kept], document[kept]
    goes_on = document == np.append(-1, document[:-1])
    expected = np.where(goes_on, np.append(0, end[:-1]), 0)
    if (i := _first(start != expected)) >= 0:
        raise StoreError(
            f"{place}: byte_start is {start[i]} at position {kept[i]} of document "
            f"{ids[document[i]]}, but should be "
            f"{expected[i]}: the tokens with bytes cover a document from byte 0 on, without gap "
            "or overlap."
        )
    if (i := _first(end > lengths[document])) >= 0:
        raise StoreError(
            f"{place}: byte_end is {end[i]} at position {kept[i]}, beyond the "
            f"{lengths[document[i]]} bytes of document "
            f"{ids[document[i]]}."
        )


def check_distinct(document_ids: np.ndarray, place: str) -> None:
    """Check that no document is there twice.

    Raises
    ------
    StoreError
        Naming one that is.
    """
    ordered = np.sort(document_ids)
    if (i := _first(ordered[1:] == ordered[:-1])) >= 0:
        raise StoreError(
            f"{place}: document_ids: {ordered[i]} is there more than once. Give every document "
            "once."
        )


def check_same_documents(a: StoreTokens, b: StoreTokens, places: tuple[str, str]) -> None:
    """Check that two stores hold the same documents, of the same lengths, in the same order.

    How much of a document each model has read may differ: either may have cut it after some number
    of tokens.

    Raises
    ------
    StoreError
        Naming the first document that differs.
    """
    both = " and ".join(places)
    fix = "Capture both models on the same corpus and shards."
    if len(a.document_ids) != len(b.document_ids):
        raise StoreError(
            f"{both} hold different documents: {len(a.document_ids)} of them and "
            f"{len(b.document_ids)}. {fix}"
        )
    for name, what in (("document_ids", "id"), ("document_bytes", "length in bytes")):
        values = getattr(a, name), getattr(b, name)
        if (i := _first(values[0] != values[1])) >= 0:
            raise StoreError(
                f"{both} hold different documents: the {what} of document {i} is {values[0][i]} "
                "in one and "
                f"{values[1][i]} in the other. {fix}"
            )


def _first(wrong: np.ndarray) -> int:
    """Return the index of the first true entry, or -1."""
    return int(np.argmax(wrong)) if wrong.any() else -1
