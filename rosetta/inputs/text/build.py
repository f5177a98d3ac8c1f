"""Building the corpus: read, clean and split a source into Parquet files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import assert_never

import numpy as np
import pandas as pd

from rosetta.config import SPLITS, Corpus, EnvironmentSource, FilesSource, HubSource
from rosetta.errors import CorpusError
from rosetta.inputs.text.documents import Cleaner, Document, Text, split_of
from rosetta.inputs.text.environment import environment_texts, group_of
from rosetta.inputs.text.records import file_texts, hub_texts, left_out
from rosetta.inputs.text.sampling import draw_sequences
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.storage.digests import check_digest, digest_file
from rosetta.storage.manifests import read_manifest, write_manifest
from rosetta.storage.tables import read_parquet, write_parquet

KIND = "corpus"


def source_texts(corpus: Corpus) -> Iterable[Text]:
    """Return the texts of the configured source."""
    match corpus.source:
        case EnvironmentSource() as source:
            return environment_texts(source, corpus.seed)
        case FilesSource() as source:
            return file_texts(source)
        case HubSource() as source:
            return hub_texts(source)
        case other:
            assert_never(other)


def build_corpus(
    corpus: Corpus, paths: Paths, made_by: dict, long_enough: Callable[[str], bool] | None = None
) -> None:
    """Write the documents of every split, ordered by id, and the corpus manifest.

    With `corpus.sampling` the match split is what was drawn from its documents; `long_enough` then
    tells whether a text has as many tokens as a sequence needs.

    Ids are hashes of the text, so the order is a random permutation that depends on nothing else,
    and the first n documents of a split are a random sample of it.

    Raises
    ------
    CorpusError
        If the source has no usable document, or none lands in the match split.
    """
    harvested = isinstance(corpus.source, EnvironmentSource)
    cleaner = Cleaner(corpus.min_document_bytes, corpus.max_document_bytes)
    by_split: dict[str, list[Document]] = {split: [] for split in SPLITS}
    for number, document in enumerate(cleaner.documents(source_texts(corpus)), start=1):
        group = group_of(document) if harvested else document.source
        by_split[split_of(group, document.source, corpus.splits, corpus.seed)].append(document)
        if number == corpus.max_documents:
            break
    say(f"documents: {cleaner.counts}")
    if not cleaner.counts["accepted"]:
        raise CorpusError(
            f"corpus: the source holds no usable document ({cleaner.counts}). "
            "Lower corpus.min_document_bytes or give another source."
        )
    if not by_split["match"]:
        raise CorpusError(
            "corpus.splits.match: no document landed in this split. Raise it or give more text."
        )
    unread = (
        {"left_out": left_out(corpus.source.path)} if isinstance(corpus.source, FilesSource) else {}
    )
    drawn = _sample(corpus, by_split, long_enough)
    files = {}
    for split, documents in by_split.items():
        write_parquet(paths.split(split), _table(documents))
        files[split] = digest_file(paths.split(split))
    held = {split: _summary(documents) for split, documents in by_split.items()}
    write_manifest(
        paths.corpus_manifest,
        {
            "kind": KIND,
            "made_by": made_by,
            "counts": cleaner.counts,
            **unread,
            **drawn,
            "splits": held,
            "files": files,
        },
    )
    say("\n".join(f"{split}: {summary}" for split, summary in held.items()))


def _sample(
    corpus: Corpus, by_split: dict[str, list[Document]], long_enough: Callable[[str], bool] | None
) -> dict:
    """Put what is drawn in the place of the match documents; return what the manifest says of
    it.
    """
    if corpus.sampling is None:
        return {}
    sample = draw_sequences(by_split["match"], corpus.sampling, long_enough)
    by_split["match"] = sample.documents
    say(f"sequences: {sample.counts}")
    if sample.lacking:
        say(
            "domains with fewer sequences than their share, all of which were taken: "
            f"{sample.lacking}"
        )
    return {"sampling": {**sample.counts, "lacking": sample.lacking}}


def read_split(paths: Paths, split: str, limit: int | None = None) -> pd.DataFrame:
    """Return the first `limit` documents of a split: id, text, domain, source.

    Raises
    ------
    StoreError
        If the file is not the one that the manifest speaks of.
    """
    manifest = read_manifest(paths.corpus_manifest, KIND)
    path = paths.split(split)
    check_digest(path, manifest["files"][split])
    return read_parquet(path).head(
        limit if limit is not None else manifest["splits"][split]["documents"]
    )


def shard_bounds(n_documents: int, n_shards: int, shard: int) -> tuple[int, int]:
    """Return the half-open range of documents in a shard; shards differ by one document at most."""
    return n_documents * shard // n_shards, n_documents * (shard + 1) // n_shards


def _table(documents: list[Document]) -> pd.DataFrame:
    table = pd.DataFrame(documents, columns=list(Document._fields)).astype({"id": np.uint64})
    return table.sort_values("id", ignore_index=True)


def _summary(documents: list[Document]) -> dict:
    sizes = [len(document.text.encode("utf-8")) for document in documents]
    return {
        "documents": len(documents),
        "bytes": sum(sizes),
        "longest_bytes": max(sizes, default=0),
        "domains": dict(sorted(Counter(document.domain for document in documents).items())),
    }
