"""Activations that are sums of a few planted features, and stores of them."""

import numpy as np
from helpers import save_stores

N_DOCUMENTS, TOKENS = 60, 100


def sparse_features(rng, n, n_features, k):
    """Return features (n, n_features) of which k are active at every position."""
    found = np.zeros((n, n_features))
    for row in found:
        row[rng.choice(n_features, k, replace=False)] = rng.uniform(0.5, 1.5, k)
    return found


def directions(rng, n_features, d):
    """Return random directions of length 1, shape (n_features, d)."""
    drawn = rng.normal(size=(n_features, d))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def byte_ranges(n_documents=N_DOCUMENTS, tokens=TOKENS):
    """Return the tokens of documents of one length, each of one byte."""
    document = np.repeat(np.arange(n_documents), tokens)
    start = np.tile(np.arange(tokens), n_documents)
    parts = (np.arange(len(start)), start, start + 1, document)
    return [part.astype(np.int32) for part in parts]


def save_mixture(folder, features, mixing, noise, rng, n_shards=1, **saved):
    """Write stores of one layer: features times a mixing matrix, and noise."""
    values = features @ mixing + noise * rng.normal(size=(len(features), mixing.shape[1]))
    values = values.astype(np.float32)[None]
    n_documents = len(features) // TOKENS
    ranges = byte_ranges(n_documents)
    save_stores(folder, values, ranges, n_documents, n_shards=n_shards, **saved)
    return values[0]


def best_cosines(planted, found):
    """Return the largest cosine of every planted direction with a found one, row by row."""
    planted, found = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (planted, found)
    )
    return (planted @ found.T).max(axis=1)
