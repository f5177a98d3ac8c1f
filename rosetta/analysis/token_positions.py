"""What the rows of a model's stores stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rosetta.activations.store import Store
from rosetta.errors import StoreError

if TYPE_CHECKING:
    from rosetta.activations.live import LiveStore


@dataclass(frozen=True)
class TokenPositions:
    """The positions of a model that stand for bytes, over all its shards in order.

    Attributes
    ----------
    document_ids : ndarray of uint64, shape (n_documents,)
        Documents in the order of the corpus.
    document : ndarray of int64, shape (n_positions,)
        Index of each position's document, non-decreasing.
    byte_start, byte_end : ndarray of int32, shape (n_positions,)
        Byte range of each token in its document.
    rows : list of ndarray of int64
        Per shard, the rows of the store that these positions are.
    offsets : ndarray of int64, shape (n_shards + 1,)
        Range of positions of each shard.
    """

    document_ids: np.ndarray
    document: np.ndarray
    byte_start: np.ndarray
    byte_end: np.ndarray
    rows: list[np.ndarray]
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.document)

    @classmethod
    def of(cls, stores: list[Store | LiveStore]) -> TokenPositions:
        """Return the positions of a model's shard stores."""
        rows, documents, starts, ends, ids = [], [], [], [], []
        n_documents = 0
        for store in stores:
            start, end = store.read("byte_start"), store.read("byte_end")
            kept = np.flatnonzero(end > start)
            rows.append(kept)
            starts.append(start[kept])
            ends.append(end[kept])
            documents.append(store.read("document_index")[kept].astype(np.int64) + n_documents)
            ids.append(store.read("document_ids"))
            n_documents += len(ids[-1])
        return cls(
            document_ids=np.concatenate(ids),
            document=np.concatenate(documents),
            byte_start=np.concatenate(starts),
            byte_end=np.concatenate(ends),
            rows=rows,
            offsets=np.concatenate([[0], np.cumsum([len(kept) for kept in rows])]),
        )

    def index_of(self, document_ids: np.ndarray) -> np.ndarray:
        """Return the index of each document id.

        Raises
        ------
        StoreError
            If a document is not among the stores'.
        """
        order = np.argsort(self.document_ids, kind="stable")
        at = np.minimum(
            np.searchsorted(self.document_ids, document_ids, sorter=order), len(order) - 1
        )
        found = order[at]
        if not np.array_equal(self.document_ids[found], document_ids):
            raise StoreError(
                "the stores do not hold all documents asked for. Capture the models on one corpus."
            )
        return found
