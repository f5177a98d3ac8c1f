"""The null model `documents`: the second model's samples, exchanged within labels (domains).

Sample d of the first model is paired with sample d' of the second, position i with position i, as
far as both have it (`AlignedPositions.place`). What both models know of a label, and of a place in
a sample, survives; what they read does not. Images are exchanged across labels
(`SampleFacts.strata`): what survives of them is the place of a cell.

Stores are read in order and never copied, so both samples of a pair wait in memory for the later
one. That there are few, samples are exchanged within groups of neighbours of their label.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from rosetta.alignment.samples import SampleFacts
from rosetta.correlation.plan import WINDOW
from rosetta.errors import StoreError

SMALLEST_GROUP = 8  # samples of a label that are exchanged among themselves, where it has as many


@dataclass(frozen=True)
class Reordering:
    """How the samples of one side are brought into the order of the pairs.

    Attributes
    ----------
    lengths : ndarray of int64, shape (n_pairs,)
        Rows of the side's samples, in the order in which they are read.
    order : ndarray of int64, shape (n_pairs,)
        Which of them comes at each place.
    """

    lengths: np.ndarray
    order: np.ndarray

    @property
    def _starts(self) -> np.ndarray:
        """Row at which each sample begins, as they are read; at last where the last one ends."""
        return np.append(0, np.cumsum(self.lengths))

    @property
    def _goes(self) -> np.ndarray:
        """Position at which the sample of each place begins; at last where the last one ends."""
        return np.append(0, np.cumsum(self.lengths[self.order]))

    @property
    def held(self) -> int:
        """Most rows that wait at once."""
        needed = np.maximum.accumulate(
            self.order
        )  # the last sample that has to be read, at each place
        place = np.searchsorted(
            needed, np.arange(len(self.order))
        )  # where reading a sample is waited for
        return int((self._starts[1:] - self._goes[place]).max(initial=0))

    def resumed(self, position: int, rows: int) -> Resumption:
        """Return where reading begins again, in blocks of `rows` rows, for the pairs from
        `position` on, the first of such a block.
        """
        starts, goes, n = self._starts, self._goes, len(self.order)
        place = int(np.searchsorted(goes[1:], position, side="right"))
        sample = int(self.order[place:].min(initial=n))
        begun = self.order[: np.searchsorted(goes[:-1], position)]
        n_read = int(begun.max(initial=-1)) + 1
        row = int(starts[sample]) // rows * rows
        read = min(-(-int(starts[n_read]) // rows) * rows, int(starts[-1]))
        return Resumption(place, position - int(goes[place]), sample, row, read - row)

    def applied(
        self, blocks: Iterator[torch.Tensor], rows: int, position: int = 0
    ) -> Iterator[torch.Tensor]:
        """Yield reordered blocks of `rows` rows (the last may be shorter) from `position` on.

        `blocks` begins with the row that `resumed` tells; with the first one for position 0.
        """
        begin, lengths = self.resumed(position, rows), self.lengths.tolist()
        skipped = int(self._starts[begin.sample]) - begin.row
        waiting = _samples(blocks, self.lengths[begin.sample :], skipped)
        used = set(self.order[: begin.place].tolist())
        held: dict[int, torch.Tensor] = {}
        left, n_read, done = int(self.lengths.sum()) - position, begin.sample, begin.done
        block, filled = None, 0
        for wanted in self.order[begin.place :].tolist():
            while n_read <= wanted:
                sample = next(waiting)
                if n_read not in used:
                    held[n_read] = sample
                n_read += 1
            sample = held.pop(wanted)
            while done < lengths[wanted]:
                if block is None:
                    block = sample.new_empty((min(rows, left), sample.shape[1]))
                taken = min(len(block) - filled, lengths[wanted] - done)
                block[filled : filled + taken] = sample[done : done + taken]
                filled, done = filled + taken, done + taken
                if filled == len(block):
                    yield block
                    block, filled, left = None, 0, left - filled
            done = 0


class Resumption(NamedTuple):
    """Where a side whose samples are reordered is read again, after a part of it was done.

    Attributes
    ----------
    place, done : int
        The first place whose sample is not done, and how many of its rows are.
    sample : int
        The first sample that is still needed, as they are read.
    row : int
        First row of the block that it begins in.
    n_summed : int
        Rows from there on that had been read, and so are in the sums of the columns.
    """

    place: int
    done: int
    sample: int
    row: int
    n_summed: int


def _samples(
    blocks: Iterator[torch.Tensor], lengths: np.ndarray, start: int
) -> Iterator[torch.Tensor]:
    """Yield the rows of one sample after the other; the first begins at row `start` of a block."""
    block = next(blocks)
    for length in lengths.tolist():
        sample, filled = block.new_empty((length, block.shape[1])), 0
        while filled < length:
            if start == len(block):
                block, start = next(blocks), 0
            taken = min(length - filled, len(block) - start)
            sample[filled : filled + taken] = block[start : start + taken]
            filled, start = filled + taken, start + taken
        yield sample


@dataclass(frozen=True)
class Exchange:
    """Which positions of the samples that are paired meet.

    Attributes
    ----------
    used_a, used_b : ndarray of bool, shape (n_positions,)
        Positions of either side whose place the other sample of the pair has too.
    of_a, of_b : Reordering
        How the rows of both sides are brought together.
    """

    used_a: np.ndarray
    used_b: np.ndarray
    of_a: Reordering
    of_b: Reordering


def exchange(lengths: np.ndarray, place: np.ndarray, facts: SampleFacts, seed: int) -> Exchange:
    """Pair every sample of A with another one of B.

    Parameters
    ----------
    lengths : ndarray of int, shape (n_samples,)
        Aligned positions of each sample.
    place : ndarray of int, shape (n_positions,)
        Place of each position in its sample, ascending in each.
    facts : SampleFacts
        Labels and clusters of the samples.
    seed : int
        Which exchange.

    Raises
    ------
    StoreError
        If no sample can be exchanged.
    """
    partner = partners(lengths, facts, seed)
    first = np.flatnonzero(partner >= 0)
    first = first[np.argsort(np.maximum(first, partner[first]), kind="stable")]
    start = np.append(0, np.cumsum(lengths))
    used_a, used_b = np.zeros(len(place), bool), np.zeros(len(place), bool)
    common = np.zeros(len(first), np.int64)
    for i, samples in enumerate(zip(first.tolist(), partner[first].tolist(), strict=True)):
        a, b = (slice(start[sample], start[sample + 1]) for sample in samples)
        used_a[a], used_b[b] = np.isin(place[a], place[b]), np.isin(place[b], place[a])
        common[i] = used_a[a].sum()
    if not common.any():
        raise StoreError(
            "no sample has another one of its label (domain) and of another cluster (source) "
            "to be exchanged with. Give more samples, or set controls.document_seeds to []."
        )
    met = first[common > 0]
    return Exchange(
        used_a,
        used_b,
        _reordering(met, common[common > 0]),
        _reordering(partner[met], common[common > 0]),
    )


def _reordering(samples: np.ndarray, lengths: np.ndarray) -> Reordering:
    """Return how rows that are read sample by sample come into the order of `samples`."""
    read = np.argsort(samples)
    return Reordering(lengths[read], np.argsort(read))


def partners(lengths: np.ndarray, facts: SampleFacts, seed: int) -> np.ndarray:
    """Return the sample of B that each sample of A is paired with; -1 for none.

    No sample is paired with itself, and none with one of its own cluster, unless its label is a
    single cluster's. Every sample of B is paired once at most. A sample that is alone with its
    label has no partner, and what a cluster has beyond half of a group has none. Samples without a
    position are excluded.

    A group has as many neighbouring samples of a label as all labels can have within a window of
    positions (`rosetta.correlation.plan.WINDOW`), at least `SMALLEST_GROUP`.
    """
    partner, rng = np.full(len(lengths), -1), np.random.default_rng(seed)
    read = np.flatnonzero(lengths)
    names, label = np.unique(facts.strata[read], return_inverse=True)
    size = max(SMALLEST_GROUP, WINDOW // max(1, len(names) * int(lengths.max(initial=0))))
    for number in range(len(names)):
        mine = read[label == number]
        single = len(np.unique(facts.clusters[mine])) == 1
        for group in np.array_split(mine, max(1, len(mine) // size)):
            clusters = group if single else facts.clusters[group]
            found, other = _exchanged(clusters, rng)
            partner[group[found]] = group[other]
    return partner


def _exchanged(clusters: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pair the members of a group at random with members of other clusters.

    With clusters side by side in a circle, a step that is as long as the largest of them, or longer
    by both ways round, leaves every one of them. If one has more than half of the group, the step
    is half of it, and what then still meets its own cluster is left out: no pairing has fewer.
    """
    n = len(clusters)
    shuffled = rng.permutation(n)
    names, member = np.unique(clusters[shuffled], return_inverse=True)
    order = shuffled[np.argsort(rng.permutation(len(names))[member], kind="stable")]
    largest = int(np.bincount(member).max())
    step = int(rng.integers(largest, n - largest + 1)) if 2 * largest <= n else n // 2
    other = np.roll(order, -step)
    apart = clusters[order] != clusters[other]
    return order[apart], other[apart]
