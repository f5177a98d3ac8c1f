"""The pool: the documents that are filtered, in shards of Parquet, written and read without holding
all of them.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rosetta.errors import CorpusError, PlanError
from rosetta.inputs.text.build import read_split
from rosetta.inputs.text.documents import Document, Text, document_name
from rosetta.run.paths import FilterPaths, Paths
from rosetta.storage.atomic import replacing
from rosetta.storage.digests import check_digest, digest_file, hash64
from rosetta.storage.manifests import read_manifest, write_manifest
from rosetta.storage.tables import read_parquet

KIND = "filter-pool"
SCHEMA = pa.schema(
    [("id", pa.uint64()), ("text", pa.string()), ("domain", pa.string()), ("source", pa.string())]
)
BUFFERED = 512  # documents held back per shard, which become one row group
BUFFERED_BYTES = 2**29  # of text held back for all shards together
SMALLEST_GROUP = 2**18  # bytes, below which a row group of its own is a waste
SPARE_FILES = 200  # that a process has open besides the shards


@dataclass
class Fresh:
    """Turns texts into documents of the pool, and counts what it drops.

    A text is dropped if it is blank, has no UTF-8 form (nor its label), was met before, or has one
    of the names `known` (`document_name`): of documents on which the neuron was chosen or
    perplexity is measured, and of the texts that they are pieces of, which are their sources.
    """

    known: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("accepted", "blank", "unencodable", "duplicate", "known"), 0
        )
    )
    _ids: set[int] = field(default_factory=set)

    def documents(self, texts: Iterable[Text]) -> Iterator[Document]:
        """Yield the accepted texts as documents, in order."""
        for text in texts:
            verdict, document_id = self._judge(text)
            self.counts[verdict] += 1
            if verdict == "accepted":
                self._ids.add(document_id)
                yield Document(document_id, text.text, text.domain, text.source)

    def _judge(self, text: Text) -> tuple[str, int]:
        if not text.text.strip():
            return "blank", 0
        try:
            f"{text.text}{text.domain}".encode()
        except UnicodeEncodeError:  # a lone surrogate
            return "unencodable", 0
        document_id = hash64(text.text)
        if document_name(document_id) in self.known:
            return "known", document_id
        return ("duplicate" if document_id in self._ids else "accepted"), document_id


def known_names(paths: Paths) -> set[str]:
    """Return the names of the documents that a run's own pool may not hold.

    And those of the texts that they are pieces of.
    """
    splits = [read_split(paths, split) for split in ("match", "heldout")]
    names: set[str] = set()
    for split in splits:
        names.update(map(document_name, split["id"].tolist()))
        names.update(split["source"].tolist())
    return names


def thinned(documents: pd.DataFrame, target: str, share: float, seed: int) -> pd.DataFrame:
    """Return documents with so few of the target domain left that they are `share` of the bytes.

    Those that stay are the first in the order of a hash of their ids.

    Parameters
    ----------
    documents : DataFrame
        id, text, domain.
    target : str
        The domain.
    share : float
        Its largest share of the bytes.
    seed : int
        Of the hash.
    """
    size = documents["text"].str.encode("utf-8").str.len().to_numpy()
    mine = (documents["domain"] == target).to_numpy()
    allowed = share / (1 - share) * size[~mine].sum()
    rows = np.flatnonzero(mine)
    order = np.argsort(
        [hash64("thin", seed, id_) for id_ in documents["id"].to_numpy()[rows].tolist()]
    )
    kept = rows[order][np.cumsum(size[rows[order]]) <= allowed]
    return documents[~mine | np.isin(np.arange(len(documents)), kept)]


def write_pool(
    documents: Iterable[Document],
    where: FilterPaths,
    n_shards: int,
    made_by: dict[str, Any],
    counts: dict[str, int],
    left_out: Sequence[str] = (),
) -> None:
    """Write the pool's shards and their manifest; at most `BUFFERED_BYTES` of text, or a group per
    shard, are held.

    A document's shard is its id, a hash of its text, modulo the number of shards.

    Parameters
    ----------
    documents : iterable of Document
        With distinct ids.
    where : FilterPaths
        Where the shards go.
    n_shards : int
        Number of shards.
    made_by : dict
        What the pool depends on.
    counts : dict
        What became of the texts that were read; kept in the manifest, and filled while `documents`
        are taken.
    left_out : sequence of str
        Names of files that were not read; kept in the manifest.

    Raises
    ------
    CorpusError
        If there is no document.
    PlanError
        If there are more shards than this process may open files.
    """
    _allow_files(n_shards + SPARE_FILES)
    with replacing(where.pool) as folder:
        folder.mkdir()
        shards, domains = _write_shards(documents, folder, n_shards)
        if not domains:
            raise CorpusError(
                f"the pool holds no document with text ({counts}). Give another pool."
            )
    content = {"kind": KIND, "made_by": made_by, "counts": counts, "left_out": list(left_out)}
    content["domains"] = dict(sorted(domains.items()))
    write_manifest(where.pool_manifest, {**content, "shards": shards})


def _write_shards(
    documents: Iterable[Document], folder: Path, n_shards: int
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Write the shards; return documents, bytes and digest of each, and the number of documents by
    domain.
    """
    limit = max(SMALLEST_GROUP, BUFFERED_BYTES // n_shards)
    paths = [folder / f"{number}.parquet" for number in range(n_shards)]
    held: list[dict[str, Any]] = [{"documents": 0, "bytes": 0} for _ in paths]
    domains: Counter[str] = Counter()
    with ExitStack() as stack:
        shards = [stack.enter_context(_Shard(path, limit)) for path in paths]
        for document in documents:
            number, size = document.id % n_shards, len(document.text.encode("utf-8"))
            shards[number].add(document, size)
            held[number]["documents"] += 1
            held[number]["bytes"] += size
            domains[document.domain] += 1
    return [
        {**facts, "digest": digest_file(path)} for facts, path in zip(held, paths, strict=True)
    ], domains


def _allow_files(n: int) -> None:
    """Let this process have so many files open, if the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and n > hard:
        raise PlanError(
            f"{n - SPARE_FILES} shards of a pool are more files than may be open ({hard}). "
            "Lower n_shards."
        )
    if soft != resource.RLIM_INFINITY and n > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))


class _Shard:
    """A shard that is being written; `limit` bytes of text are held back at most, and one document
    more.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd", write_page_checksum=True)
        self._buffer: list[dict] = []
        self._limit, self._size = limit, 0

    def __enter__(self) -> _Shard:
        return self

    def __exit__(self, *_error: object) -> None:
        self._flush()
        self._writer.close()

    def add(self, document: Document, size: int) -> None:
        self._buffer.append(document._asdict())
        self._size += size
        if len(self._buffer) >= BUFFERED or self._size >= self._limit:
            self._flush()

    def _flush(self) -> None:
        if self._buffer:
            self._writer.write_table(pa.Table.from_pylist(self._buffer, schema=SCHEMA))
        self._buffer, self._size = [], 0


def read_shard(where: FilterPaths, shard: int) -> pd.DataFrame:
    """Return the documents of a shard: id, text, domain, source.

    Raises
    ------
    StoreError
        If the shard is not the one that the manifest speaks of.
    """
    check_shards(where, [shard])
    return read_parquet(where.pool_shard(shard), SCHEMA.names)


def check_shards(where: FilterPaths, shards: Iterable[int] | None = None) -> None:
    """Check that shards, all of them if none is named, are those that the manifest speaks of.

    Raises
    ------
    StoreError
        Naming the first that is not.
    """
    held = read_manifest(where.pool_manifest, KIND)["shards"]
    for shard in range(len(held)) if shards is None else shards:
        check_digest(where.pool_shard(shard), held[shard]["digest"])


def n_shards(where: FilterPaths) -> int:
    """Return the number of shards of a pool."""
    return len(read_manifest(where.pool_manifest, KIND)["shards"])
