"""Checking whole stores against docs/stores.md: what opening checks, and every byte and value."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from rosetta.activations.layout import HIDDEN, SPECIFICATION, array_names
from rosetta.activations.store import Store
from rosetta.activations.variables import activation_path
from rosetta.errors import StoreError
from rosetta.moments import Moments
from rosetta.progress import bar
from rosetta.storage.manifests import check_files

# Moments are compared to this share of themselves, and sums of squares to this share of Σx² too:
# other programs add up in another order.
RTOL = 1e-6
RTOL_SQUARES = 1e-12


def check_store(store: Store) -> None:
    """Check what opening a store does not: digests of files, chunks, values and moments.

    Raises
    ------
    StoreError
        At the first thing that is wrong: a file that is altered or that the manifest does not list,
        an array that is not registered, a chunk that cannot be read, a value that is not finite on
        a position that counts, moments that are not those of the activations.
    """
    files = store.manifest["files"]
    _check_names(store)
    n_bytes = sum(facts["bytes"] for facts in files.values())
    # Once for the digests, once for the values.
    with bar(total=2 * n_bytes, label=str(store.path), unit="B") as shown:
        for name, facts in files.items():
            check_files(store.path, {name: facts}, store.path.with_suffix(".json"))
            shown.update(facts["bytes"])
        _check_activations(store, shown, n_bytes)


def summary(store: Store) -> str:
    """Return one line that says what a store holds."""
    holds, moments = store.manifest["holds"], store.moments()
    positions = store.positions()
    n_bytes = sum(facts["bytes"] for facts in store.manifest["files"].values())
    return (
        f"{store.path.with_suffix('.json')}: shard {holds['shard']} of {holds['n_shards']}, "
        f"{store.n_layers} × {store.d_mlp} neurons ({int((moments.m2 == 0).sum())} dead), "
        f"{holds['dtype']}, "
        f"{positions.in_words}, "
        f"{tqdm.format_sizeof(n_bytes, 'B')}"
    )


def _check_names(store: Store) -> None:
    present = {
        path.relative_to(store.path).as_posix() for path in store.path.rglob("*") if path.is_file()
    }
    for name in sorted(present - set(store.manifest["files"])):
        hidden = Path(name).name.startswith(".")
        raise StoreError(
            f"{store.path / name}: "
            f"{HIDDEN if hidden else f'is not listed in the manifest. {SPECIFICATION}'}"
        )
    known = {
        "activations",
        *array_names(store.n_layers, store.modality, store.manifest["format_version"]),
    }
    for name in sorted({name for name, _ in store.group.members(max_depth=None)} - known):
        raise StoreError(f"{store.path}: the array {name} is not registered. {SPECIFICATION}")


def _check_activations(store: Store, shown: Any, n_bytes: int) -> None:
    """Read every chunk once; `n_bytes` of progress are shared out over them."""
    counted = torch.from_numpy(store.positions().counted)
    saved = store.moments()
    rows, units = store.manifest["holds"]["chunks"]
    firsts = [
        (layer, unit) for layer in range(store.n_layers) for unit in range(0, store.d_mlp, units)
    ]
    for layer, unit in firsts:
        parts = []
        columns = slice(unit, min(unit + units, store.d_mlp))
        for start in range(0, store.n_positions, rows):
            positions = slice(start, start + rows)
            values = store.activations(layer, positions, columns)[counted[positions]].float()
            _check_finite(store, values, layer, unit)
            parts.append(Moments.of(values.numpy()))
        flat = slice(layer * store.d_mlp + columns.start, layer * store.d_mlp + columns.stop)
        expected = Moments(saved.count, saved.mean[flat], saved.m2[flat])
        _check_moments(store, reduce(Moments.merge, parts), expected, layer, unit)
        shown.update(n_bytes / len(firsts))


def _check_finite(store: Store, values: torch.Tensor, layer: int, first_unit: int) -> None:
    bad = torch.nonzero(~torch.isfinite(values))
    if len(bad):
        row, unit = bad[0].tolist()
        raise StoreError(
            f"{store.path}: neuron {store.shape.name(layer, first_unit + unit)} reads "
            f"{float(values[row, unit])} on a "
            f"position that counts. Capture it again, in a dtype that holds its values."
        )


def _check_moments(
    store: Store, computed: Moments, saved: Moments, layer: int, first_unit: int
) -> None:
    squares = computed.m2 + computed.count * np.square(computed.mean)
    off = {
        "mean": (saved.mean, computed.mean, RTOL * (np.abs(computed.mean) + computed.std)),
        "m2": (saved.m2, computed.m2, RTOL * computed.m2 + RTOL_SQUARES * squares),
    }
    for name, (found, expected, tolerance) in off.items():
        wrong = ~(np.abs(found - expected) <= tolerance)  # NaN is wrong too
        if wrong.any():
            unit = int(np.argmax(wrong))
            neuron = store.shape.name(layer, first_unit + unit)
            raise StoreError(
                f"{store.path}: {name} of neuron {neuron} is {found[unit]:g}, but that of "
                f"{activation_path(layer)} is "
                f"{expected[unit]:g}. Compute it in float64 from the values as stored."
            )
