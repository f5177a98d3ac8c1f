"""The screened computation of a pair: sketches, candidates, exact rounds, all resumable."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rosetta.correlation.certificates import (
    ROUNDING,
    Computed,
    Open,
    best_missing,
    candidates,
    group_by_tile,
    margin,
    tentative_matches,
    thresholds,
    within_reach,
)
from rosetta.correlation.checkpoints import Checkpoint
from rosetta.correlation.chosen_pairs import ChosenPairs, correlate_chosen
from rosetta.correlation.estimates import (
    ScreenTask,
    best_estimates,
    find_open,
    let_go,
    make_sketches,
)
from rosetta.correlation.kept_arrays import kept_arrays, load_arrays
from rosetta.correlation.neighbors import Neighbors, PairNeighbors
from rosetta.correlation.plan import PairSize, ScreenPlan, Tile
from rosetta.correlation.request import CorrelationRequest
from rosetta.correlation.schedule import run_tasks
from rosetta.correlation.stream import neurons_of
from rosetta.correlation.tiles import correlate_neurons
from rosetta.progress import say

# Above this share of all correlations, computing whole neurons costs as much as the exact method.
MAX_DENSE_SHARE = 0.5
# So many times the candidates of a neuron with many rivals are listed, to see whether it has many.
LISTED_ESTIMATES = 4
# Standard errors that the exact correlation of a neuron's best candidate may lie below its
# estimate: what is out of reach by the estimate is then out of reach.
SHORTFALL = 3.0


@dataclass(frozen=True)
class Screened:
    """Result of the screened method.

    Attributes
    ----------
    neighbors : PairNeighbors
        Exact nearest neighbours as far as they decide about matches.
    n_uncertified : int
        Neurons of both models that the first candidates did not settle.
    n_listed, n_whole : int
        Pairs correlated one by one, and neurons correlated with all others.
    """

    neighbors: PairNeighbors
    n_uncertified: int
    n_listed: int
    n_whole: int


def correlate_screened(
    task: ScreenTask, size: PairSize, plan: ScreenPlan, request: CorrelationRequest
) -> Screened | None:
    """Find the mutual k-nearest neighbours of a pair for all k ≤ max_k.

    Parameters
    ----------
    task : ScreenTask
        The stores, and where what is finished is kept.
    size : PairSize
        Neurons of either model.
    plan : ScreenPlan
        Ranges of neurons that are worked on together.
    request : CorrelationRequest
        How the pair is screened, neighbours to keep, where tasks run.

    Returns
    -------
    Screened or None
        None if so many neurons stay undecided that the exact method costs no more.
    """
    try:
        return _screen(task, size, plan, request)
    finally:
        let_go()


def _screen(
    task: ScreenTask, size: PairSize, plan: ScreenPlan, request: CorrelationRequest
) -> Screened | None:
    screening, max_k = request.settings.screening, request.settings.max_k
    make_sketches(task, plan, request.dask)
    k = LISTED_ESTIMATES * max(screening.n_candidates, max_k)
    estimates = best_estimates(task, size, plan, k, request.dask)
    computed = Computed.nothing(size.n_a, size.n_b)
    computed.dead_a[:], computed.dead_b[:] = estimates.dead_a, estimates.dead_b
    rounds = _Rounds(task, plan, request, computed)
    n_uncertified = rounds.start(estimates)
    say(
        f"{len(computed.key)} candidates computed; {n_uncertified} of {size.n_a + size.n_b} "
        "neurons are not certified by them"
    )
    while rounds.any_open():
        if not rounds.advance():
            return None
    a, b = (_above(computed.neighbors(side, max_k + 1), screening.floor) for side in "ab")
    kept = PairNeighbors(a, b, computed.dead_a, computed.dead_b)
    return Screened(
        kept, n_uncertified, rounds.n_listed, int(computed.full_a.sum() + computed.full_b.sum())
    )


class _Rounds:
    """The exact rounds: what is open, and computing it."""

    def __init__(
        self,
        task: ScreenTask,
        plan: ScreenPlan,
        request: CorrelationRequest,
        computed: Computed,
    ) -> None:
        self.n_listed = 0
        self._task, self._plan, self._dask = task, plan, request.dask
        self._computed, self._k = computed, request.settings.max_k
        self._screening = request.settings.screening
        probability = self._screening.failure_probability
        self._margin = margin(probability, computed.n_a, computed.n_b, task.n_rows)
        self._mutual = True
        self._number = 0
        self._uncertified = [np.ones(computed.n_a, bool), np.ones(computed.n_b, bool)]

    def start(self, estimates: PairNeighbors) -> int:
        """Compute the candidates among the best estimates; return the number of open neurons."""
        sides = estimates.a, estimates.b
        n_candidates = max(self._screening.n_candidates, self._k)
        near = [within_reach(side, self._k, n_candidates, self._rules_out) for side in sides]
        self.compute(*candidates(*near))
        alive, needed = (~self._computed.dead_a, ~self._computed.dead_b), self._thresholds()
        for side, listed in enumerate(sides):
            missing = best_missing(listed, side == 0, self._computed)
            self._uncertified[side] = alive[side] & (missing >= needed[side])
        return int(sum(side.sum() for side in self._uncertified))

    def _rules_out(self, best: np.ndarray) -> np.ndarray:
        """Return the estimates of partners out of reach of neurons, by their best estimates."""
        shortfall = SHORTFALL / np.sqrt(self._task.n_rows - 3)
        return self._needed(best, self._margin + shortfall)

    def _needed(self, best: np.ndarray, margin_: float) -> np.ndarray:
        rounding = ROUNDING[self._task.dtype]
        return thresholds(np.maximum(best, self._screening.floor), margin_, rounding)

    def any_open(self) -> bool:
        """Whether any neuron's state may still change a match."""
        self._open = self._state()
        tentative = any(side.tentative.any() for side in self._open)
        return tentative or (self._mutual and all(side.uncertified.any() for side in self._open))

    def advance(self) -> bool:
        """Compute all that is open; return whether that is cheaper than the exact method."""
        open_a, open_b = self._open
        tasks = [
            (
                self._task,
                t,
                open_a.part(t.a_low, t.a_high),
                open_b.part(t.b_low, t.b_high),
                self._mutual,
            )
            for t in self._plan.tiles
        ]
        found = run_tasks(find_open, tasks, self._dask, label="open pairs")
        u, v, heavy_a, heavy_b = (np.concatenate([part[i] for part in found]) for i in range(4))
        computed = self._computed
        heavy_a, heavy_b = np.unique(heavy_a), np.unique(heavy_b)
        rest_a, rest_b = (~computed.full_a).sum() - len(heavy_a), (~computed.full_b).sum()
        dense = (len(heavy_a) * rest_b + len(heavy_b) * rest_a) / (computed.n_a * computed.n_b)
        say(
            f"{len(u)} open pairs, {len(heavy_a) + len(heavy_b)} neurons to correlate whole "
            f"({dense:.0%} of all pairs)"
        )
        if dense > MAX_DENSE_SHARE:
            return False
        self._compute_whole(heavy_a, heavy_b)
        self.compute(*computed.missing(u, v))
        for side, state in enumerate(self._open):
            self._uncertified[side] &= ~state.tentative
        self._uncertified[0] &= ~computed.full_a
        self._uncertified[1] &= ~computed.full_b
        self._mutual = False
        return True

    def compute(self, u: np.ndarray, v: np.ndarray) -> None:
        """Compute the exact correlations of listed pairs."""
        self._number += 1
        self.n_listed += len(u)
        groups = group_by_tile(u, v, self._plan.tiles)
        done = run_tasks(
            listed_on_disk,
            [(self._task, self._number, tile, u[inside], v[inside]) for tile, inside in groups],
            self._dask,
            label="exact pairs",
        )
        for path, (tile, inside) in zip(done, groups, strict=True):
            r, dead_a, dead_b = _load(path)
            self._computed.dead_a[tile.a_low : tile.a_high] |= dead_a
            self._computed.dead_b[tile.b_low : tile.b_high] |= dead_b
            self._computed.add(u[inside], v[inside], r)

    def _compute_whole(self, heavy_a: np.ndarray, heavy_b: np.ndarray) -> None:
        """Correlate neurons of A with all of B, then neurons of B with those of A that are left."""
        everything = [np.arange(self._computed.n_a), np.arange(self._computed.n_b)]
        for only_a, only_b in (
            (heavy_a, everything[1]),
            (np.setdiff1d(everything[0], heavy_a), heavy_b),
        ):
            self._number += 1
            tasks = []
            for tile in self._plan.tiles:
                some_a = only_a[(only_a >= tile.a_low) & (only_a < tile.a_high)]
                some_b = only_b[(only_b >= tile.b_low) & (only_b < tile.b_high)]
                if len(some_a) and len(some_b):
                    tasks.append((self._task, self._number, tile, some_a, some_b, self._k + 1))
            for path in run_tasks(whole_on_disk, tasks, self._dask, label="whole neurons"):
                self._computed.add(*_load(path))
        self._computed.full_a[heavy_a] = True
        self._computed.full_b[heavy_b] = True

    def _best(self) -> list[np.ndarray]:
        """Return the k-th best known correlation of every neuron, -inf where there are fewer."""
        lists = [self._computed.neighbors(side, self._k) for side in "ab"]
        return [np.nan_to_num(side.r[:, -1], nan=-np.inf) for side in lists]

    def _thresholds(self) -> list[np.ndarray]:
        dead = self._computed.dead_a, self._computed.dead_b
        return [
            np.where(none, np.inf, self._needed(best, self._margin))
            for best, none in zip(self._best(), dead, strict=True)
        ]

    def _state(self) -> tuple[Open, Open]:
        a, b = (self._computed.neighbors(side, self._k) for side in "ab")
        matched = tentative_matches(a, b, self._screening.floor)
        open_a, open_b = (
            Open(threshold, uncertified, uncertified & tentative)
            for threshold, uncertified, tentative in zip(
                self._thresholds(), self._uncertified, matched, strict=True
            )
        )
        return open_a, open_b


def listed_on_disk(task: ScreenTask, number: int, tile: Tile, u: np.ndarray, v: np.ndarray) -> Path:
    """Correlate a tile's listed pairs unless on disk; return the file of (r, dead_a, dead_b)."""
    return _once(
        Path(task.scratch) / f"listed-{number}-{'-'.join(map(str, tile))}.npz",
        lambda: correlate_chosen(task.pair.open(), ChosenPairs(tile, u, v), task.pooling),
    )


def whole_on_disk(
    task: ScreenTask, number: int, tile: Tile, only_a: np.ndarray, only_b: np.ndarray, k: int
) -> Path:
    """Correlate chosen neurons of a tile unless on disk; return the file of (u, v, r)."""
    path = Path(task.scratch) / f"whole-{number}-{'-'.join(map(str, tile))}.npz"
    partial = path.with_suffix("")

    def make() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        neurons = neurons_of(task.pair.open(), tile, only_a - tile.a_low, only_b - tile.b_low)
        checkpoint = Checkpoint(partial / "sums.npz")
        (found,) = correlate_neurons(*neurons, task.pooling, "float32", checkpoint)
        nearest = found.nearest(k)
        of_a, of_b = nearest.a, nearest.b
        i, rank = np.nonzero(of_a.index >= 0)
        j, back = np.nonzero(of_b.index >= 0)
        u = np.concatenate([only_a[i], only_a[of_b.index[j, back]]])
        v = np.concatenate([only_b[of_a.index[i, rank]], only_b[j]])
        return u, v, np.concatenate([of_a.r[i, rank], of_b.r[j, back]])

    _once(path, make)
    shutil.rmtree(partial, ignore_errors=True)
    return path


def _once(path: Path, make: Callable[[], tuple[np.ndarray, ...]]) -> Path:
    return kept_arrays(path, lambda: {f"part_{i}": part for i, part in enumerate(make())})


def _load(path: Path) -> list[np.ndarray]:
    return list(load_arrays(path).values())


def _above(neighbors: Neighbors, min_r: float) -> Neighbors:
    """Leave out partners below the floor: they are not certified."""
    kept = neighbors.r >= min_r
    return Neighbors(np.where(kept, neighbors.index, -1), np.where(kept, neighbors.r, np.nan))
