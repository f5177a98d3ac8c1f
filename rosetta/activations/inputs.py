"""What a forward pass over one shard of the match split needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

from rosetta.config import Config
from rosetta.config.devices import AUTO
from rosetta.errors import ConfigError
from rosetta.inputs.text.build import read_split, shard_bounds
from rosetta.models import loading, sources
from rosetta.models.devices import room_here
from rosetta.models.known_sizes import Size, beside_tile, capture_demand
from rosetta.models.loading_within_memory import load_placed
from rosetta.models.model_manifest import checked_manifest
from rosetta.models.neurons import NeuronShape
from rosetta.models.placement import Demand, Placement, Room
from rosetta.models.tokenizers import checked_tokenizer
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.storage.manifests import read_manifest


class CaptureInputs(Protocol):
    """What a capture reads: a model with its tokenizer, and the documents of a shard."""

    @property
    def model(self) -> Any:
        """The loaded model."""

    @property
    def model_config(self) -> Any:
        """Its configuration."""

    @property
    def tokenizer(self) -> Any:
        """Its fast tokenizer."""

    @property
    def place(self) -> str:
        """What messages name as the culprit."""

    @property
    def batch_size(self) -> int:
        """Documents per forward pass."""

    @property
    def documents(self) -> list[tuple[int, str]]:
        """Ids and texts, in the order of the corpus."""

    @property
    def made_by(self) -> dict[str, Any]:
        """What the activations depend on, the same for all shards."""


@dataclass(frozen=True)
class ShardInputs:
    """A model, loaded when it is first asked for, and the documents of a shard that it reads.

    Attributes
    ----------
    source : ModelSource
        The model.
    demand, room : Demand, Room
        What it takes, and what it may use.
    wanted_batch : int or 'auto'
        Documents per forward pass, or as many as fit.
    model_config, tokenizer
        Of transformers: the model's configuration and its fast tokenizer.
    documents : list of (id, text)
        In the order of the corpus.
    made_by : dict
        What the activations depend on, the same for all shards of a model.
    """

    source: sources.ModelSource
    demand: Demand
    room: Room
    wanted_batch: int | Literal["auto"]
    model_config: Any
    tokenizer: Any
    documents: list[tuple[int, str]]
    made_by: dict[str, Any]

    @classmethod
    def of(cls, config: Config, paths: Paths, model: str, shard: int) -> ShardInputs:
        """Find a model entry and a shard of the match split.

        Raises
        ------
        RosettaError
            If a manifest is missing, or a file is not the one that its manifest describes.
        """
        settings, room = config.activations, room_here(config.devices)
        key = "gpu_memory_gb" if room.gpus else "cpu_memory_gb"
        if settings.batch_size == AUTO and getattr(config.devices, key) is None:
            raise ConfigError(
                f"activations.batch_size: auto needs devices.{key} on this machine. Give either."
            )
        corpus = read_manifest(paths.corpus_manifest, "corpus")
        documents = read_split(paths, "match", settings.max_documents)
        low, high = shard_bounds(len(documents), settings.n_shards, shard)
        mine = documents.iloc[low:high]
        source = sources.model_source(config, paths, model)
        manifest = checked_manifest(source, paths.model_manifest(model))
        size = Size(NeuronShape.of(manifest), manifest["n_parameters"])
        demand = capture_demand(config, source.dtype, size, settings.sequence_length)
        demand, room = beside_tile(config, demand, room)
        return cls(
            source=source,
            demand=demand,
            room=room.shared(config.models_at_once).for_model(
                untrained=source.untrained_seed is not None
            ),
            wanted_batch=settings.batch_size,
            model_config=loading.load_config_of(source),
            tokenizer=checked_tokenizer(source, manifest),
            documents=list(zip(mine["id"].tolist(), mine["text"].tolist(), strict=True)),
            made_by={
                **made_by(config, "activations", model),
                "weights": manifest["weights"],
                "tokenizer": manifest["tokenizer"],
                "corpus": corpus["files"]["match"],
            },
        )

    @property
    def place(self) -> str:
        """What messages name as the culprit."""
        return self.source.name

    @property
    def model(self) -> Any:
        """The loaded model.

        Raises
        ------
        ModelError
            If it does not fit, or cannot be loaded.
        """
        return self._loaded[0]

    @property
    def batch_size(self) -> int:
        """Documents per forward pass."""
        return self._loaded[1].batch_size

    @cached_property
    def _loaded(self) -> tuple[Any, Placement]:
        return load_placed(self.source, self.demand, self.room, self.wanted_batch)
