"""What is known of the samples of stores, and dealing samples into independent parts."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rosetta.errors import StoreError
from rosetta.storage.digests import hash64, name64
from rosetta.storage.tables import read_parquet


@dataclass(frozen=True)
class SampleFacts:
    """Labels and clusters of samples, in the order of the stores.

    Attributes
    ----------
    labels : ndarray of str, shape (n_samples,)
        What each sample is an example of: a document's domain.
    clusters : ndarray of str, shape (n_samples,)
        Samples of one cluster are parts of one whole, as the documents cut from one file, so only
        clusters are independent.
    across_labels : bool
        Whether the null of exchanged samples pairs samples of different labels too: images, of
        which only the place of a cell is to survive.
    """

    labels: np.ndarray
    clusters: np.ndarray
    across_labels: bool = False

    @property
    def strata(self) -> np.ndarray:
        """Within what samples are exchanged, shape (n_samples,)."""
        return np.zeros_like(self.labels) if self.across_labels else self.labels

    @classmethod
    def alone(cls, names: list[str]) -> SampleFacts:
        """Return the facts of samples of which only names are known.

        Each is a cluster of its own, and all have one label.
        """
        return cls(np.full(len(names), ""), np.array(names, dtype=str))


@dataclass(frozen=True)
class SampleTable:
    """A table of samples: which columns of text it has beside `id`, and what messages call it.

    Attributes
    ----------
    path : Path
        Parquet.
    texts : tuple of str
        Columns of text.
    sample : str
        What a sample is: a document, an image.
    origin : str
        What holds such tables, and what the stores were captured on.
    """

    path: Path
    texts: tuple[str, ...]
    sample: str
    origin: str

    def rows_of(self, ids: np.ndarray) -> pd.DataFrame:
        """Return the rows of samples, in the order of `ids`.

        Raises
        ------
        StoreError
            If the table lacks a sample, or is none of samples.
        """
        known = read_parquet(self.path, ["id", *self.texts])
        for column in known:
            kinds, what = ("ui", "whole numbers") if column == "id" else ("O", "text")
            values = known[column]
            if values.isna().any() or values.to_numpy().dtype.kind not in kinds:
                raise StoreError(
                    f"{self.path}: {column}: not {what} throughout. Give {self.origin}."
                )
        found = known.drop_duplicates("id").set_index("id").reindex(ids)
        missing = ids[found[self.texts[0]].isna().to_numpy()]
        if len(missing):
            raise StoreError(
                f"{self.path}: has no {self.sample} {name64(int(missing[0]))}, which the "
                f"stores hold. Give {self.origin} that they were captured on, or capture them "
                "again."
            )
        return found


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
