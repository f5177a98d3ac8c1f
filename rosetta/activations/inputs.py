"""What a forward pass over one shard of the match split needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rosetta.config import Config
from rosetta.corpus.build import read_split, shard_bounds
from rosetta.files import read_manifest
from rosetta.models import loading, sources
from rosetta.paths import Paths
from rosetta.stages import made_by


@dataclass(frozen=True)
class ShardInputs:
    """A model and the documents of a shard that it reads.

    Attributes
    ----------
    model, tokenizer
        Loaded model and fast tokenizer.
    documents : list of (id, text)
        In the order of the corpus.
    made_by : dict
        What the activations depend on, the same for all shards of a model.
    place : str
        What messages name as the culprit.
    """

    model: Any
    tokenizer: Any
    documents: list[tuple[int, str]]
    made_by: dict[str, Any]
    place: str

    @classmethod
    def of(cls, config: Config, paths: Paths, model: str, shard: int) -> ShardInputs:
        """Load a model entry and a shard of the match split.

        Raises
        ------
        RosettaError
            If a manifest is missing, or a file is not the one that its manifest describes.
        """
        corpus = read_manifest(paths.corpus_manifest, "corpus")
        documents = read_split(paths, "match", config.activations.max_documents)
        low, high = shard_bounds(len(documents), config.activations.n_shards, shard)
        mine = documents.iloc[low:high]
        source = sources.model_source(config, paths, model)
        manifest = loading.checked_manifest(source, paths.model_manifest(model))
        return cls(
            model=loading.load_model(source).to(loading.best_device()),
            tokenizer=loading.load_tokenizer(source),
            documents=list(zip(mine["id"].tolist(), mine["text"].tolist(), strict=True)),
            made_by={
                **made_by(config, "activations", model),
                "weights": manifest["weights"],
                "tokenizer": manifest["tokenizer"],
                "corpus": corpus["files"]["match"],
            },
            place=model,
        )
