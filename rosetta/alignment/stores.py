"""Alignment of two models' stores, by the stores' modality."""

from __future__ import annotations

from collections.abc import Sequence

from rosetta.activations.reader import StoreReader
from rosetta.alignment import text
from rosetta.alignment.positions import AlignedShard
from rosetta.errors import StoreError


def align_stores(stores_a: Sequence[StoreReader], stores_b: Sequence[StoreReader]) -> list[AlignedShard]:
    """Align the shard stores of two models.

    Raises
    ------
    StoreError
        If they do not hold the same samples in the same shards.
    """
    if len(stores_a) != len(stores_b):
        raise StoreError(
            f"{stores_a[0].path.parent} has {len(stores_a)} shards, {stores_b[0].path.parent} has "
            f"{len(stores_b)}. Capture both with the same activations.n_shards."
        )
    return [text.align_shard(a, b) for a, b in zip(stores_a, stores_b, strict=True)]
