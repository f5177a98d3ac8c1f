"""Alignment of a pair under a view: the positions to correlate, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from pathlib import Path

import numpy as np

from rosetta.activations.folders import open_stores, store_manifests
from rosetta.activations.reader import StoreReader
from rosetta.activations.whole_moments import whole_moments
from rosetta.alignment.positions import AlignedPositions, AlignedShard
from rosetta.alignment.stores import align_stores, facts_of_samples
from rosetta.config.exclusions import Exclusions
from rosetta.correlation.exchange import Reordering, exchange
from rosetta.correlation.neighbor_tables import LeftOut
from rosetta.correlation.plan import REORDERED, ROWS, PairSize
from rosetta.correlation.view import RowMarks, View, mark_rows, quiet_neurons
from rosetta.errors import StoreError
from rosetta.moments import Moments
from rosetta.storage.digests import digest_json

WHOLE = View()


@dataclass(frozen=True)
class Side:
    """One model of a pair: its stores and which of their rows make the aligned positions.

    Attributes
    ----------
    stores : sequence of StoreReader
        Shard stores in order.
    positions : list of AlignedPositions
        Per shard, the positions that are looked at.
    center : ndarray of float64, shape (n_neurons,)
        Pilot mean over rows. Any values would give the same correlations; these keep float32 sums
        free of cancellation.
    quiet : ndarray of bool, shape (n_neurons,)
        Neurons below the variance floor: they read zero everywhere, as if they were dead.
    permute_seeds : tuple of int or None
        Orders of the positions that are correlated (`View.permute_seeds`).
    reordering : Reordering, optional
        How the samples are reordered, if samples are exchanged.
    """

    stores: Sequence[StoreReader]
    positions: list[AlignedPositions]
    center: np.ndarray
    quiet: np.ndarray
    permute_seeds: tuple[int | None, ...] = (None,)
    reordering: Reordering | None = None

    @property
    def n_neurons(self) -> int:
        """Total neuron count of the model."""
        return len(self.center)

    @property
    def n_positions(self) -> int:
        """Aligned positions over all shards."""
        return sum(map(len, self.positions))

    @property
    def held(self) -> int:
        """Most rows that are in memory to be permuted or reordered."""
        if self.permute_seeds != (None,):
            return REORDERED
        return self.reordering.held + 2 * ROWS if self.reordering else 0

    def of_shard(self, shard: int) -> Side:
        """Return the same side with one of its shards only."""
        return replace(self, stores=[self.stores[shard]], positions=[self.positions[shard]])


@dataclass(frozen=True)
class AlignedPair:
    """Two models aligned on the same samples.

    Attributes
    ----------
    a, b : Side
        The models.
    sample_positions : ndarray of int64, shape (n_samples,)
        Aligned positions of each sample, in the order of the stores.
    clusters : ndarray of str, shape (n_samples,)
        What samples are parts of (`rosetta.alignment.samples`).
    left_out : LeftOut
        What the view excludes.
    """

    a: Side
    b: Side
    sample_positions: np.ndarray
    clusters: np.ndarray
    left_out: LeftOut

    @property
    def n_positions(self) -> int:
        """Number N of aligned positions."""
        return self.a.n_positions

    @property
    def size(self) -> PairSize:
        """Neurons of either model, and aligned positions."""
        return PairSize(self.a.n_neurons, self.b.n_neurons, self.n_positions)


def align_pair(
    stores_a: Sequence[StoreReader], stores_b: Sequence[StoreReader], view: View = WHOLE
) -> AlignedPair:
    """Align the shard stores of two models, as far as the view takes them in.

    Raises
    ------
    StoreError
        If they do not hold the same samples in the same shards, or as `pair_of`.
    """
    return pair_of(stores_a, stores_b, align_stores(stores_a, stores_b, view.grid), view)


def pair_of(
    stores_a: Sequence[StoreReader],
    stores_b: Sequence[StoreReader],
    shards: Sequence[AlignedShard],
    view: View = WHOLE,
) -> AlignedPair:
    """Return the pair that aligned shards of any modality make under a view.

    Raises
    ------
    StoreError
        If fewer than two positions are left, no sample can be exchanged, or the view's table lacks
        one.
    """
    ids = np.concatenate([shard.sample_ids for shard in shards])
    facts = facts_of_samples(stores_a, ids, view.sample_table)
    seen = _seen(stores_a, stores_b, shards, view.takes(facts.clusters), view.exclusions)
    a, b = (
        _side(stores_a, [part.a for part in seen], view),
        _side(stores_b, [part.b for part in seen], view),
    )
    sample_positions = np.concatenate([part.sample_positions for part in seen])
    if view.exchange_seed is not None:
        place = np.concatenate([positions.place for positions in a.positions])
        swap = exchange(sample_positions, place, facts, view.exchange_seed)
        a = replace(a, positions=_used(a.positions, swap.used_a), reordering=swap.of_a)
        b = replace(b, positions=_used(b.positions, swap.used_b), reordering=swap.of_b)
    b = replace(b, permute_seeds=view.permute_seeds)
    left_out = reduce(LeftOut.add, [part.left_out for part in seen])
    left_out = replace(left_out, n_quiet_a=int(a.quiet.sum()), n_quiet_b=int(b.quiet.sum()))
    if a.n_positions < 2:
        raise StoreError(
            f"{stores_a[0].path.parent}: only {a.n_positions} aligned positions; give more samples."
        )
    return AlignedPair(a, b, sample_positions, facts.clusters, left_out)


@dataclass(frozen=True)
class _Seen:
    """Positions of a shard that a view takes in, their number per sample, and what is left out."""

    a: AlignedPositions
    b: AlignedPositions
    sample_positions: np.ndarray
    left_out: LeftOut


def _seen(
    stores_a: Sequence[StoreReader],
    stores_b: Sequence[StoreReader],
    shards: Sequence[AlignedShard],
    taken: np.ndarray,
    exclusions: Exclusions,
) -> list[_Seen]:
    """Return what is looked at of every shard; `taken` says which samples are, over all shards."""
    marks_a = mark_rows(stores_a, [shard.rows_a for shard in shards], exclusions)
    marks_b = mark_rows(stores_b, [shard.rows_b for shard in shards], exclusions)
    ends = np.cumsum([shard.n_samples for shard in shards])
    parts = np.split(taken, ends[:-1])
    return [_seen_of(*shard) for shard in zip(shards, parts, marks_a, marks_b, strict=True)]


def _seen_of(shard: AlignedShard, taken: np.ndarray, marks_a: RowMarks, marks_b: RowMarks) -> _Seen:
    kept = taken[shard.a.sample]
    first = kept & (
        shard.a.holding(marks_a.first_position) | shard.b.holding(marks_b.first_position)
    )
    high = kept & (shard.a.holding(marks_a.high_norm) | shard.b.holding(marks_b.high_norm))
    n_special = sum(
        int(taken[rows.sample[~rows.content]].sum()) for rows in (shard.rows_a, shard.rows_b)
    )
    a, b = (positions.some(kept & ~first & ~high) for positions in (shard.a, shard.b))
    left_out = LeftOut(n_special, int(first.sum()), int((high & ~first).sum()))
    return _Seen(a, b, np.bincount(a.sample, minlength=shard.n_samples), left_out)


def _side(stores: Sequence[StoreReader], positions: list[AlignedPositions], view: View) -> Side:
    pilot = reduce(Moments.merge, [store.moments() for store in stores])
    quiet = np.zeros(len(pilot.mean), bool)
    if view.exclusions.variance_floor:
        whole = reduce(Moments.merge, map(whole_moments, stores))
        quiet = quiet_neurons(whole, view.exclusions.variance_floor)
    return Side(stores, positions, pilot.mean, quiet)


def _used(positions: list[AlignedPositions], used: np.ndarray) -> list[AlignedPositions]:
    """Return the positions of every shard that are used; `used` is over all shards."""
    parts = np.split(used, np.cumsum([len(shard) for shard in positions])[:-1])
    return [shard.some(part) for shard, part in zip(positions, parts, strict=True)]


@dataclass(frozen=True)
class StoredPair:
    """Where the stores of a pair are, and what is looked at: small enough for a worker's task.

    Attributes
    ----------
    folder_a, folder_b : str
        Folders of the shard stores.
    identity : str
        Digest of the stores (`pair_identity`).
    view : View
        Which samples, positions and neurons are looked at.
    """

    folder_a: str
    folder_b: str
    identity: str
    view: View = WHOLE

    def open(self) -> AlignedPair:
        """Open and align the stores; a process that works on many tiles of a pair does it once.

        Raises
        ------
        StoreError
            If the stores are not those of `identity`, or do not fit together.
        """
        return _opened(self)


@lru_cache(maxsize=1)
def _opened(pair: StoredPair) -> AlignedPair:
    folder_a, folder_b = Path(pair.folder_a), Path(pair.folder_b)
    if pair_identity(folder_a, folder_b) != pair.identity:
        raise StoreError(
            f"{pair.folder_a}, {pair.folder_b}: the stores changed while they were being worked "
            "on. Run again."
        )
    a, b = (_opened_stores(folder, pair.identity) for folder in (folder_a, folder_b))
    return align_pair(a, b, pair.view)


@lru_cache(maxsize=2)
def _opened_stores(folder: Path, identity: str) -> Sequence[StoreReader]:
    """Open one side of a pair (`identity`); its views, such as 16 of null models and sweeps, share
    it.
    """
    return open_stores(folder)


def pair_identity(folder_a: Path, folder_b: Path) -> str:
    """Return a digest of what the stores of both models hold, by their manifests."""
    return digest_json([store_manifests(folder) for folder in (folder_a, folder_b)])
