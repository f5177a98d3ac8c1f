"""What is known of the samples of stores, and dealing samples into independent parts."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from rosetta.storage.digests import hash64


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
    """

    labels: np.ndarray
    clusters: np.ndarray

    @classmethod
    def alone(cls, names: list[str]) -> SampleFacts:
        """Return the facts of samples of which only names are known.

        Each is a cluster of its own, and all have one label.
        """
        return cls(np.full(len(names), ""), np.array(names, dtype=str))


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
