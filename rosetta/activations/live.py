"""Live stores: activations are computed by running the model again, not read from disk.

For sweeps too large for the disk (`activations.keep: false`). A live store is a manifest that says
which model reads which shard; its rows are those that a written store would hold, in its dtype.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch

from rosetta.activations.capture import TokenRows
from rosetta.activations.image_shards import image_rows
from rosetta.activations.inputs import ShardInputs
from rosetta.activations.layout import KIND, check_version, n_samples, store_modality
from rosetta.activations.rounding import Rounding, Scale, scaled_back
from rosetta.activations.rows import ShardRows
from rosetta.activations.store import describe
from rosetta.activations.variables import StorePositions
from rosetta.config import Config, load_config
from rosetta.config.base import Modality
from rosetta.config.names import model_of_store
from rosetta.errors import StoreError
from rosetta.models.devices import CPU
from rosetta.models.known_sizes import known_size, planned_capture
from rosetta.models.neurons import NeuronShape
from rosetta.moments import Moments
from rosetta.run.paths import Paths
from rosetta.storage.damage import DamageError
from rosetta.storage.digests import check_digest
from rosetta.storage.manifests import read_manifest, write_manifest


def _token_rows(config: Config, paths: Paths, name: str, shard: int) -> ShardRows:
    return TokenRows(ShardInputs.of(config, paths, name, shard), config.activations, shard)


_ROWS: Mapping[Modality, Callable[[Config, Paths, str, int], ShardRows]] = {
    "text": _token_rows,
    "images": image_rows,
}


def write_live_store(config: Config, paths: Paths, name: str, shard: int) -> None:
    """Write the manifest of a live store: a store's, without files, and how its rows are computed.

    `name` is that of the stores.

    Raises
    ------
    StoreError
        If the shard has no position.
    """
    rows = _ROWS[config.modality_of(name)](config, paths, name, shard)
    path = paths.store_manifest(name, config.activations.n_shards, shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    live = {"config": os.path.relpath(paths.run_config, path.parent), "model": name}
    described = describe(rows.positions(), rows.description)
    write_manifest(path, {**described, "files": {}, "live": live})


class LiveStore:
    """A live store, read like a `Store`; every call of `chunks` runs the model.

    Parameters
    ----------
    manifest_path : Path
        The JSON manifest that `write_live_store` wrote.
    """

    def __init__(self, manifest_path: Path) -> None:
        self.path = Path(manifest_path)
        self.manifest = read_manifest(manifest_path, KIND)
        check_version(self.manifest, str(manifest_path))
        self.modality = store_modality(self.manifest, str(manifest_path))
        holds = self.manifest["holds"]
        self.shape = NeuronShape.of(holds)
        self.n_layers, self.d_mlp = self.shape.n_layers, self.shape.d_mlp
        self.n_positions: int = holds["n_positions"]
        self.n_samples = n_samples(holds, self.modality)
        self.dtype: str = holds["dtype"]

    @cached_property
    def _exponents(self) -> np.ndarray:
        """Return the layers' exponents as in a written store, from the first positions."""
        _, batches = self._rows().batches()
        scale = Scale(self.positions().counted, self.n_layers, self.dtype)
        while not scale.complete:
            scale.see(next(batches))
        batches.close()
        return scale.exponents

    def read(self, variable: str) -> np.ndarray:
        """Return one of the small variables that say what the positions are."""
        return self.positions().arrays[variable]

    def positions(self) -> StorePositions:
        """Return what the positions are."""
        return self._rows().positions()

    @property
    def gpu_bytes(self) -> float:
        """What a pass takes of the GPU that it runs on: the model, and a batch with the activations
        of all layers.
        """
        config, model = load_config(self._run_config), model_of_store(self._model)
        size = known_size(config, Paths(self._run_config.parent), model)
        assert size is not None, "the model's manifest tells it"
        return planned_capture(config, model, size).gpu_bytes

    def moments(self) -> Moments:
        """Return pilot moments of every neuron: those of the first batch of documents."""
        for start, parts in self.chunks(0, self.n_layers * self.d_mlp):
            rows = slice(start, start + len(parts[0][1]))
            kept = torch.from_numpy(self.positions().counted[rows])
            return Moments.of(
                torch.cat([values[kept] for _, values in parts], dim=1).float().numpy()
            )
        raise StoreError(f"{self.path}: holds no position.")

    def chunks(
        self, low: int, high: int, first_row: int = 0, where: torch.device = CPU
    ) -> Iterator[tuple[int, list[tuple[int, torch.Tensor]]]]:
        """Run the model over the shard; yield what `activations.store.Store.chunks` does."""
        layers = range(low // self.d_mlp, -(-high // self.d_mlp))
        exponents = self._exponents
        start, batches = self._rows().batches(first_row, where)
        counted = self.positions().counted[start:]
        rounding = Rounding(
            counted, self.shape, self.dtype, str(self.path), exponents, counting=False
        )
        for batch in batches:
            values = rounding(batch)
            parts = []
            for layer in layers:
                first = layer * self.d_mlp
                units = slice(max(low - first, 0), min(high - first, self.d_mlp))
                of_layer = scaled_back(values[layer, :, units], int(exponents[layer]))
                parts.append((first + units.start - low, of_layer))
            yield start, parts
            start += values.shape[1]

    @property
    def _model(self) -> str:
        return str(self.manifest["live"]["model"])

    @property
    def _run_config(self) -> Path:
        return (self.path.parent / self.manifest["live"]["config"]).resolve()

    def _rows(self) -> ShardRows:
        """Return the shard's rows.

        Raises
        ------
        DamageError
            If they are of another model, corpus or configuration than the manifest's.
        """
        path, shard = self._run_config, self.manifest["holds"]["shard"]
        rows = _rows_of(path, path.stat().st_mtime_ns, self._model, shard)
        if rows.description.made_by != self.manifest["made_by"]:
            raise DamageError(
                self.path, "not of this run: the model, the corpus or the configuration changed"
            )
        return rows


@lru_cache(maxsize=2)
def _rows_of(config_path: Path, _written: int, name: str, shard: int) -> ShardRows:
    """Return a shard's rows; the two sides of a pair are read in turns, so two are remembered."""
    check_digest(config_path)
    config = load_config(config_path)
    return _ROWS[config.modality_of(name)](config, Paths(config_path.parent), name, shard)
