"""Reading stored rows for autoencoders: in order, and shuffled by a seed, without holding them all.

Rows that count are numbered through all shards, and blocks of them are cut by these numbers, so
that the order in which they are read does not depend on the sharding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from rosetta.activations.layout import sample_ids
from rosetta.activations.reader import StoreReader
from rosetta.activations.whole_moments import whole_moments
from rosetta.alignment.samples import deal
from rosetta.alignment.stores import facts_of_samples, rows_of
from rosetta.moments import Moments
from rosetta.sae.dictionary import Standard
from rosetta.sae.sizes import BLOCK, WINDOW_BYTES
from rosetta.storage.digests import hash64


@dataclass(frozen=True)
class CountedRows:
    """Rows of shard stores that count, in order, and the sample that each is of.

    Attributes
    ----------
    stores : sequence of StoreReader
        Shards of one model; of images also those that it was shown by several generators.
    rows : list of ndarray of int64
        Per store, its rows, ascending.
    sample : ndarray of int64, shape (n_rows,)
        Sample of each row, counted through all stores.
    clusters : ndarray of str, shape (n_samples,)
        What each sample is a part of.
    """

    stores: Sequence[StoreReader]
    rows: list[np.ndarray]
    sample: np.ndarray
    clusters: np.ndarray

    @classmethod
    def of(cls, stores: Sequence[StoreReader], table: Path | None) -> CountedRows:
        """Return all rows that count; the table tells the clusters of samples, where it is given.

        Raises
        ------
        StoreError
            If the table lacks a sample.
        """
        stored = [rows_of(store) for store in stores]
        rows = [np.flatnonzero(one.content) for one in stored]
        first = np.cumsum([0, *(store.n_samples for store in stores)])[:-1]
        sample = [one.sample[kept] + n for one, kept, n in zip(stored, rows, first, strict=True)]
        ids = np.concatenate([store.read(sample_ids(store.modality)) for store in stores])
        clusters = facts_of_samples(stores, ids, table).clusters
        return cls(stores, rows, np.concatenate(sample).astype(np.int64, copy=False), clusters)

    def __len__(self) -> int:
        return len(self.sample)

    def heldout(self, one_in: int) -> np.ndarray:
        """Return which rows are of the one in so many samples that is held out, (n_rows,)."""
        kept: np.ndarray = (deal(self.clusters, one_in) == 0)[self.sample]
        return kept

    def only(self, kept: np.ndarray) -> CountedRows:
        """Return some of the rows; `kept` is bool of shape (n_rows,)."""
        parts = np.split(kept, np.cumsum([len(rows) for rows in self.rows])[:-1])
        rows = [mine[part] for mine, part in zip(self.rows, parts, strict=True)]
        return CountedRows(self.stores, rows, self.sample[kept], self.clusters)

    def read(self, first: int, last: int, low: int, high: int) -> torch.Tensor:
        """Return rows first to last of the neurons low to high, float32 (last − first, high − low).

        Rows and neurons are counted from 0, the last is not taken in.
        """
        found = [values for _, values in self._pieces(first, last, low, high)]
        return torch.cat(found)

    def blocks(self, low: int, high: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield (first row, values) of neurons low to high, in order, chunk by chunk."""
        yield from self._pieces(0, len(self), low, high)

    def _pieces(
        self, first: int, last: int, low: int, high: int
    ) -> Iterator[tuple[int, torch.Tensor]]:
        begin = 0
        for store, rows in zip(self.stores, self.rows, strict=True):
            a, b = max(first - begin, 0), min(last - begin, len(rows))
            if a < b:
                for done, values in _picked(store, rows[a:b], low, high):
                    yield begin + a + done, values
            begin += len(rows)


def _picked(
    store: StoreReader, rows: np.ndarray, low: int, high: int
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield some rows of a store in order, chunk by chunk: how many came before, and values."""
    done = 0
    for start, parts in store.chunks(low, high, int(rows[0])):
        end = int(np.searchsorted(rows, start + len(parts[0][1])))
        if end > done:
            here = torch.from_numpy(rows[done:end] - start)
            yield done, torch.cat([values[here].float() for _, values in parts], dim=1)
            done = end
        if done == len(rows):
            return


def standard_of(stores: Sequence[StoreReader]) -> Standard:
    """Return mean and standard deviation of all neurons over all rows that count."""
    found = reduce(Moments.merge, map(whole_moments, stores))
    return Standard.of(found.mean, found.std)


@dataclass(frozen=True)
class _Window:
    """Blocks of an epoch that are in memory together, and the order of their rows."""

    blocks: tuple[int, ...]
    seed: int


class ShuffledBatches:
    """Batches of standard rows, epoch after epoch, each in an order of its own.

    Blocks are shuffled, as many as memory holds are read together, and their rows are mixed. What a
    batch holds depends on its number and the seed alone.

    Parameters
    ----------
    rows : CountedRows
        What is read.
    neurons : (int, int)
        The range of neurons.
    standard : Standard
        Of these neurons.
    batch_size, seed : int
        Rows per batch; the seed.
    """

    def __init__(
        self,
        rows: CountedRows,
        neurons: tuple[int, int],
        standard: Standard,
        batch_size: int,
        seed: int,
    ) -> None:
        self._rows, self._neurons, self._size, self._seed = rows, neurons, batch_size, seed
        self._mean, self._scale = standard.tensors()
        self._edges = [*range(0, len(rows), BLOCK), len(rows)]
        n_bytes = 4 * BLOCK * (neurons[1] - neurons[0])
        self._at_once = max(1, WINDOW_BYTES // n_bytes)
        self._held: tuple[tuple[int, ...], torch.Tensor] | None = None
        self._mixed: tuple[_Window, torch.Tensor] | None = None

    def batch(self, number: int) -> torch.Tensor:
        """Return batch `number`, counted from 0: float32 (batch_size, n_neurons)."""
        parts, at, left = [], number * self._size, self._size
        while left:
            epoch, place = divmod(at, len(self._rows))
            for window in self._windows(epoch):
                n = sum(self._edges[block + 1] - self._edges[block] for block in window.blocks)
                if place < n:
                    taken = min(left, n - place)
                    parts.append(self._mixed_rows(window)[place : place + taken])
                    at, left = at + taken, left - taken
                    break
                place -= n
        return torch.cat(parts)

    def _windows(self, epoch: int) -> Iterator[_Window]:
        n_blocks = len(self._edges) - 1
        rng = np.random.default_rng(hash64("epoch", self._seed, epoch))
        order = rng.permutation(n_blocks).tolist()
        cuts = [*range(0, n_blocks, self._at_once), n_blocks]
        for number, (low, high) in enumerate(pairwise(cuts)):
            seed = hash64("window", self._seed, epoch, number)
            yield _Window(tuple(sorted(order[low:high])), seed)

    def _mixed_rows(self, window: _Window) -> torch.Tensor:
        if self._mixed is None or self._mixed[0] != window:
            values = self._values(window.blocks)
            order = np.random.default_rng(window.seed).permutation(len(values))
            self._mixed = window, values[torch.from_numpy(order)]
        return self._mixed[1]

    def _values(self, blocks: tuple[int, ...]) -> torch.Tensor:
        """Return the standard rows of some blocks; those of all blocks are read once."""
        if self._held is None or self._held[0] != blocks:
            self._held = self._mixed = None  # before as much is read again
            edges = [(self._edges[block], self._edges[block + 1]) for block in blocks]
            read = [self._rows.read(*edge, *self._neurons) for edge in edges]
            values = torch.cat(read).sub_(self._mean).div_(self._scale)
            self._held = blocks, values
        return self._held[1]
