"""Views of a pair: which documents, positions and neurons of its stores are looked at, and in what order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rosetta.activations.store import Store
from rosetta.alignment.spans import AlignedSpans
from rosetta.config.exclusions import Exclusions
from rosetta.correlation.documents import deal
from rosetta.correlation.plan import WINDOW
from rosetta.moments import Moments
from rosetta.storage.digests import digest_file


@dataclass(frozen=True)
class View:
    """What of a pair's stores is correlated. Stores are never copied: a view is applied as they are read.

    Attributes
    ----------
    exclusions : Exclusions
        Positions and neurons that take no part.
    first : int, optional
        Look at this many documents from the first on; all of them if not given.
    half : int, optional
        Look at the first (0) or second (1) half of the documents only, clusters of documents whole
        (`rosetta.correlation.documents.deal`).
    permute_seed : int, optional
        Permute the positions of the second model with this seed (`permuted`).
    exchange_seed : int, optional
        Exchange the documents of the second model with this seed (`rosetta.correlation.exchange`).
    documents : Path, optional
        What is known of the documents (`rosetta.correlation.documents.document_facts`).
    """

    exclusions: Exclusions = field(default_factory=Exclusions)
    first: int | None = None
    half: int | None = None
    permute_seed: int | None = None
    exchange_seed: int | None = None
    documents: Path | None = None

    @property
    def in_order(self) -> bool:
        """Whether both models' positions are looked at in the order of the corpus."""
        return self.permute_seed is None and self.exchange_seed is None

    def describe(self) -> dict[str, Any]:
        """Return the view as plain data; what is known of the documents by its digest."""
        known = self.documents and digest_file(self.documents)
        return {**vars(self), "exclusions": self.exclusions.model_dump(mode="json"), "documents": known}

    def takes(self, clusters: np.ndarray) -> np.ndarray:
        """Return which documents take part, by the clusters of all documents."""
        taken = np.ones(len(clusters), bool)
        if self.first is not None:
            taken &= np.arange(len(clusters)) < self.first
        if self.half is not None:
            taken &= deal(clusters, 2) == self.half
        return taken


@dataclass(frozen=True)
class TokenMarks:
    """Marks of a shard's tokens that stand for bytes, shape (n_tokens,) each: reasons to leave a span out."""

    first_position: np.ndarray
    high_norm: np.ndarray


def mark_tokens(stores: list[Store], exclusions: Exclusions) -> list[TokenMarks]:
    """Mark the tokens of one model whose spans the exclusions leave out, by shard.

    The norm of a token is that of its activations over all neurons, compared with the median over tokens; it takes a
    pass over the stores, made only if `max_norm` is set.
    """
    norms = [_norms(store) for store in stores] if exclusions.max_norm else None
    limit = exclusions.max_norm * np.median(np.concatenate(norms)) if norms and exclusions.max_norm else np.inf
    marks = []
    for shard, store in enumerate(stores):
        tokens = store.tokens()
        document = tokens.document_index[tokens.with_bytes]
        begins = np.diff(document, prepend=-1) != 0
        first = begins if exclusions.first_position else np.zeros(len(document), bool)
        marks.append(TokenMarks(first, norms[shard] > limit if norms else np.zeros_like(first)))
    return marks


def _norms(store: Store) -> np.ndarray:
    """Return the norms of a shard's tokens that stand for bytes, over all neurons.

    Of a written store one layer is in memory at a time; a live one gives all layers in one run of its model.
    """
    n, width = store.n_layers * store.d_mlp, store.d_mlp if isinstance(store, Store) else store.n_layers * store.d_mlp
    squares = np.zeros(store.n_positions)
    for low in range(0, n, width):
        for start, parts in store.chunks(low, low + width):
            for _, values in parts:
                squares[start : start + len(values)] += values.double().square().sum(dim=1).numpy()
    return np.sqrt(squares)[store.tokens().with_bytes]


def marked(spans: AlignedSpans, side: int, marks: np.ndarray) -> np.ndarray:
    """Return which spans hold a marked token of one side."""
    until = np.concatenate([[0], np.cumsum(marks)])
    return until[spans.last[side]] > until[spans.first[side]]


def subset(spans: AlignedSpans, kept: np.ndarray) -> AlignedSpans:
    """Return some of the spans, in order."""
    return AlignedSpans(
        document_index=spans.document_index[kept],
        byte_start=spans.byte_start[kept],
        byte_end=spans.byte_end[kept],
        first=tuple(first[kept] for first in spans.first),
        last=tuple(last[kept] for last in spans.last),
    )


def quiet_neurons(pilot: Moments, variance_floor: float) -> np.ndarray:
    """Return the neurons, not dead, whose variance over tokens is below a multiple of their model's median."""
    living = pilot.m2 > 0
    if not variance_floor or not living.any():
        return np.zeros(len(pilot.m2), bool)
    return living & (pilot.m2 < variance_floor * np.median(pilot.m2[living]))


def permuted(blocks: Iterator[torch.Tensor], n_positions: int, rows: int, seed: int) -> Iterator[torch.Tensor]:
    """Yield blocks of the same shapes with their rows permuted (Dravid 2026, App. C.3).

    Rows move within windows of whole blocks, of near equal length and at most `WINDOW` rows (one block if that is
    more), so a set of up to `WINDOW` positions is permuted as a whole. The corpus is in random order, so a window is a
    random sample of it. The permutation depends on the seed, the window and the number of positions only.
    """
    n_blocks = -(-n_positions // rows)
    n_windows = -(-n_blocks // max(1, WINDOW // rows))
    edges = [min(i * n_blocks // n_windows * rows, n_positions) for i in range(n_windows + 1)]
    for number, (low, high) in enumerate(pairwise(edges)):
        order = torch.from_numpy(np.random.default_rng([seed, number]).permutation(high - low))
        window, filled = None, 0
        while filled < high - low:
            block = next(blocks)
            if window is None:
                window = torch.empty((high - low, block.shape[1]), dtype=block.dtype)
            window[filled : filled + len(block)] = block
            filled += len(block)
        for start in range(0, high - low, rows):
            yield window[order[start : start + rows]]
