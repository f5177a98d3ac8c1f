"""One similarity per pair, calibrated by permutations of the samples.

The score is the largest linear CKA between any layer of one model and any of the other (Kornblith
et al. 2019),

    CKA(K, L) = ⟨K, L⟩ / (‖K‖ ‖L‖),   K, L: centred Gram matrices of a layer's neurons,

over one position of every sample. Wide layers on few samples look alike by chance, and the largest
of many pairs of layers more so. Both are in the distribution of the same largest value with the
samples of the second model permuted, so the calibrated score

    max(0, (score − q) / (1 − q)),   q: 95% quantile under permutation,

is 0 by chance at every depth and width, and 1 for models that are alike. Samples are independent of
each other, and positions of one sample are not, so one position of each is taken.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

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
    n_samples : int
        Positions, one per sample.
    """

    score: float
    by_chance: float
    threshold: float
    p: float
    calibrated: float
    n_samples: int

    @property
    def facts(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def one_per_sample(sample_positions: np.ndarray, seed: int) -> np.ndarray:
    """Choose one position of every sample at random, bool of shape (n_positions,).

    Parameters
    ----------
    sample_positions : ndarray of int64, shape (n_samples,)
        Positions of each sample, in the order in which they are read; samples without any have
        none.
    seed : int
        Of the choice.
    """
    some = sample_positions[sample_positions > 0]
    first = np.cumsum(some) - some
    chosen = np.zeros(int(some.sum()), bool)
    chosen[first + np.random.default_rng(seed).integers(some)] = True
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
        Activations of A and of B, shape (n_samples, D), row by row of the same position.
    d_mlp : (int, int)
        Neurons per layer of either model.
    n_permutations : int
        Permutations of the samples.
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
        by_chance[number] = _largest(of_a, [gram[order][:, order] for gram in of_b])
    threshold = float(np.quantile(by_chance, QUANTILE))
    return Similarity(
        score=score,
        by_chance=float(by_chance.mean()),
        threshold=threshold,
        p=float((1 + (by_chance >= score).sum()) / (1 + n_permutations)),
        calibrated=max(0.0, (score - threshold) / (1 - threshold)) if threshold < 1 else 0.0,
        n_samples=n,
    )


def _gram(layer: torch.Tensor) -> torch.Tensor:
    """Return the centred Gram matrix of a layer, at unit norm; 0 if the layer is dead."""
    centred = layer - layer.mean(dim=0)
    gram = centred @ centred.T
    norm = float(gram.norm())
    return gram / norm if norm else gram


def _largest(of_a: list[torch.Tensor], of_b: list[torch.Tensor]) -> float:
    return max(float((a * b).sum()) for a in of_a for b in of_b)
