"""Live stores: activations are recomputed by running the model, not read from disk.

For sweeps too large for the disk (`activations.keep: false` with `correlation.method: screened`). A
live store is a manifest that says which model reads which shard; its rows are those that a written
store would hold, in its dtype.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch

from rosetta.activations.capture import forward, tokenize_shard
from rosetta.activations.inputs import ShardInputs
from rosetta.activations.layout import KIND, check_version, n_samples, store_modality
from rosetta.activations.rounding import Rounding, Scale, scaled_back
from rosetta.activations.store import describe
from rosetta.activations.tokens import TokenizedDocument
from rosetta.activations.variables import StoreDescription, StoreTokens
from rosetta.config import Config, load_config
from rosetta.errors import StoreError
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.neurons import NeuronShape
from rosetta.moments import Moments
from rosetta.run.paths import Paths
from rosetta.storage.damage import DamageError
from rosetta.storage.digests import check_digest
from rosetta.storage.manifests import read_manifest, write_manifest


def write_live_store(config: Config, paths: Paths, model: str, shard: int) -> None:
    """Write the manifest of a live store: a store's, without files, and how its rows are computed.

    Raises
    ------
    StoreError
        If the shard has no token.
    """
    settings = config.activations
    inputs = ShardInputs.of(config, paths, model, shard)
    _, tokens = tokenize_shard(inputs, settings)
    path = paths.store_manifest(model, settings.n_shards, shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    description = StoreDescription(
        shape=neuron_shape(inputs.model_config, model),
        dtype=settings.dtype,
        shard=shard,
        n_shards=settings.n_shards,
        made_by=inputs.made_by,
        place=inputs.place,
    )
    live = {"config": os.path.relpath(paths.run_config, path.parent), "model": model}
    write_manifest(path, {**describe(tokens, description), "files": {}, "live": live})


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
    def _tokenized(self) -> tuple[list[TokenizedDocument], StoreTokens]:
        inputs = self._inputs()
        if inputs.made_by != self.manifest["made_by"]:
            raise DamageError(
                self.path, "not of this run: the model, the corpus or the configuration changed"
            )
        return tokenize_shard(inputs, self._config().activations)

    @cached_property
    def _exponents(self) -> np.ndarray:
        """Return the layers' exponents as in a written store, from the first positions."""
        inputs, scale = self._inputs(), Scale(self.positions().counted, self.n_layers, self.dtype)
        batches = forward(inputs.model, self._tokenized[0], inputs.batch_size, inputs.place)
        while not scale.complete:
            scale.see(next(batches))
        batches.close()
        return scale.exponents

    def read(self, variable: str) -> np.ndarray:
        """Return one of the small variables that say what the positions are."""
        return getattr(self.positions(), variable)

    def positions(self) -> StoreTokens:
        """Return what the positions are."""
        return self._tokenized[1]

    def moments(self) -> Moments:
        """Return pilot moments of every neuron: those of the first batch of documents."""
        for start, parts in self.chunks(0, self.n_layers * self.d_mlp):
            rows = slice(start, start + len(parts[0][1]))
            kept = torch.from_numpy(self.positions().counted[rows])
            return Moments.of(
                torch.cat([values[kept] for _, values in parts], dim=1).float().numpy()
            )
        raise StoreError(f"{self.path}: holds no position.")

    def chunks(self, low: int, high: int) -> Iterator[tuple[int, list[tuple[int, torch.Tensor]]]]:
        """Run the model over the shard; yield what `activations.store.Store.chunks` does."""
        layers = range(low // self.d_mlp, -(-high // self.d_mlp))
        inputs, start = self._inputs(), 0
        exponents = self._exponents
        rounding = Rounding(
            self.positions().counted, self.shape, self.dtype, str(self.path), exponents
        )
        for batch in forward(inputs.model, self._tokenized[0], inputs.batch_size, inputs.place):
            values = rounding(batch)
            parts = []
            for layer in layers:
                first = layer * self.d_mlp
                units = slice(max(low - first, 0), min(high - first, self.d_mlp))
                parts.append(
                    (
                        first + units.start - low,
                        scaled_back(values[layer, :, units], int(exponents[layer])),
                    )
                )
            yield start, parts
            start += values.shape[1]

    @property
    def _config_path(self) -> Path:
        return (self.path.parent / self.manifest["live"]["config"]).resolve()

    def _config(self) -> Config:
        return load_config(self._config_path)

    def _inputs(self) -> ShardInputs:
        path = self._config_path
        written = path.stat().st_mtime_ns
        return _shard_inputs(
            path, written, self.manifest["live"]["model"], self.manifest["holds"]["shard"]
        )


@lru_cache(maxsize=2)
def _shard_inputs(config_path: Path, _written: int, model: str, shard: int) -> ShardInputs:
    """Return a shard's inputs; the two sides of a pair are read in turns, so two are remembered."""
    check_digest(config_path)
    return ShardInputs.of(load_config(config_path), Paths(config_path.parent), model, shard)
