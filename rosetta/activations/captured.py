"""What all stores of a model that sees images hold, in one manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rosetta.errors import StoreError
from rosetta.storage.damage import how_to_recompute
from rosetta.storage.manifests import read_manifest, write_manifest

KIND = "captured"


def write_captured(folders: Mapping[str, Path], out: Path) -> None:
    """Write what stores hold, by their names: images, cells, grid, and dead neurons by shard."""
    from rosetta.activations.folders import store_manifests  # brings torch; readers need none

    found = {}
    for name, folder in folders.items():
        held = [manifest["holds"] for manifest in store_manifests(folder)]
        found[name] = {
            "n_images": sum(one["n_images"] for one in held),
            "n_positions": sum(one["n_positions"] for one in held),
            "grid": held[0]["grid"],
            "step": held[0].get("step"),
            # Live stores do not tell it: no model has run yet.
            "n_dead": [one.get("n_dead") for one in held],
        }
    write_manifest(out, {"kind": KIND, "stores": found})


@dataclass(frozen=True)
class Held:
    """What the shard stores of one name hold.

    Attributes
    ----------
    n_images : int
        Images of all shards.
    grid : tuple of (int, int)
        Rows and columns of cells per image.
    """

    n_images: int
    grid: tuple[int, int]


def read_held(manifest: Path, name: str) -> Held:
    """Return what stores of a model hold, by their name.

    Raises
    ------
    StoreError
        If the manifest is missing or damaged, or knows no such stores.
    """
    stores = read_manifest(manifest, KIND)["stores"]
    if name not in stores:
        raise StoreError(
            f"{manifest}: has nothing of the stores {name}. {how_to_recompute(manifest)}"
        )
    height, width = stores[name]["grid"]
    return Held(stores[name]["n_images"], (height, width))
