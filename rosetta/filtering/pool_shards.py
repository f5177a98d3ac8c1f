"""The shards of the pool: its documents as Parquet, written and read a few at a time."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rosetta.errors import CorpusError, PlanError
from rosetta.inputs.text.documents import Document
from rosetta.run.paths import FilterPaths
from rosetta.storage.atomic import replacing
from rosetta.storage.digests import check_digest, digest_file
from rosetta.storage.manifests import read_manifest, write_manifest
from rosetta.storage.tables import read_parquet

KIND = "filter-pool"
SCHEMA = pa.schema(
    [("id", pa.uint64()), ("text", pa.string()), ("domain", pa.string()), ("source", pa.string())]
)
GROUP_DOCUMENTS = 512  # documents held back per shard, which become one row group
BUFFERED_BYTES = 2**29  # of text held back for all shards together
MIN_GROUP_BYTES = 2**18  # bytes, below which a row group of its own is a waste
SPARE_FILES = 200  # that a process has open apart from the shards


def write_pool(
    documents: Iterable[Document],
    where: FilterPaths,
    n_shards: int,
    made_by: dict[str, Any],
    counts: dict[str, int],
    left_out: Sequence[str] = (),
) -> None:
    """Write the pool's shards and manifest, holding about `BUFFERED_BYTES` of text.

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
    limit = max(MIN_GROUP_BYTES, BUFFERED_BYTES // n_shards)
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
        if len(self._buffer) >= GROUP_DOCUMENTS or self._size >= self._limit:
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


def read_shards(where: FilterPaths) -> Iterator[pd.DataFrame]:
    """Yield the documents of every shard."""
    for shard in range(n_shards(where)):
        yield read_shard(where, shard)


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
