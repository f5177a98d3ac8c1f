"""Folders of shard stores, written or live."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rosetta.activations.layout import HIDDEN, KIND, SAME_IN_SHARDS, sample_ids
from rosetta.activations.position_checks import check_distinct
from rosetta.activations.store import Store
from rosetta.errors import StoreError
from rosetta.storage.damage import how_to_recompute
from rosetta.storage.manifests import read_manifest

if TYPE_CHECKING:
    from rosetta.activations.live import LiveStore


def open_store(manifest_path: Path) -> Store | LiveStore:
    """Open one store by its manifest.

    Raises
    ------
    StoreError
        If it is missing, damaged or not what its manifest says.
    """
    if "live" not in read_manifest(manifest_path, KIND):
        return Store(manifest_path)
    from rosetta.activations.live import (
        LiveStore,
    )  # brings transformers, seconds that only live stores need

    return LiveStore(manifest_path)


def open_stores(folder: Path) -> list[Store | LiveStore]:
    """Open all shard stores of a folder, in the order of their shard numbers.

    Raises
    ------
    StoreError
        If there is none, a hidden file lies among them, a shard is missing, or they are of
        different models or sharded differently.
    """
    manifests = _manifests(Path(folder))
    if not manifests:
        raise StoreError(f"{folder}: holds no store manifest. Give a folder of shard stores.")
    stores = [open_store(path) for path in manifests]
    n_shards = stores[0].manifest["holds"]["n_shards"]
    shards = [store.manifest["holds"]["shard"] for store in stores]
    if shards != list(range(n_shards)):
        missing = [
            Path(folder) / f"{shard}.json" for shard in range(n_shards) if shard not in shards
        ]
        raise StoreError(
            f"{folder}: has the shards {shards} of {n_shards}. "
            f"{how_to_recompute(*(missing or manifests))}"
        )
    _check_together(stores)
    return stores


def store_manifests(folder: Path) -> list[dict[str, Any]]:
    """Return the manifests of all shard stores of a folder, without opening the stores."""
    return [read_manifest(path, KIND) for path in _manifests(Path(folder))]


def _manifests(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.json"), key=lambda path: (len(path.stem), path.stem))
    hidden = next((path for path in found if path.name.startswith(".")), None)
    if hidden is not None:
        raise StoreError(f"{hidden}: {HIDDEN}")
    return found


def _check_together(stores: list[Store | LiveStore]) -> None:
    first = stores[0]
    modality = first.modality
    same = ("n_shards", "n_layers", "d_mlp", "dtype", *SAME_IN_SHARDS[modality])
    for store in stores[1:]:
        if store.modality != modality:
            raise StoreError(
                f"{store.path}: is of {store.modality}, but {first.path.name} of {modality}."
            )
        if store.manifest["made_by"] != first.manifest["made_by"]:
            raise StoreError(
                f"{store.path}: was made from another model or corpus than {first.path.name}."
            )
        for key in same:
            value, expected = (one.manifest["holds"].get(key) for one in (store, first))
            if value != expected:
                raise StoreError(
                    f"{store.path}: holds.{key} is {value}, but {expected} in {first.path.name}."
                )
    # Live stores read a corpus without duplicates; asking them would load their models.
    ids = [store.read(sample_ids(modality)) for store in stores if isinstance(store, Store)]
    if ids:
        check_distinct(np.concatenate(ids), str(first.path.parent), modality)


def documents_left_out(folder: Path) -> float:
    """Return how many documents a model has read no byte of; NaN if its manifests are gone."""
    held = [manifest["holds"] for manifest in store_manifests(folder)]
    return sum(holds["n_left_out"] for holds in held) if held else float("nan")
