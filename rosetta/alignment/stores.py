"""Alignment of two models' stores, by the stores' modality."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rosetta.activations.reader import StoreReader
from rosetta.alignment import text
from rosetta.alignment.positions import AlignedShard
from rosetta.config.base import Modality
from rosetta.errors import StoreError

# How two shards of the same samples are aligned.
ALIGN: Mapping[Modality, Callable[[StoreReader, StoreReader], AlignedShard]] = {
    "text": text.align_shard
}


def align_stores(
    stores_a: Sequence[StoreReader], stores_b: Sequence[StoreReader]
) -> list[AlignedShard]:
    """Align the shard stores of two models.

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
    align = ALIGN[stores_a[0].modality]
    return [align(a, b) for a, b in zip(stores_a, stores_b, strict=True)]
