"""Views of a pair: which samples, positions and neurons are read, and in what order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rosetta.activations.reader import StoreReader
from rosetta.activations.store import Store
from rosetta.alignment.positions import StoredRows
from rosetta.alignment.samples import deal
from rosetta.config import Config
from rosetta.config.alignment import Grid
from rosetta.config.exclusions import Exclusions
from rosetta.moments import Moments
from rosetta.storage.digests import digest_file


@dataclass(frozen=True)
class View:
    """What of a pair's stores is correlated; applied as stores are read, never copied.

    Attributes
    ----------
    exclusions : Exclusions
        Positions and neurons that are excluded.
    first : int, optional
        Look at this many samples from the first on; all of them if not given.
    half : int, optional
        Look at the first (0) or second (1) half of the samples only, clusters of samples whole
        (`rosetta.alignment.samples.deal`).
    permute_seeds : tuple of int or None
        Orders of the second model's positions that are correlated, in one pass where memory allows:
        as they are (None), or permuted with a seed (`rosetta.correlation.permutation`).
    exchange_seed : int, optional
        Exchange the samples of the second model with this seed (`rosetta.correlation.exchange`).
    sample_table : Path, optional
        Table of the samples' labels and clusters (`rosetta.alignment.stores.facts_of_samples`).
    grid : {'larger', 'smaller', 'anchor'}
        Grid that cells of images are resampled to (`rosetta.alignment.grids.canonical_grid`).
    """

    exclusions: Exclusions = field(default_factory=Exclusions)
    first: int | None = None
    half: int | None = None
    permute_seeds: tuple[int | None, ...] = (None,)
    exchange_seed: int | None = None
    sample_table: Path | None = None
    grid: Grid = "larger"

    @classmethod
    def of(cls, config: Config) -> View:
        """Return the main view of a run: all samples, without what it excludes."""
        return cls(config.exclusions, grid=config.alignment.grid)

    @property
    def in_order(self) -> bool:
        """Whether both models' positions are looked at in the order of the stores."""
        return self.permute_seeds == (None,) and self.exchange_seed is None

    def describe(self) -> dict[str, Any]:
        """Return the view as plain data; what is known of the samples by its digest."""
        told = {**vars(self), "exclusions": self.exclusions.model_dump(mode="json")}
        table, grid = told.pop("sample_table"), told.pop("grid")
        # Digests of finished work hold these keys, and no grid where there was no choice.
        chosen = {} if grid == View.grid else {"grid": grid}
        return {**told, **chosen, "documents": table and digest_file(table)}

    def takes(self, clusters: np.ndarray) -> np.ndarray:
        """Return which samples are looked at, by the clusters of all samples."""
        taken = np.ones(len(clusters), bool)
        if self.first is not None:
            taken &= np.arange(len(clusters)) < self.first
        if self.half is not None:
            taken &= deal(clusters, 2) == self.half
        return taken


@dataclass(frozen=True)
class RowMarks:
    """Rows of one store whose positions the exclusions leave out, bool of shape (n_rows,) each."""

    first_position: np.ndarray
    high_norm: np.ndarray


def mark_rows(
    stores: Sequence[StoreReader], rows: Sequence[StoredRows], exclusions: Exclusions
) -> list[RowMarks]:
    """Mark the rows of one model whose positions the exclusions leave out, by shard.

    The norm of a row is that of its activations over all neurons, compared with the median over all
    rows with content. It takes a pass over the stores, made only if `max_norm` is set.
    """
    none = [np.zeros(len(shard.content), bool) for shard in rows]
    first = [shard.begins_sample for shard in rows] if exclusions.first_position else none
    if exclusions.max_norm is None:
        return [RowMarks(*marks) for marks in zip(first, none, strict=True)]
    norms = [_norms(store) for store in stores]
    kept = [values[shard.content] for values, shard in zip(norms, rows, strict=True)]
    limit = exclusions.max_norm * np.median(np.concatenate(kept))
    return [RowMarks(one, values > limit) for one, values in zip(first, norms, strict=True)]


def _norms(store: StoreReader) -> np.ndarray:
    """Return the norms of a store's rows, over all neurons, shape (n_rows,).

    Of a written store one layer is in memory at a time; a live one gives all layers in one run of
    its model.
    """
    n = store.n_layers * store.d_mlp
    width = store.d_mlp if isinstance(store, Store) else n
    squares = np.zeros(store.n_positions)
    for low in range(0, n, width):
        for start, parts in store.chunks(low, low + width):
            for _, values in parts:
                squares[start : start + len(values)] += values.double().square().sum(dim=1).numpy()
    return np.sqrt(squares)


def quiet_neurons(moments: Moments, variance_floor: float) -> np.ndarray:
    """Return live neurons whose variance is below a multiple of their model's median."""
    living = moments.m2 > 0
    if not living.any():
        return np.zeros(len(moments.m2), bool)
    quiet: np.ndarray = living & (moments.m2 < variance_floor * np.median(moments.m2[living]))
    return quiet
