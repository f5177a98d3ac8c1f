"""The filtered corpus: Parquet files with a card, for `datasets.load_dataset`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rosetta.errors import StoreError
from rosetta.filtering.pool_shards import read_shards
from rosetta.filtering.select import Scored, membership
from rosetta.filtering.stored_scores import read_scores
from rosetta.inputs.text.documents import document_name
from rosetta.run.paths import FilterPaths
from rosetta.storage.atomic import replacing
from rosetta.storage.manifests import describe_files, write_manifest

KIND = "filtered-corpus"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("domain", pa.string()),
        ("source", pa.string()),
        ("score", pa.float64()),
        ("tokens", pa.int64()),
    ]
)


class Counts(NamedTuple):
    """What a pool and a selection from it hold: documents and tokens."""

    pool: int
    selected: int
    pool_tokens: int
    selected_tokens: int

    @property
    def not_selected(self) -> int:
        """Documents that stay behind."""
        return self.pool - self.selected


def write_corpus(
    where: FilterPaths, selected: Scored, counts: Counts, card: str, made_by: dict[str, Any]
) -> None:
    """Write the selected documents, one file per non-empty shard, and the card.

    Parameters
    ----------
    where : FilterPaths
        Where the pool is and the corpus goes.
    selected : Scored
        What was taken.
    counts : Counts
        Of pool and selection.
    card : str
        Content of README.md.
    made_by : dict
        What the corpus depends on.

    Raises
    ------
    StoreError
        If what is written is not what was selected, each document once.
    """
    with replacing(where.corpus) as folder:
        folder.mkdir()
        n_pool, n_written = _write_documents(folder, where, selected.take(np.argsort(selected.id)))
        if (n_pool, n_written) != (counts.pool, counts.selected):
            raise StoreError(
                f"{where.corpus}: {n_written} of {n_pool} documents would be written where "
                f"{counts.selected} of "
                f"{counts.pool} were selected. Delete {where.pool_manifest} and run again."
            )
        (folder / "README.md").write_text(card, encoding="utf-8")
        files = describe_files(folder)
    held = {**counts._asdict(), "not_selected": counts.not_selected}
    write_manifest(
        where.corpus_manifest, {"kind": KIND, "made_by": made_by, "counts": held, "files": files}
    )


def _write_documents(folder: Path, where: FilterPaths, ordered: Scored) -> tuple[int, int]:
    """Write what is selected, ordered by id; return how many documents the pool has and how many
    are written.
    """
    n_pool = n_written = 0
    for number, documents in enumerate(read_shards(where)):
        n_pool += len(documents)
        mine = documents[membership(documents["id"].to_numpy(), ordered.id)]
        if len(mine):
            n_written += len(mine)
            path = folder / f"data-{number:05d}.parquet"
            pq.write_table(_rows(mine, ordered), path, compression="zstd", write_page_checksum=True)
    return n_pool, n_written


def pool_size(where: FilterPaths) -> tuple[int, int]:
    """Return the documents and tokens of a scored pool."""
    sizes = [(len(table), int(table["tokens"].sum())) for table in read_scores(where, ["tokens"])]
    return sum(n for n, _ in sizes), sum(n for _, n in sizes)


def count(where: FilterPaths, selected: Scored) -> Counts:
    """Return what the pool and a selection from it hold."""
    documents, tokens = pool_size(where)
    return Counts(documents, len(selected.id), tokens, int(selected.tokens.sum()))


def _rows(documents: pd.DataFrame, ordered: Scored) -> pa.Table:
    at = np.searchsorted(ordered.id, documents["id"].to_numpy())
    columns = {name: documents[name] for name in ("text", "domain", "source")}
    ids = [document_name(id_) for id_ in documents["id"].tolist()]
    table = pd.DataFrame(
        {"id": ids, **columns, "score": ordered.score[at], "tokens": ordered.tokens[at]}
    )
    return pa.Table.from_pandas(table, schema=SCHEMA, preserve_index=False)
