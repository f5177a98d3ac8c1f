"""Alignment of two models' stores of text, on the spans that both tokenizations share."""

from __future__ import annotations

import numpy as np

from rosetta.activations.layout import check_same_documents
from rosetta.activations.reader import StoreReader
from rosetta.activations.variables import StoreTokens
from rosetta.alignment.positions import AlignedShard, StoredRows
from rosetta.alignment.spans import AlignedSpans, Segments, TokenRanges, aligned_spans


def token_ranges(tokens: StoreTokens) -> TokenRanges:
    """Return the byte ranges of the tokens that stand for bytes."""
    kept = tokens.with_bytes
    return TokenRanges(tokens.document_index[kept], tokens.byte_start[kept], tokens.byte_end[kept])


def align_shard(a: StoreReader, b: StoreReader) -> AlignedShard:
    """Align one shard of two models.

    Raises
    ------
    StoreError
        If the stores do not hold the same documents.
    """
    tokens_a, tokens_b = a.tokens(), b.tokens()
    check_same_documents(tokens_a, tokens_b, (str(a.path), str(b.path)))
    spans = aligned_spans(
        [token_ranges(tokens_a), token_ranges(tokens_b)], len(tokens_a.document_ids)
    )
    document = spans.document_index.astype(np.int32)  # one array for both sides
    rows_a, rows_b = (
        StoredRows(tokens.document_index, tokens.with_bytes) for tokens in (tokens_a, tokens_b)
    )
    return AlignedShard(
        _segments(document, rows_a, spans, 0),
        _segments(document, rows_b, spans, 1),
        rows_a,
        rows_b,
        tokens_a.document_ids,
    )


def _segments(document: np.ndarray, rows: StoredRows, spans: AlignedSpans, side: int) -> Segments:
    first, last = (ends[side].astype(np.int32) for ends in (spans.first, spans.last))
    return Segments(document, np.flatnonzero(rows.content).astype(np.int32), first, last)
