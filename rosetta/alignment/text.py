"""Alignment of two models' stores of text, on the spans that both tokenizations share, and what a
corpus says of their documents.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rosetta.activations.position_checks import check_same_documents
from rosetta.activations.reader import StoreReader
from rosetta.activations.variables import StoreTokens
from rosetta.alignment.positions import AlignedShard, StoredRows
from rosetta.alignment.samples import SampleFacts, SampleTable
from rosetta.alignment.spans import AlignedSpans, Segments, TokenRanges, aligned_spans
from rosetta.config.alignment import Grid
from rosetta.inputs.text.documents import cluster_of, document_name


def token_ranges(tokens: StoreTokens) -> TokenRanges:
    """Return the byte ranges of the tokens that stand for bytes."""
    kept = tokens.counted
    return TokenRanges(tokens.document_index[kept], tokens.byte_start[kept], tokens.byte_end[kept])


def align_shard(a: StoreReader, b: StoreReader, _grid: Grid) -> AlignedShard:
    """Align one shard of two models. Text has no grid.

    Raises
    ------
    StoreError
        If the stores do not hold the same documents.
    """
    tokens_a, tokens_b = StoreTokens.of(a), StoreTokens.of(b)
    check_same_documents(tokens_a, tokens_b, (str(a.path), str(b.path)))
    spans = aligned_spans(
        [token_ranges(tokens_a), token_ranges(tokens_b)], len(tokens_a.document_ids)
    )
    document = spans.document_index.astype(np.int32)  # one array for both sides
    rows_a, rows_b = map(_rows, (tokens_a, tokens_b))
    return AlignedShard(
        _segments(document, rows_a, spans, 0),
        _segments(document, rows_b, spans, 1),
        rows_a,
        rows_b,
        tokens_a.document_ids,
    )


def stored_rows(store: StoreReader) -> StoredRows:
    """Return what the rows of a store of text stand for."""
    return _rows(StoreTokens.of(store))


def _rows(tokens: StoreTokens) -> StoredRows:
    return StoredRows(tokens.document_index, tokens.counted)


def _segments(document: np.ndarray, rows: StoredRows, spans: AlignedSpans, side: int) -> Segments:
    first, last = (ends[side].astype(np.int32) for ends in (spans.first, spans.last))
    return Segments(document, np.flatnonzero(rows.content).astype(np.int32), first, last)


def sample_facts(ids: np.ndarray, table: Path | None) -> SampleFacts:
    """Return the facts of documents: their domains are the labels, their sources the clusters.

    Parameters
    ----------
    ids : ndarray of uint64, shape (n_documents,)
        Documents of the stores.
    table : Path, optional
        A split of the corpus: Parquet with the columns `id`, `domain` and `source`.

    Raises
    ------
    StoreError
        If the table lacks a document, or is none of documents.
    """
    if table is None:
        return SampleFacts.alone([document_name(i) for i in ids.tolist()])
    origin = "a split of the corpus"
    found = SampleTable(table, ("domain", "source"), "document", origin).rows_of(ids)
    clusters = [cluster_of(source) for source in found["source"]]
    return SampleFacts(found["domain"].to_numpy(str), np.array(clusters, dtype=str))
