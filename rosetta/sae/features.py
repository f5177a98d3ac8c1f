"""Features of autoencoders as units of stores, which are matched as neurons are.

A store of features has the positions and samples of the store that it is encoded from. With one
autoencoder per model it has one layer, with one per layer it has the model's layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from rosetta.activations.reader import StoreReader
from rosetta.activations.store import write_store
from rosetta.activations.variables import StoreDescription
from rosetta.config import Config
from rosetta.models.neurons import NeuronShape
from rosetta.sae.dictionary import Dictionary


def write_features(
    store: StoreReader,
    dictionaries: Sequence[Dictionary],
    manifest_path: Path,
    dtype: str,
    made_by: dict[str, Any],
) -> None:
    """Encode the rows of a store, and write the features as a store of the same positions.

    Parameters
    ----------
    store : StoreReader
        One shard.
    dictionaries : sequence of Dictionary
        One of all layers, or one per layer; all with as many features.
    manifest_path : Path
        Where the manifest of the features goes.
    dtype : str
        Precision in which they are stored.
    made_by : dict
        What they depend on.
    """
    holds = store.manifest["holds"]
    description = StoreDescription(
        shape=NeuronShape(len(dictionaries), dictionaries[0].n_features),
        dtype=dtype,
        shard=holds["shard"],
        n_shards=holds["n_shards"],
        made_by=made_by,
        place=f"features of {made_by['model']}, shard {holds['shard']}",
    )
    write_store(manifest_path, _encoded(store, dictionaries), store.positions(), description)


@torch.no_grad()
def _encoded(store: StoreReader, dictionaries: Sequence[Dictionary]) -> Iterator[torch.Tensor]:
    """Yield features (n_layers, n_rows, F) of successive rows."""
    for _, parts in store.chunks(0, store.n_layers * store.d_mlp):
        values = torch.cat([part.float() for _, part in parts], dim=1)
        read = values.tensor_split(len(dictionaries), dim=1)
        coded = [of.encode(part) for of, part in zip(dictionaries, read, strict=True)]
        yield torch.stack(coded)


def feature_config(config: Config) -> Config:
    """Return the configuration by which features are matched: as neurons are, of first trainings,
    exactly, and with the null of exchanged samples alone.
    """
    controls: dict[str, list[int]] = {"permutation_seeds": [], "untrained_seeds": []}
    exactly = {"method": "exact", "n_jobs": 1, "max_k": config.matching.k}
    sizes = {
        name: size.model_copy(update={"replicates": 1}) for name, size in config.zoo.sizes.items()
    }
    firsts = {name: entry for name, entry in config.models.items() if not entry.replicate_of}
    return config.model_copy(
        update={
            "models": firsts,
            "zoo": config.zoo.model_copy(update={"sizes": sizes}),
            "controls": config.controls.model_copy(update=controls),
            "correlation": config.correlation.model_copy(update=exactly),
            "activations": config.activations.model_copy(update={"keep": True}),
        }
    )
