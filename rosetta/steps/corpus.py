"""The step that builds the corpus."""

from __future__ import annotations

from rosetta.analysis.specialization import categories_of
from rosetta.config import Config
from rosetta.corpus.build import build_corpus
from rosetta.files import read_manifest
from rosetta.paths import Paths
from rosetta.stages import made_by


def corpus_step(config: Config, paths: Paths) -> None:
    """Build the corpus, and check that every domain of it has a category.

    Raises
    ------
    ConfigError
        If the categories lack a domain: now that the domains are known, rather than after models have read them.
    """
    build_corpus(config.corpus, paths, made_by(config, "corpus"))
    domains = read_manifest(paths.corpus_manifest, "corpus")["splits"]["match"]["domains"]
    categories_of(sorted(domains), config.specialization.categories)
