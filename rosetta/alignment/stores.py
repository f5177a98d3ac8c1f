"""Alignment of two models' stores, and what is known of their samples, by the stores' modality."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rosetta.activations.reader import StoreReader
from rosetta.alignment import images, text
from rosetta.alignment.positions import AlignedShard, StoredRows
from rosetta.alignment.samples import SampleFacts
from rosetta.config.alignment import Grid
from rosetta.config.base import Modality
from rosetta.errors import StoreError


@dataclass(frozen=True)
class Alignment:
    """What a modality says of stores to be compared.

    Attributes
    ----------
    align_shard : callable
        Aligns two models' shards of the same samples, on the grid of the one or the other.
    sample_facts : callable
        From the ids of samples, and a table of them or None, to their labels and clusters.
    stored_rows : callable
        From a store to what its rows stand for.
    """

    align_shard: Callable[[StoreReader, StoreReader, Grid], AlignedShard]
    sample_facts: Callable[[np.ndarray, Path | None], SampleFacts]
    stored_rows: Callable[[StoreReader], StoredRows]


# A further modality is a further entry.
ALIGNMENTS: Mapping[Modality, Alignment] = {
    "text": Alignment(text.align_shard, text.sample_facts, text.stored_rows),
    "images": Alignment(images.align_shard, images.sample_facts, images.stored_rows),
}


def align_stores(
    stores_a: Sequence[StoreReader], stores_b: Sequence[StoreReader], grid: Grid = "larger"
) -> list[AlignedShard]:
    """Align the shard stores of two models, cells of images on this grid (`alignment.grid`).

    Raises
    ------
    StoreError
        If they do not hold the same samples in the same shards, or see different things.
    """
    if len(stores_a) != len(stores_b):
        raise StoreError(
            f"{stores_a[0].path.parent} has {len(stores_a)} shards, {stores_b[0].path.parent} has "
            f"{len(stores_b)}. Capture both with the same activations.n_shards."
        )
    modalities = {store.path: store.modality for store in (*stores_a, *stores_b)}
    if len(set(modalities.values())) > 1:
        told = ", ".join(f"{path}: {modality}" for path, modality in modalities.items())
        raise StoreError(f"stores of two modalities cannot be aligned ({told}). Give two of one.")
    align = ALIGNMENTS[stores_a[0].modality].align_shard
    return [align(a, b, grid) for a, b in zip(stores_a, stores_b, strict=True)]


def rows_of(store: StoreReader) -> StoredRows:
    """Return what the rows of a store stand for."""
    return ALIGNMENTS[store.modality].stored_rows(store)


def facts_of_samples(
    stores: Sequence[StoreReader], ids: np.ndarray, table: Path | None
) -> SampleFacts:
    """Return the labels and clusters of the samples of stores.

    Parameters
    ----------
    stores : sequence of StoreReader
        Shard stores of one model.
    ids : ndarray of uint64, shape (n_samples,)
        Their samples, over all shards.
    table : Path, optional
        A table of samples, as their modality has it. Without it every sample is a cluster of its
        own, and all have one label.

    Raises
    ------
    StoreError
        If the table lacks a sample, or is not one of samples.
    """
    return ALIGNMENTS[stores[0].modality].sample_facts(ids, table)
