"""Baselines of a neuron: random order, and a bag-of-tokens classifier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from rosetta.errors import CorpusError
from rosetta.storage.digests import hash64


def random_scores(ids: np.ndarray, seed: int) -> np.ndarray:
    """Return a number in [0, 1) per document that depends on its id and the seed only (splitmix64).

    Parameters
    ----------
    ids : ndarray of uint64, shape (n,)
        Ids of the documents.
    seed : int
        Of the order that the scores make.
    """
    x = ids.astype(np.uint64) ^ np.uint64(hash64("random filter", seed))
    x += np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)) / 2.0**53


@dataclass(frozen=True)
class Classifier:
    """Logistic regression on TF-IDF of a document's tokens.

    Attributes
    ----------
    idf, weight : ndarray of float64, shape (vocabulary,)
        Inverse document frequency and coefficient of every token.
    intercept : float
        Of the regression.
    """

    idf: np.ndarray
    weight: np.ndarray
    intercept: float

    @classmethod
    def fit(cls, documents: list[np.ndarray], is_target: np.ndarray, vocabulary: int) -> Classifier:
        """Train on labelled documents, the two classes weighted alike.

        Parameters
        ----------
        documents : list of ndarray of int
            Token ids.
        is_target : ndarray of bool, shape (n_documents,)
            Labels.
        vocabulary : int
            Token ids are below this.

        Raises
        ------
        CorpusError
            If only one class is there.
        """
        from sklearn.feature_extraction.text import TfidfTransformer
        from sklearn.linear_model import LogisticRegression

        if is_target.all() or not is_target.any():
            raise CorpusError(
                f"filtering.target: {int(is_target.sum())} of the {len(is_target)} documents of "
                "the split `match` "
                "are of this domain, so nothing tells it from others. Raise "
                "activations.max_documents, or name "
                "another target."
            )
        transformer = TfidfTransformer().fit(_counts(documents, vocabulary))
        regression = LogisticRegression(class_weight="balanced", C=10.0, max_iter=1000)
        regression.fit(transformer.transform(_counts(documents, vocabulary)), is_target)
        return cls(transformer.idf_, regression.coef_[0], float(regression.intercept_[0]))

    def scores(self, documents: list[np.ndarray]) -> np.ndarray:
        """Return the log odds of the target domain, float64 of shape (n_documents,)."""
        weighted = _counts(documents, len(self.idf)).multiply(self.idf).tocsr()
        norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
        return weighted @ self.weight / np.maximum(norms, np.finfo(float).tiny) + self.intercept

    def to_table(self) -> pd.DataFrame:
        """Return the weights, one row per token."""
        return pd.DataFrame({"idf": self.idf, "weight": self.weight, "intercept": self.intercept})

    @classmethod
    def from_table(cls, table: pd.DataFrame) -> Classifier:
        """Return the classifier of `to_table`."""
        return cls(
            table["idf"].to_numpy(), table["weight"].to_numpy(), float(table["intercept"].iloc[0])
        )


def _counts(documents: list[np.ndarray], vocabulary: int) -> sparse.csr_matrix:
    """Return how often each document has each token."""
    rows = np.repeat(np.arange(len(documents)), [len(document) for document in documents])
    columns = np.concatenate([np.empty(0, np.int64), *documents]).astype(np.int64)
    shape = (len(documents), vocabulary)
    return sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), shape=shape).tocsr()
