"""The activation stores of one model as a value: what was captured, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
from dask.delayed import delayed

from rosetta.activations.folders import open_stores
from rosetta.activations.store import Store
from rosetta.activations.variables import SAMPLES
from rosetta.api.arguments import as_int, as_path
from rosetta.errors import ConfigError, StoreError, naming_files


class ModelStore:
    """Activations of one model: a folder of shard stores, read as one.

    Opening it checks each shard against its manifest, but reads no activation. Positions are the
    tokens that the model has read, document after document, or the cells of the images that it has
    seen, image after image; shard after shard.

    Parameters
    ----------
    folder : str or Path
        What `rosetta.capture` or `rosetta activations` wrote, or another program that follows
        docs/stores.md.

    Attributes
    ----------
    folder : Path
        The folder.
    model : str
        Name of the model.
    modality : {'text', 'images'}
        What the model sees.
    n_layers, d_mlp : int
        Layers, and neurons per layer.
    n_positions, n_samples : int
        Positions, and documents or images, of all shards.
    dtype : {'float16', 'float32', 'bfloat16'}
        Precision of the stored activations.

    Raises
    ------
    ConfigError
        If `folder` is not a folder's path.
    StoreError
        If the folder holds no stores, or a store is missing, damaged or of another model.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = as_path("folder", folder)
        with naming_files():
            self._shards = open_stores(self.folder)
        first, holds = self._shards[0], [shard.manifest["holds"] for shard in self._shards]
        self._shape = first.shape
        self.model = str(first.manifest["made_by"].get("model", self.folder.name))
        self.n_layers, self.d_mlp, self.dtype = first.n_layers, first.d_mlp, first.dtype
        self.n_positions: int = sum(shard["n_positions"] for shard in holds)
        self.modality = first.modality
        self.n_samples = sum(shard.n_samples for shard in self._shards)

    def __repr__(self) -> str:
        return (
            f"ModelStore({str(self.folder)!r}): {self.model}, {self._shape.in_words}, "
            f"{self.n_positions:,} positions of {self.n_samples:,} {SAMPLES[self.modality]}s, "
            f"{self.dtype}"
        )

    @property
    def n_neurons(self) -> int:
        """Neurons of the model, `n_layers` · `d_mlp`."""
        return self._shape.n_neurons

    def positions(self) -> pd.DataFrame:
        """Return what each row of `layer` is.

        Returns
        -------
        DataFrame
            One row per position. Of text `document` (64-bit id), `token_id`, and `byte_start` and
            `byte_end`, the token's range in the UTF-8 text of its document. A token that stands for
            no byte, such as BOS, has an empty range. Of images `image` (64-bit id), and `row` and
            `column`, the cell's place in the grid, from 0.
        """
        parts = [pd.DataFrame(shard.positions().columns) for shard in self._shards]
        return pd.concat(parts, ignore_index=True)

    def layer(self, layer: int) -> da.Array:
        """Return the activations of one layer, which are read only where they are asked for.

        A neuron is one coordinate of the input of the layer's MLP down projection (Dravid 2026,
        section 3.1): `store.layer(3)[:, 12].compute()` is neuron L3/U12 on all positions.

        Parameters
        ----------
        layer : int
            From 0.

        Returns
        -------
        dask.array.Array of float32, shape (n_positions, d_mlp)
            In the chunks of the stores. Every stored dtype is exact in float32.

        Raises
        ------
        ConfigError
            If `layer` is not a whole number, or the model has no such layer.
        StoreError
            If the activations were never written (`activations.keep: false`), or, when they are
            read, a chunk is damaged.
        """
        number = as_int("layer", layer)
        if not 0 <= number < self.n_layers:
            raise ConfigError(
                f"layer: {number} is not in {self.model}, which has 0 to {self.n_layers - 1}."
            )
        whole: da.Array = da.concatenate(
            [_shard_layer(self._written(shard), number) for shard in self._shards]
        )
        return whole

    def _written(self, shard: Any) -> Store:
        if not isinstance(shard, Store):
            raise StoreError(
                f"{shard.path}: its activations were never written (activations.keep). Run with "
                "activations.keep: true to keep them."
            )
        return shard


def _shard_layer(store: Store, layer: int) -> da.Array:
    """Return a layer of one shard as a grid of delayed reads, one per chunk of the store."""
    rows, units = store.manifest["holds"]["chunks"]
    grid = [
        [_delayed_chunk(store, layer, row, column) for column in _pieces(store.d_mlp, units)]
        for row in _pieces(store.n_positions, rows)
    ]
    whole: da.Array = da.block(grid)
    return whole


def _pieces(size: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


def _delayed_chunk(store: Store, layer: int, rows: slice, units: slice) -> da.Array:
    shape = (rows.stop - rows.start, units.stop - units.start)
    chunk: da.Array = da.from_delayed(
        delayed(_read_chunk)(store, layer, rows, units), shape, dtype=np.float32
    )
    return chunk


def _read_chunk(store: Store, layer: int, rows: slice, units: slice) -> np.ndarray:
    values: np.ndarray = store.activations(layer, rows, units).float().numpy()
    return values
