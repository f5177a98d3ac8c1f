"""Activation stores: one Zarr v3 group per model and shard, with a manifest beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from zarr.codecs import Crc32cCodec

from rosetta.activations.layout import (
    FORMAT_VERSION,
    KIND,
    UNNAMED,
    check_arrays,
    check_exponents,
    check_manifest,
    group_attributes,
    has_exponents,
    n_samples,
    store_modality,
)
from rosetta.activations.position_checks import check_positions
from rosetta.activations.rounding import Rounding, Scale, rounded, scaled_back
from rosetta.activations.variables import (
    ACTIVATION_DTYPES,
    POSITIONS,
    SAMPLES,
    VARIABLES,
    StoreDescription,
    StorePositions,
    activation_path,
)
from rosetta.config.activations import CHUNK_POSITIONS
from rosetta.config.base import Modality
from rosetta.errors import StoreError
from rosetta.models.devices import CPU
from rosetta.models.neurons import NeuronShape
from rosetta.moments import Moments
from rosetta.progress import say
from rosetta.storage.arrays import read_whole, write_rows
from rosetta.storage.atomic import replacing
from rosetta.storage.manifests import check_files, describe_files, read_manifest, write_manifest

# A chunk holds all positions of a block for a tile's width of units. Blocks are written whole: the
# sharding codec would otherwise read and rewrite a file for every batch.
CHUNK_UNITS = 1024
LOST = 0.25  # share of a layer's values that are not 0 and are stored as 0, above which it is told


def write_store(
    manifest_path: Path,
    batches: Iterable[torch.Tensor],
    positions: StorePositions,
    description: StoreDescription,
) -> None:
    """Write one activation store, verify it, and write its manifest beside it.

    Parameters
    ----------
    manifest_path : Path
        Where the manifest goes; the store is the folder of the same name ending in `.zarr`.
    batches : iterable of Tensor, each of shape (n_layers, n_rows, d_mlp)
        Activations of successive positions; any number of rows per batch.
    positions : StorePositions
        What the positions are: `StoreTokens` of text, `StoreCells` of images.
    description : StoreDescription
        Neurons, precision, shard and origin.

    Raises
    ------
    StoreError
        If there is no position, or an activation is not finite in the stored dtype; the message
        names the layer and unit.
    """
    shape, place = description.shape, description.place
    manifest = describe(positions, description)
    holds = manifest["holds"]
    holds["chunks"] = [min(CHUNK_POSITIONS, holds["n_positions"]), min(CHUNK_UNITS, shape.d_mlp)]
    manifest_path.unlink(
        missing_ok=True
    )  # a manifest must never speak of a store that is being replaced
    rounding = Rounding(positions.counted, shape, description.dtype, place)
    files, moments = _write_arrays(
        manifest_path.with_suffix(".zarr"), batches, positions, holds, rounding
    )
    _tell_underflow(rounding.n_underflow, moments.count, description)
    holds |= {
        "n_dead": int((moments.m2 == 0).sum()),
        "n_clamped": rounding.n_clamped,
        "n_underflow": int(rounding.n_underflow.sum()),
    }
    write_manifest(manifest_path, {**manifest, "files": files})


def _write_arrays(
    store_path: Path,
    batches: Iterable[torch.Tensor],
    positions: StorePositions,
    holds: dict[str, Any],
    rounding: Rounding,
) -> tuple[dict[str, Any], Moments]:
    """Write and verify all arrays of a store; return facts of the files, and the moments."""
    scale = Scale(positions.counted, holds["n_layers"], holds["dtype"])
    n_values = holds["n_positions"] * holds["n_layers"] * holds["d_mlp"]
    n_bytes = n_values * np.dtype(ACTIVATION_DTYPES[holds["dtype"]]).itemsize
    modality, place = positions.modality, rounding.place
    with replacing(
        store_path, n_bytes + sum(values.nbytes for values in positions.arrays.values())
    ) as temporary:
        group = _create(temporary, holds, modality)
        blocks = _blocks(rounded(batches, scale, rounding), holds["chunks"][0])
        moments = _fill(group, blocks, positions.counted, rounding)
        small = {"exponent": rounding.exponents, "mean": moments.mean, "m2": moments.m2}
        for name, values in {**positions.arrays, **small}.items():
            _add_variable(group, name, values, modality)
        check_arrays(zarr.open_group(temporary, mode="r", zarr_format=3), holds, place, modality)
        return describe_files(temporary), moments


def _tell_underflow(n_underflow: np.ndarray, n_counted: int, description: StoreDescription) -> None:
    """Warn of layers that lose a large part of their values to underflow."""
    share = n_underflow / max(1, n_counted * description.shape.d_mlp)
    if len(lost := np.flatnonzero(share > LOST)):
        say(
            f"{description.place}: {share[lost].max():.0%} of the values of layer "
            f"{lost[share[lost].argmax()]} are too small for "
            f"{description.dtype} and are stored as 0 ({len(lost)} such layer(s)). Set "
            "activations.dtype to bfloat16 or "
            "float32."
        )


def describe(positions: StorePositions, description: StoreDescription) -> dict[str, Any]:
    """Return what the manifest of any store, written or live, says before there are values.

    Raises
    ------
    StoreError
        If there is no position, or the positions are not in order.
    """
    place, modality = description.place, positions.modality
    if not positions.n_positions:
        raise StoreError(
            f"{place}: the shard has no position. Lower activations.n_shards or give more "
            f"{SAMPLES[modality]}s."
        )
    check_positions(positions, place)
    return {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        # Manifests of text are those of earlier versions, byte for byte.
        **({} if modality == UNNAMED else {"modality": modality}),
        "made_by": description.made_by,
        "holds": {
            **positions.facts,
            **description.shape.facts,
            "dtype": description.dtype,
            "shard": description.shard,
            "n_shards": description.n_shards,
        },
    }


def _create(folder: Path, holds: dict[str, Any], modality: Modality) -> zarr.Group:
    """Create the group and the arrays of all layers."""
    group = zarr.create_group(folder, zarr_format=3)
    group.attrs.update(group_attributes(holds, modality))
    rows, units = holds["chunks"]
    for layer in range(holds["n_layers"]):
        group.create_array(
            activation_path(layer),
            shape=(holds["n_positions"], holds["d_mlp"]),
            dtype=ACTIVATION_DTYPES[holds["dtype"]],
            chunks=(rows, units),
            shards=(rows, -(-holds["d_mlp"] // units) * units),
            compressors=[Crc32cCodec()],
            dimension_names=VARIABLES[modality]["activations"].dimensions,
        )
    return group


def _fill(
    group: zarr.Group, blocks: Iterator[torch.Tensor], counted: np.ndarray, rounding: Rounding
) -> Moments:
    """Write the activations and return their moments over the positions that count."""
    n_layers = len(rounding.exponents)
    layers = [group[activation_path(layer)] for layer in range(n_layers)]
    moments, position = Moments.zeros((n_layers, layers[0].shape[1])), 0
    for block in blocks:
        rows = slice(position, position + block.shape[1])
        kept = torch.from_numpy(counted[rows])
        moments = moments.merge(_block_moments(block, kept, rounding.exponents))
        raw = block.contiguous().view(torch.uint16) if block.dtype == torch.bfloat16 else block
        for array, values in zip(layers, raw.numpy(), strict=True):
            write_rows(array, rows, values)
        position = rows.stop
        del block, raw, values  # or they would lie beside the next batches
    if position != len(counted):
        raise StoreError(
            f"{rounding.place}: activations of {position} positions, and {len(counted)} positions "
            "are described."
        )
    return moments


def _blocks(batches: Iterable[torch.Tensor], rows: int) -> Iterator[torch.Tensor]:
    """Regroup batches along axis 1 into blocks of `rows` positions; the last may be shorter."""
    pending: list[torch.Tensor] = []
    for batch in batches:
        pending.append(batch)
        del batch
        while sum(part.shape[1] for part in pending) >= rows:
            joined = torch.cat(pending, dim=1)
            pending = [joined[:, rows:].clone()]  # a view would keep all of `joined`
            yield joined[:, :rows]
            del joined
    if pending and sum(part.shape[1] for part in pending):
        yield torch.cat(pending, dim=1)


def _block_moments(block: torch.Tensor, kept: torch.Tensor, exponents: np.ndarray) -> Moments:
    """Return the moments of a block's kept rows as stored, layer by layer to spare memory."""
    scaled = zip(block, exponents.tolist(), strict=True)
    layers = [
        Moments.of(scaled_back(values[kept], exponent).float().numpy())
        for values, exponent in scaled
    ]
    return Moments(
        layers[0].count, np.stack([m.mean for m in layers]), np.stack([m.m2 for m in layers])
    )


def _add_variable(group: zarr.Group, name: str, values: np.ndarray, modality: Modality) -> None:
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=tuple(max(1, n) for n in values.shape),
        compressors=[Crc32cCodec()],
        dimension_names=VARIABLES[modality][name].dimensions,
    )
    write_rows(array, slice(None), values)


class Store:
    """A store opened for reading, checked against its manifest and the registry of variables.

    Parameters
    ----------
    manifest_path : Path
        The JSON manifest; the store is the folder of the same name ending in `.zarr`.

    Raises
    ------
    StoreError
        If the manifest or a file is missing, truncated or altered, or the arrays are not as
        registered.
    """

    def __init__(self, manifest_path: Path) -> None:
        manifest_path = Path(manifest_path)
        self.path = manifest_path.with_suffix(".zarr")
        self.manifest = read_manifest(manifest_path, KIND)
        check_manifest(self.manifest, str(manifest_path))
        self.modality = store_modality(self.manifest, str(manifest_path))
        # Chunks of activations have checksums of their own, which are checked when they are read.
        check_files(self.path, self.manifest["files"], manifest_path, content=_is_small)
        holds = self.manifest["holds"]
        self.group = self._guard(
            "zarr.json", lambda: zarr.open_group(self.path, mode="r", zarr_format=3)
        )
        version = self.manifest["format_version"]
        self._guard(
            "zarr.json",
            lambda: check_arrays(self.group, holds, str(self.path), self.modality, version),
        )
        self.shape = NeuronShape.of(holds)
        self.n_layers, self.d_mlp = self.shape.n_layers, self.shape.d_mlp
        self.n_positions: int = holds["n_positions"]
        self.n_samples = n_samples(holds, self.modality)
        self.dtype: str = holds["dtype"]
        self._layers = [self.group[activation_path(layer)] for layer in range(self.n_layers)]
        scaled = (
            self.read("exponent") if has_exponents(version) else np.zeros(self.n_layers, np.int16)
        )
        check_exponents(scaled, str(self.path))
        self._exponents = scaled.tolist()
        positions = self.positions()
        check_positions(positions, str(self.path))
        for key, value in positions.counts.items():
            if holds[key] != value:
                raise StoreError(f"{manifest_path}: holds.{key}: should be {value}.")
        self._n_counted = int(positions.counted.sum())

    def read(self, variable: str) -> np.ndarray:
        """Return a small variable of the registry, whole.

        Raises
        ------
        StoreError
            If its chunk is damaged.
        """
        return self._guard(variable, lambda: self.group[variable][...])

    def positions(self) -> StorePositions:
        """Return what the positions are."""
        return POSITIONS[self.modality].of(self)

    @property
    def gpu_bytes(self) -> float:
        """What reading the store takes of a GPU beside what is read: nothing."""
        return 0.0

    def moments(self) -> Moments:
        """Return the moments of every neuron, arrays of shape (n_layers · d_mlp,)."""
        return Moments(
            self._n_counted,
            self.read("mean").ravel(),
            self.read("m2").ravel(),
        )

    def activations(self, layer: int, rows: slice, units: slice) -> torch.Tensor:
        """Return activations (rows, units) of a layer: as stored, or float32 if it is scaled.

        Raises
        ------
        StoreError
            If a chunk is damaged.
        """
        values = torch.from_numpy(
            self._guard(activation_path(layer), lambda: self._layers[layer][rows, units])
        )
        values = values.view(torch.bfloat16) if self.dtype == "bfloat16" else values
        return scaled_back(values, self._exponents[layer])

    def chunks(
        self, low: int, high: int, first_row: int = 0, where: torch.device = CPU
    ) -> Iterator[tuple[int, list[tuple[int, torch.Tensor]]]]:
        """Read the flat neuron range [low, high) from the chunk with `first_row` on, each once.

        Values go to `where`, those for a GPU through pinned memory.

        Yields
        ------
        start : int
            First position of the chunk.
        parts : list of (offset, Tensor of shape (n_rows, n_units))
            Activations by layer; `offset` is the first neuron's distance from `low`.
        """
        step = self._layers[0].chunks[0]
        for start in range(first_row - first_row % step, self.n_positions, step):
            parts = []
            for layer in range(low // self.d_mlp, -(-high // self.d_mlp)):
                first = layer * self.d_mlp
                units = slice(max(low - first, 0), min(high - first, self.d_mlp))
                values = self.activations(layer, slice(start, start + step), units)
                if where.type == "cuda":
                    values = values.pin_memory().to(where, non_blocking=True)
                parts.append((first + units.start - low, values))
            yield start, parts

    def _guard(self, what: str, read: Any) -> np.ndarray:
        return read_whole(read, self.path, what, self.path.with_suffix(".json"))


def _is_small(name: str) -> bool:
    """Tell whether a file of a store is not a chunk of activations, which are almost all of it."""
    return not name.startswith("activations/") or name.endswith("zarr.json")
