"""One similarity per pair, calibrated by permutations of the samples.

The score is the largest linear CKA between any layer of one model and any of the other (Kornblith
et al. 2019),

    CKA(K, L) = ⟨K, L⟩ / (‖K‖ ‖L‖),   K, L: centred Gram matrices of a layer's neurons,

over one position of every cluster of samples. Wide layers on few samples look alike by chance, and
the largest of many pairs of layers more so. Both are in the distribution of the same largest value
with the positions of the second model permuted, so the calibrated score

    max(0, (score − q) / (1 − q)),   q: 95% quantile under permutation,

is 0 in 95% of cases by chance at every depth and width, and 1 for models that are alike. Only
clusters of samples are independent of each other (`rosetta.alignment.samples`). Positions of one
sample, and samples of one file, are not, so one position of each cluster is taken, of at most
`rosetta.instruments.sizes.MOST_CLUSTERS` clusters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from rosetta.instruments.sizes import MOST_CLUSTERS

QUANTILE = 0.95


@dataclass(frozen=True)
class Similarity:
    """A score, and what permutations make of it.

    Attributes
    ----------
    score : float
        The largest CKA of two layers.
    by_chance : float
        Its mean under permutation.
    threshold : float
        Its 95% quantile under permutation.
    p : float
        (1 + #{permutations that reach the score}) / (1 + their number).
    calibrated : float
        max(0, (score − threshold) / (1 − threshold)).
    n_clusters : int
        Positions, one per cluster of samples.
    """

    score: float
    by_chance: float
    threshold: float
    p: float
    calibrated: float
    n_clusters: int

    @property
    def facts(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def one_per_cluster(sample_positions: np.ndarray, clusters: np.ndarray, seed: int) -> np.ndarray:
    """Choose one position of every cluster at random, bool of shape (n_positions,).

    Of more than `MOST_CLUSTERS` clusters, so many are chosen at random.

    Parameters
    ----------
    sample_positions : ndarray of int64, shape (n_samples,)
        Positions of each sample, in the order in which they are read; samples without any have
        none.
    clusters : ndarray of str, shape (n_samples,)
        Cluster of each sample.
    seed : int
        Of the choice.
    """
    _, member = np.unique(clusters, return_inverse=True)
    owner = np.repeat(member, sample_positions)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(owner))
    _, first = np.unique(owner[order], return_index=True)  # one of each cluster
    chosen = np.zeros(len(owner), bool)
    chosen[order[rng.permutation(first)[:MOST_CLUSTERS]]] = True
    return chosen


def similarity(
    rows: tuple[torch.Tensor, torch.Tensor],
    d_mlp: tuple[int, int],
    n_permutations: int,
    seed: int,
) -> Similarity:
    """Return the calibrated similarity of two models.

    Parameters
    ----------
    rows : (Tensor, Tensor)
        Activations of A and of B, shape (n_clusters, D), row by row of the same position.
    d_mlp : (int, int)
        Neurons per layer of either model.
    n_permutations : int
        Permutations of the positions.
    seed : int
        Of the permutations.
    """
    of_a, of_b = (
        [_gram(layer) for layer in torch.split(side.double(), width, dim=1)]
        for side, width in zip(rows, d_mlp, strict=True)
    )
    n = len(rows[0])
    score, rng = _largest(of_a, of_b), np.random.default_rng(seed)
    by_chance = np.empty(n_permutations)
    for number in range(n_permutations):
        order = torch.from_numpy(rng.permutation(n))
        by_chance[number] = _largest(of_a, (gram[order][:, order] for gram in of_b))
    threshold = float(np.quantile(by_chance, QUANTILE))
    return Similarity(
        score=score,
        by_chance=float(by_chance.mean()),
        threshold=threshold,
        p=float((1 + (by_chance >= score).sum()) / (1 + n_permutations)),
        calibrated=max(0.0, (score - threshold) / (1 - threshold)) if threshold < 1 else 0.0,
        n_clusters=n,
    )


def _gram(layer: torch.Tensor) -> torch.Tensor:
    """Return the centred Gram matrix of a layer, at unit norm; 0 if the layer is dead."""
    centred = layer - layer.mean(dim=0)
    gram = centred @ centred.T
    norm = float(gram.norm())
    return gram / norm if norm else gram


def _largest(of_a: Sequence[torch.Tensor], of_b: Iterable[torch.Tensor]) -> float:
    return max(float(torch.dot(a.ravel(), b.ravel())) for b in of_b for a in of_a)
