"""Alignment of two models' stores of text: shard by shard, on the spans that both tokenizations share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rosetta.activations.layout import check_same_documents
from rosetta.activations.reader import StoreReader
from rosetta.alignment.positions import AlignedShard, StoredRows
from rosetta.alignment.spans import AlignedSpans, Segments, TokenRanges, aligned_spans


def token_ranges(store: StoreReader) -> TokenRanges:
    """Return the byte ranges of a store's rows that stand for bytes."""
    tokens = store.tokens()
    kept = tokens.with_bytes
    return TokenRanges(tokens.document_index[kept], tokens.byte_start[kept], tokens.byte_end[kept])


def align_shard(a: StoreReader, b: StoreReader) -> AlignedShard:
    """Align one shard of two models.

    Raises
    ------
    StoreError
        If the stores do not hold the same documents.
    """
    check_same_documents(a.tokens(), b.tokens(), (str(a.path), str(b.path)))
    n_documents = int(a.manifest["holds"]["n_documents"])
    spans = aligned_spans([token_ranges(a), token_ranges(b)], n_documents)
    document = spans.document_index.astype(np.int32)  # one array for both sides
    rows_a, rows_b = (_stored_rows(store) for store in (a, b))
    return AlignedShard(
        _segments(document, rows_a, spans, 0), _segments(document, rows_b, spans, 1), rows_a, rows_b, n_documents
    )


def sample_ids(stores: Sequence[StoreReader]) -> np.ndarray:
    """Return the ids of the documents of a model's shards, in order, shape (n_documents,)."""
    return np.concatenate([store.tokens().document_ids for store in stores])


def _stored_rows(store: StoreReader) -> StoredRows:
    tokens = store.tokens()
    return StoredRows(tokens.document_index, tokens.with_bytes)


def _segments(document: np.ndarray, rows: StoredRows, spans: AlignedSpans, side: int) -> Segments:
    first, last = (ends[side].astype(np.int32) for ends in (spans.first, spans.last))
    return Segments(document, np.flatnonzero(rows.content).astype(np.int32), first, last)
