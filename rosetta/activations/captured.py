"""What all stores of a model that sees images hold, in one manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rosetta.activations.folders import store_manifests
from rosetta.storage.manifests import write_manifest

KIND = "captured"


def write_captured(folders: Mapping[str, Path], out: Path) -> None:
    """Write what stores hold, by their names: images, cells, grid, and dead neurons by shard."""
    found = {}
    for name, folder in folders.items():
        held = [manifest["holds"] for manifest in store_manifests(folder)]
        found[name] = {
            "n_images": sum(one["n_images"] for one in held),
            "n_positions": sum(one["n_positions"] for one in held),
            "grid": held[0]["grid"],
            "step": held[0].get("step"),
            "n_dead": [one["n_dead"] for one in held],
        }
    write_manifest(out, {"kind": KIND, "stores": found})
