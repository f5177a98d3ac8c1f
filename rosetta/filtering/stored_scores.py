"""Scores on disk: a table and a manifest per shard, and one table of all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rosetta.filtering import pool_shards
from rosetta.filtering.select import membership
from rosetta.progress import say
from rosetta.run.paths import FilterPaths
from rosetta.storage.damage import DamageError
from rosetta.storage.digests import check_digest, digest_file, digested
from rosetta.storage.manifests import read_manifest, write_manifest
from rosetta.storage.tables import read_parquet, write_parquet

KIND = "filter-scores"


def write_scores(
    where: FilterPaths, shard: int, table: pd.DataFrame, made_by: dict[str, Any]
) -> None:
    """Write the scores of a shard, and then their manifest."""
    path = where.shard_scores(shard)
    write_parquet(path, table)
    content = {
        "kind": KIND,
        "made_by": made_by,
        "documents": len(table),
        "digest": digest_file(path),
    }
    write_manifest(where.shard_scores_manifest(shard), content)


def is_scored(where: FilterPaths, shard: int, made_by: dict[str, Any]) -> bool:
    """Tell whether the scores of a shard are there, whole, and made by the same means."""
    if not where.shard_scores_manifest(shard).exists():
        return False
    try:
        manifest = read_manifest(where.shard_scores_manifest(shard), KIND)
        check_digest(where.shard_scores(shard), manifest["digest"])
    except DamageError as damage:
        say(f"{damage.path}: {damage.what}; scoring shard {shard} again")
        return False
    return manifest["made_by"] == made_by


def read_scores(where: FilterPaths, columns: list[str] | None = None) -> Iterator[pd.DataFrame]:
    """Yield the scores of every shard of the pool.

    Raises
    ------
    StoreError
        If a shard's scores are missing, altered, or not of the documents that the pool has there.
    """
    shards = read_manifest(where.pool_manifest, pool_shards.KIND)["shards"]
    for shard, held in enumerate(shards):
        manifest = read_manifest(where.shard_scores_manifest(shard), KIND)
        path = where.shard_scores(shard)
        check_digest(path, manifest["digest"])
        if manifest["documents"] != held["documents"]:
            raise DamageError(path, "scores of another pool")
        yield read_parquet(path, columns)


def write_all_scores(where: FilterPaths, selected: Any) -> None:
    """Write all documents' scores as one table, with `selected` from sorted ids."""
    with digested(where.scores) as temporary:
        writer = None
        for table in read_scores(where):
            marked = table.assign(selected=membership(table["id"].to_numpy(), selected))
            arrow = pa.Table.from_pandas(marked, preserve_index=False)
            if writer is None:
                writer = pq.ParquetWriter(
                    temporary, arrow.schema, compression="zstd", write_page_checksum=True
                )
            writer.write_table(arrow.cast(writer.schema))
        assert writer is not None, "a pool has one shard at least"
        writer.close()
