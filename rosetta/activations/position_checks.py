"""Checks of what the positions of stores are: documents and byte ranges, images and cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rosetta.activations.layout import first_true, sample_ids
from rosetta.activations.variables import SAMPLES, StoreCells, StorePositions, StoreTokens
from rosetta.config.base import Modality
from rosetta.errors import StoreError

SAME_IMAGES = "Show both models the same images, in the same order and shards."


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
    check_distinct(ids, place, tokens.modality)
    if (i := first_true((document < 0) | (document >= len(ids)))) >= 0:
        raise StoreError(
            f"{place}: document_index is {document[i]} at position {i}, of {len(ids)} documents."
        )
    if (i := first_true(document[1:] < document[:-1])) >= 0:
        raise StoreError(
            f"{place}: document_index decreases after position {i}. Keep documents in order."
        )
    if (i := first_true(end < start)) >= 0:
        raise StoreError(f"{place}: byte_end is below byte_start at position {i}.")
    kept = np.flatnonzero(tokens.counted)
    start, end, document = start[kept], end[kept], document[kept]
    goes_on = document == np.append(-1, document[:-1])
    expected = np.where(goes_on, np.append(0, end[:-1]), 0)
    if (i := first_true(start != expected)) >= 0:
        raise StoreError(
            f"{place}: byte_start is {start[i]} at position {kept[i]} of document "
            f"{ids[document[i]]}, but should be "
            f"{expected[i]}: the tokens with bytes cover a document from byte 0 on, without gap "
            "or overlap."
        )
    if (i := first_true(end > lengths[document])) >= 0:
        raise StoreError(
            f"{place}: byte_end is {end[i]} at position {kept[i]}, beyond the "
            f"{lengths[document[i]]} bytes of document "
            f"{ids[document[i]]}."
        )


def check_cells(cells: StoreCells, place: str) -> None:
    """Check that images are distinct.

    Raises
    ------
    StoreError
        Naming an image that is there twice.
    """
    check_distinct(cells.image_ids, place, cells.modality)


_CHECKS: dict[Modality, Callable[[Any, str], None]] = {"text": check_tokens, "images": check_cells}


def check_positions(positions: StorePositions, place: str) -> None:
    """Check what the positions of a store are, by its modality.

    Raises
    ------
    StoreError
        Naming the first sample or position that is wrong.
    """
    _CHECKS[positions.modality](positions, place)


def check_distinct(ids: np.ndarray, place: str, modality: Modality) -> None:
    """Check that no sample is there twice.

    Raises
    ------
    StoreError
        Naming one that is.
    """
    ordered = np.sort(ids)
    if (i := first_true(ordered[1:] == ordered[:-1])) >= 0:
        raise StoreError(
            f"{place}: {sample_ids(modality)}: {ordered[i]} is there more than once. Give every "
            f"{SAMPLES[modality]} once."
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
        if (i := first_true(values[0] != values[1])) >= 0:
            raise StoreError(
                f"{both} hold different documents: the {what} of document {i} is {values[0][i]} "
                "in one and "
                f"{values[1][i]} in the other. {fix}"
            )


def check_same_images(a: StoreCells, b: StoreCells, places: tuple[str, str]) -> None:
    """Check that two stores hold the same images in the same order.

    Raises
    ------
    StoreError
        Naming the first image that differs.
    """
    both = " and ".join(places)
    if len(a.image_ids) != len(b.image_ids):
        raise StoreError(
            f"{both} hold different images: {len(a.image_ids)} of them and {len(b.image_ids)}. "
            f"{SAME_IMAGES}"
        )
    if (i := first_true(a.image_ids != b.image_ids)) >= 0:
        order = np.array_equal(np.sort(a.image_ids), np.sort(b.image_ids))
        what = "the same images in another order" if order else "different images"
        raise StoreError(
            f"{both} hold {what}: the id of image {i} is {a.image_ids[i]} in one and "
            f"{b.image_ids[i]} in the other. {SAME_IMAGES}"
        )
