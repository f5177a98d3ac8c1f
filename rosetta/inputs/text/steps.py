"""The step that builds the corpus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rosetta.analysis.specialization import categories_of
from rosetta.config import Config
from rosetta.errors import ConfigError, CorpusError
from rosetta.inputs.text.build import build_corpus
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.storage.manifests import read_manifest


def corpus_step(config: Config, paths: Paths) -> None:
    """Build the corpus, and check early that it has what later steps need.

    Raises
    ------
    RosettaError
        If the categories lack a domain, a split that is needed is empty, there are fewer documents
        than shards, or none of the domain that a filter is to find.
    """
    build_corpus(config.corpus, paths, made_by(config, "corpus"), _long_enough(config, paths))
    splits = read_manifest(paths.corpus_manifest, "corpus")["splits"]
    categories_of(sorted(splits["match"]["domains"]), config.specialization.categories)
    _check_splits(config, splits)


def _check_splits(config: Config, splits: dict[str, dict[str, Any]]) -> None:
    needed = {"train": bool(config.trained_models("text"))}
    filtering = config.filtering
    if filtering:
        needed |= {
            "pool": filtering.pool.source is None,
            "heldout": filtering.pretraining is not None,
        }
        domains = splits["match"]["domains"]
        if filtering.target not in domains:
            raise ConfigError(
                "filtering.target: no document of the split `match` is of "
                f"{filtering.target!r}; its domains are "
                f"{', '.join(map(repr, domains))}. Name one of them."
            )
    for split, is_needed in needed.items():
        if is_needed and not splits[split]["documents"]:
            raise CorpusError(
                f"corpus.splits.{split}: no document landed in this split. Raise it or give "
                "more text."
            )
    n_shards, n_documents = config.activations.n_shards, splits["match"]["documents"]
    if n_shards > n_documents:
        raise ConfigError(
            f"activations.n_shards: {n_shards} is above the {n_documents} documents of the "
            "split `match`, so that a "
            "shard would have no document. Lower it, or give more text."
        )


def _long_enough(config: Config, paths: Paths) -> Callable[[str], bool] | None:
    """Return what tells whether a text has `activations.sequence_length` tokens, if a tokenizer is
    to count them.
    """
    sampling = config.corpus.sampling
    if sampling is None or sampling.tokenizer is None:
        return None
    from rosetta.models import sources, tokenizers  # bring transformers, which few corpora need

    loaded = tokenizers.load_tokenizer(sources.model_source(config, paths, sampling.tokenizer))
    backend = tokenizers.plain_backend(loaded)
    return lambda text: len(backend.encode(text).ids) >= config.activations.sequence_length
