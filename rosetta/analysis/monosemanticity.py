"""How alike the images are that a neuron fires on, to another model's eye (Pach et al. 2025)."""

from __future__ import annotations

import numpy as np


class SimilaritySums:
    """The sums from which monosemanticity scores follow, over images that come in batches.

    With weights w of images and their unit vectors e, the weighted mean of the cosines of all
    pairs of different images is

        Σ_{n≠m} w_n w_m e_n·e_m / Σ_{n≠m} w_n w_m = (|Σ w e|² − Σ w² |e|²) / ((Σ w)² − Σ w²),

    so it takes one pass, and time linear in the number of images. That w is the activation, scaled
    to [0, 1] by its lowest and highest value, is known only after the pass; the sums of w follow
    from those of activations. These are taken relative to the first batch's means, so that large
    activations that hardly change do not cancel.

    Parameters
    ----------
    n_units, d : int
        Neurons, and length of the vectors.
    """

    def __init__(self, n_units: int, d: int) -> None:
        self._n = 0
        self._origin = np.zeros(n_units)
        self._low, self._high = np.full(n_units, np.inf), np.full(n_units, -np.inf)
        # Over the images: of 1, of activations and of their squares; each also times the vector's
        # squared length, which is 1, or 0 of an image without a direction.
        self._sums = np.zeros((2, 2, n_units))
        self._n_directed = 0.0
        self._vectors, self._weighted = np.zeros(d), np.zeros((n_units, d))

    def add(self, scores: np.ndarray, vectors: np.ndarray) -> None:
        """Add images: their activations (n, n_units), and their embeddings (n, d)."""
        if not len(scores):
            return
        if not self._n:
            self._origin = scores.mean(axis=0, dtype=np.float64)
        unit_vectors = _unit_vectors(vectors)
        directed = unit_vectors.any(axis=1).astype(np.float64)
        values = scores - self._origin
        self._low = np.minimum(self._low, values.min(axis=0))
        self._high = np.maximum(self._high, values.max(axis=0))
        for power, of in enumerate((values, np.square(values))):
            self._sums[power] += of.sum(axis=0), directed @ of
        self._n += len(values)
        self._n_directed += float(directed.sum())
        self._vectors += unit_vectors.sum(axis=0)
        self._weighted += values.T @ unit_vectors

    def scores(self) -> np.ndarray:
        """Return the monosemanticity of each neuron, float64 (n_units,).

        NaN where the activation is the same of all images, or above its lowest value on one only:
        no pair has a weight.
        """
        low, spread = self._low, self._high - self._low
        counts = np.array([self._n, self._n_directed])[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            total = (self._sums[0, 0] - self._n * low) / spread
            squares, directed_squares = (
                self._sums[1] - 2 * low * self._sums[0] + counts * low**2
            ) / spread**2
            vectors = (self._weighted - low[:, None] * self._vectors) / spread[:, None]
            pairs = total**2 - squares
            found = (np.square(vectors).sum(axis=1) - directed_squares) / pairs
        return np.where((spread > 0) & (pairs > 1e-9 * squares), found, np.nan)

    def mean_similarity(self) -> float:
        """Return the mean cosine of all pairs of images: the score where all weights are equal."""
        pairs = self._n * (self._n - 1)
        total = float(np.square(self._vectors).sum()) - self._n_directed
        return total / pairs if pairs else float("nan")


def monosemanticity(scores: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """Return each neuron's monosemanticity score.

    The mean cosine similarity of all pairs of different images under an independent encoder,
    weighted by the product of the neuron's activations on both, which are scaled to [0, 1] by their
    lowest and highest value. It is the quantity of the authors' program. Equation 9 of the paper
    (arXiv 2504.02821) divides by the number of pairs, not by the sum of the weights, and so grows
    with how often a neuron fires. An image whose embedding is zero has similarity 0 to any other.

    Parameters
    ----------
    scores : ndarray, shape (n_images, n_units)
        Activation of each neuron on each image.
    embeddings : ndarray, shape (n_images, d)
        Of the images.

    Returns
    -------
    ndarray of float64, shape (n_units,)
        Between -1 and 1; NaN where no pair of images has a weight.
    """
    sums = SimilaritySums(scores.shape[1], embeddings.shape[1])
    sums.add(scores, embeddings)
    return sums.scores()


def _unit_vectors(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
