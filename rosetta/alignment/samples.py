"""What a corpus says of the samples of stores, and dealing samples into independent parts."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rosetta.errors import StoreError
from rosetta.inputs.text.documents import cluster_of, document_name
from rosetta.storage.digests import hash64
from rosetta.storage.tables import read_parquet

DOCUMENT_COLUMNS = ["id", "domain", "source"]


@dataclass(frozen=True)
class SampleFacts:
    """Domains and clusters of samples, in the order of the stores.

    Attributes
    ----------
    domains, clusters : ndarray of str, shape (n_samples,)
        Samples of one cluster are parts of one whole (`rosetta.inputs.text.documents.cluster_of`),
        so only clusters are independent.
    """

    domains: np.ndarray
    clusters: np.ndarray


def sample_facts(ids: np.ndarray, table: Path | None) -> SampleFacts:
    """Return the facts of documents, the samples of text, by their ids.

    Parameters
    ----------
    ids : ndarray of uint64, shape (n_documents,)
        Documents of the stores.
    table : Path, optional
        A split of the corpus: Parquet with the columns `id`, `domain` and `source`. Without it
        every document is a cluster of its own, and all are of one domain.

    Raises
    ------
    StoreError
        If the table lacks a document, or is none of documents.
    """
    if table is None:
        return SampleFacts(
            np.full(len(ids), ""), np.array([document_name(i) for i in ids.tolist()], dtype=str)
        )
    known = read_parquet(table, DOCUMENT_COLUMNS)
    for column, kinds, what in (
        ("id", "ui", "whole numbers"),
        ("domain", "O", "text"),
        ("source", "O", "text"),
    ):
        values = known[column]
        if values.isna().any() or values.to_numpy().dtype.kind not in kinds:
            raise StoreError(f"{table}: {column}: not {what} throughout. Give a split of a corpus.")
    found = known.drop_duplicates("id").set_index("id").reindex(ids)
    missing = ids[found["source"].isna().to_numpy()]
    if len(missing):
        raise StoreError(
            f"{table}: has no document {document_name(int(missing[0]))}, which the stores hold. "
            "Give the split of the "
            "corpus that they were captured on, or capture them again."
        )
    clusters = [cluster_of(source) for source in found["source"]]
    return SampleFacts(found["domain"].to_numpy(str), np.array(clusters, dtype=str))


def deal(clusters: np.ndarray, n_parts: int) -> np.ndarray:
    """Deal samples into parts of near equal numbers of samples, clusters whole.

    Clusters come in order of their size, those of one size in the order of a hash, and each goes to
    the part that has the fewest samples. So no part is larger than it must be for one large
    cluster. Samples are counted, and not their positions: these differ between pairs of models,
    whose parts have to be the same.

    Parameters
    ----------
    clusters : ndarray of str, shape (n_samples,)
        Cluster of each sample.
    n_parts : int
        Parts.

    Returns
    -------
    ndarray of int64, shape (n_samples,)
        Part of each sample.
    """
    names, member, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    order = sorted(range(len(names)), key=lambda i: (-sizes[i], hash64("deal", str(names[i]))))
    parts, part_of = [(0, part) for part in range(n_parts)], np.empty(len(names), np.int64)
    for i in order:
        held, part_of[i] = parts[0]
        heapq.heapreplace(parts, (held + int(sizes[i]), int(part_of[i])))
    return part_of[member]
