"""Activation stores: one Zarr v3 group per (model, shard), beside it a manifest that says what made it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from zarr.codecs import Crc32cCodec

from rosetta.activations.variables import ACTIVATION_DTYPES, VARIABLES, activation_path
from rosetta.errors import StoreError
from rosetta.files import check_files, describe_files, read_manifest, replacing, write_manifest
from rosetta.models.neurons import NeuronShape, neuron_name
from rosetta.moments import Moments

KIND = "activations"
FORMAT_VERSION = 1
# A chunk holds all positions of a block for a tile's width of units. Blocks are written whole: the sharding
# codec would otherwise read and rewrite a file for every batch.
CHUNK_POSITIONS = 4096
CHUNK_UNITS = 1024


@dataclass(frozen=True)
class StoreTokens:
    """The small arrays of a store (see the registry of variables).

    Attributes
    ----------
    token_ids, byte_start, byte_end, document_index : ndarray of int32, shape (n_positions,)
    document_ids : ndarray of uint64, shape (n_documents,)
    """

    token_ids: np.ndarray
    byte_start: np.ndarray
    byte_end: np.ndarray
    document_index: np.ndarray
    document_ids: np.ndarray


def write_store(
    manifest_path: Path,
    batches: Iterable[torch.Tensor],
    tokens: StoreTokens,
    shape: NeuronShape,
    *,
    dtype: str,
    shard: int,
    n_shards: int,
    made_by: dict[str, Any],
    place: str,
) -> None:
    """Write one activation store, verify it, and write its manifest beside it.

    Parameters
    ----------
    manifest_path : Path
        Where the manifest goes; the store is the folder of the same name ending in `.zarr`.
    batches : iterable of Tensor, each of shape (n_layers, n_rows, d_mlp)
        Activations of successive positions; any number of rows per batch.
    tokens : StoreTokens
        What the positions are.
    shape : NeuronShape
        Neurons of the model.
    dtype : {'float16', 'float32', 'bfloat16'}
        Stored precision.
    shard, n_shards : int
        Which shard of how many.
    made_by : dict
        What the store depends on, the same for all shards of a model.
    place : str
        What messages name as the culprit.

    Raises
    ------
    StoreError
        If there is no position, or an activation is not finite in the stored dtype; the message names the
        layer and unit.
    """
    n_positions = len(tokens.token_ids)
    if not n_positions:
        raise StoreError(f"{place}: the shard has no token. Lower activations.n_shards or give more documents.")
    store_path = manifest_path.with_suffix(".zarr")
    manifest_path.unlink(missing_ok=True)  # a manifest must never speak of a store that is being replaced
    with_bytes = tokens.byte_end > tokens.byte_start
    with replacing(store_path) as temporary:
        group, layers, rows = _create(temporary, n_positions, shape, dtype)
        moments, position = Moments.zeros((shape.n_layers, shape.d_mlp)), 0
        for block in _blocks((rounded(batch, dtype, place) for batch in batches), rows):
            end = position + block.shape[1]
            moments = moments.merge(_block_moments(block, torch.from_numpy(with_bytes[position:end])))
            raw = block.contiguous().view(torch.uint16) if dtype == "bfloat16" else block
            for array, values in zip(layers, raw.numpy(), strict=True):
                array[position:end] = values
            position = end
        if position != n_positions:
            raise StoreError(f"{place}: {position} positions of activations for {n_positions} tokens.")
        for name, values in {**vars(tokens), "mean": moments.mean, "m2": moments.m2}.items():
            _add_variable(group, name, values)
        files = describe_files(temporary)
    holds = {
        "n_positions": n_positions,
        "n_with_bytes": moments.count,
        "n_documents": len(tokens.document_ids),
        "n_layers": shape.n_layers,
        "d_mlp": shape.d_mlp,
        "dtype": dtype,
        "n_dead": int((moments.m2 == 0).sum()),
        "n_non_finite": 0,  # a store with any is never written
        "shard": shard,
        "n_shards": n_shards,
    }
    write_manifest(manifest_path, {"kind": KIND, "made_by": made_by, "holds": holds, "files": files})
    Store(manifest_path)


def _create(folder: Path, n_positions: int, shape: NeuronShape, dtype: str) -> tuple[Any, list[Any], int]:
    """Create the group and the arrays of all layers; return them with the number of rows to write at once."""
    group = zarr.create_group(folder, zarr_format=3)
    group.attrs.update(
        {"rosetta_store": FORMAT_VERSION, "n_layers": shape.n_layers, "d_mlp": shape.d_mlp, "dtype": dtype}
    )
    rows, units = min(CHUNK_POSITIONS, n_positions), min(CHUNK_UNITS, shape.d_mlp)
    layers = [
        group.create_array(
            activation_path(layer),
            shape=(n_positions, shape.d_mlp),
            dtype=ACTIVATION_DTYPES[dtype],
            chunks=(rows, units),
            shards=(rows, -(-shape.d_mlp // units) * units),
            compressors=[Crc32cCodec()],
            dimension_names=VARIABLES["activations"].dimensions,
        )
        for layer in range(shape.n_layers)
    ]
    return group, layers, rows


def rounded(values: torch.Tensor, dtype: str, place: str) -> torch.Tensor:
    """Return a batch in the stored dtype, or name the first neuron that it cannot hold."""
    stored = values.to(getattr(torch, dtype))
    finite = torch.isfinite(stored)
    if not bool(finite.all()):
        layer, row, unit = (int(i) for i in torch.nonzero(~finite)[0])
        value = float(values[layer, row, unit])
        mend = "Set activations.dtype to bfloat16 or float32." if math.isfinite(value) else "Check the weights."
        raise StoreError(
            f"{place}: neuron {neuron_name(layer, unit)} reads {value:g}, which {dtype} cannot hold. {mend}"
        )
    return stored


def _blocks(batches: Iterable[torch.Tensor], rows: int) -> Iterator[torch.Tensor]:
    """Regroup batches along axis 1 into blocks of exactly `rows` positions; the last one may be shorter."""
    pending: list[torch.Tensor] = []
    for batch in batches:
        pending.append(batch)
        while sum(part.shape[1] for part in pending) >= rows:
            joined = torch.cat(pending, dim=1)
            yield joined[:, :rows]
            pending = [joined[:, rows:]]
    if pending and sum(part.shape[1] for part in pending):
        yield torch.cat(pending, dim=1)


def _block_moments(block: torch.Tensor, kept: torch.Tensor) -> Moments:
    """Return the moments of the kept rows of a block as it is stored, layer by layer to spare memory."""
    layers = [Moments.of(values[kept].float().numpy()) for values in block]
    return Moments(layers[0].count, np.stack([m.mean for m in layers]), np.stack([m.m2 for m in layers]))


def _add_variable(group: Any, name: str, values: np.ndarray) -> None:
    _check_variable(name, values)
    group.create_array(
        name,
        data=np.ascontiguousarray(values),
        chunks=tuple(max(1, n) for n in values.shape),
        compressors=[Crc32cCodec()],
        dimension_names=VARIABLES[name].dimensions,
    )


class Store:
    """A store opened for reading, checked against its manifest and the registry of variables.

    Parameters
    ----------
    manifest_path : Path
        The JSON manifest; the store is the folder of the same name ending in `.zarr`.

    Raises
    ------
    StoreError
        If the manifest or a file is missing, truncated or altered, or the arrays are not as registered.
    """

    def __init__(self, manifest_path: Path) -> None:
        self.path = Path(manifest_path).with_suffix(".zarr")
        self.manifest = read_manifest(manifest_path, KIND)
        check_files(self.path, self.manifest["files"])
        self.group = zarr.open_group(self.path, mode="r", zarr_format=3)
        holds = self.manifest["holds"]
        self.n_layers: int = holds["n_layers"]
        self.d_mlp: int = holds["d_mlp"]
        self.n_positions: int = holds["n_positions"]
        self.dtype: str = holds["dtype"]
        self._layers = [self.group[activation_path(layer)] for layer in range(self.n_layers)]

    def read(self, variable: str) -> np.ndarray:
        """Return a small variable of the registry, whole.

        Raises
        ------
        StoreError
            If its chunk is damaged or it is not as registered.
        """
        values = self._guard(variable, lambda: self.group[variable][...])
        _check_variable(variable, values)
        return values

    def moments(self) -> Moments:
        """Return the moments of every neuron, arrays of shape (n_layers · d_mlp,)."""
        return Moments(self.manifest["holds"]["n_with_bytes"], self.read("mean").ravel(), self.read("m2").ravel())

    def activations(self, layer: int, rows: slice, units: slice) -> torch.Tensor:
        """Return activations (rows, units) of a layer in the stored dtype.

        Raises
        ------
        StoreError
            If a chunk is damaged.
        """
        values = torch.from_numpy(self._guard(activation_path(layer), lambda: self._layers[layer][rows, units]))
        return values.view(torch.bfloat16) if self.dtype == "bfloat16" else values

    def chunks(self, low: int, high: int) -> Iterator[tuple[int, list[tuple[int, torch.Tensor]]]]:
        """Read the flat neuron range [low, high), every chunk once.

        Yields
        ------
        start : int
            First position of the chunk.
        parts : list of (offset, Tensor of shape (n_rows, n_units))
            Activations by layer; `offset` is the first neuron's distance from `low`.
        """
        step = self._layers[0].chunks[0]
        for start in range(0, self.n_positions, step):
            parts = []
            for layer in range(low // self.d_mlp, -(-high // self.d_mlp)):
                first = layer * self.d_mlp
                units = slice(max(low - first, 0), min(high - first, self.d_mlp))
                parts.append((first + units.start - low, self.activations(layer, slice(start, start + step), units)))
            yield start, parts

    def _guard(self, what: str, read: Any) -> np.ndarray:
        try:
            return read()
        except (ValueError, KeyError, OSError, RuntimeError) as error:
            raise StoreError(
                f"{self.path}: {what} is damaged ({error}). Delete {self.path.with_suffix('.json').name} beside it "
                "and run again to rebuild this store."
            ) from None


def _check_variable(name: str, values: np.ndarray) -> None:
    registered = VARIABLES[name]
    if values.dtype.name not in registered.dtypes or values.ndim != len(registered.dimensions):
        raise StoreError(
            f"{name}: is {values.dtype.name} with {values.ndim} dimensions; registered as "
            f"{'/'.join(registered.dtypes)} with {registered.dimensions}"
        )
