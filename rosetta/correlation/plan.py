"""The planner: which tiles a pair is cut into under a memory budget. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from rosetta.config import Correlation, Dask
from rosetta.config.base import GB
from rosetta.config.intervals import Intervals
from rosetta.errors import PlanError
from rosetta.models.placement import PROCESS_BYTES

ROWS = 4096  # aligned positions per block of rows
RUN_ROWS = 16_384  # positions summed in float32 before they are added to float64 sums
# positions that are permuted, or whose samples are exchanged, among themselves, in memory
WINDOW = 16_384
# A listed pair costs about this many times its share of a dense product.
LISTED_COST = 50
REORDERED = (
    WINDOW + 2 * ROWS
)  # rows of a side held to be permuted: a window, and two blocks gathered from it
# Bytes per value of a block of rows: two blocks, the raw chunk and the copies made while it is
# decoded.
ROW_VALUE_BYTES = {"float32": 20, "bfloat16": 22, "float64": 28}
# Strips that the reduction to nearest neighbours copies.
STRIP_BYTES = 500_000_000
# Where each aligned position lies in either model's stores.
POSITION_BYTES = 24


class Workers(NamedTuple):
    """Who shares a memory budget: `n` tasks at once, in threads or in processes."""

    n: int = 1
    processes: bool = False


ALONE = Workers()


class Budget(NamedTuple):
    """The memory of a job.

    Attributes
    ----------
    memory_gb : float
        Of all workers together.
    workers : Workers
        Who shares it.
    of_gpu : bool
        Whether it is what a GPU leaves of `correlation.memory_gb`.
    """

    memory_gb: float
    workers: Workers = ALONE
    of_gpu: bool = False

    @classmethod
    def of(cls, correlation: Correlation, dask: Dask) -> Budget:
        """Return `correlation.memory_gb` and who shares it; workers on other machines have it
        each.
        """
        workers = Workers(dask.n_workers, dask.scheduler == "processes") if dask.local else ALONE
        return cls(correlation.memory_gb, workers)

    def on_gpu(self, n_bytes: float, held: float) -> Budget:
        """Return the budget on a GPU of so many bytes, `held` of which live models take."""
        left = max(n_bytes - held, 0.0) / GB
        return self if left >= self.memory_gb else self._replace(memory_gb=left, of_gpu=True)

    @property
    def words(self) -> str:
        """The key and the value, for messages."""
        if self.of_gpu:
            return f"devices.gpu_memory_gb: {self.memory_gb:.4g} beside the models"
        return f"correlation.memory_gb: {self.memory_gb:g}"


class PairSize(NamedTuple):
    """Neurons of either model of a pair, and its aligned positions."""

    n_a: int
    n_b: int
    n_positions: int


class Tile(NamedTuple):
    """A rectangle of the correlation matrix: half-open ranges of layer · d_mlp + unit."""

    a_low: int
    a_high: int
    b_low: int
    b_high: int

    @property
    def size(self) -> tuple[int, int]:
        """Neurons of either model."""
        return self.a_high - self.a_low, self.b_high - self.b_low

    def halves(self) -> tuple[Tile, Tile]:
        """Return the tile in two parts, cut across its wider side."""
        a_low, a_high, b_low, b_high = self
        if a_high - a_low >= b_high - b_low:
            middle = (a_low + a_high) // 2
            return self._replace(a_high=middle), self._replace(a_low=middle)
        middle = (b_low + b_high) // 2
        return self._replace(b_high=middle), self._replace(b_low=middle)


@dataclass(frozen=True)
class TilePlan:
    """The tiles of a pair and what they cost.

    Attributes
    ----------
    tiles : tuple of Tile
        In row-major order; together they cover the matrix once.
    peak_bytes : int
        Estimated peak memory of a job.
    """

    tiles: tuple[Tile, ...]
    peak_bytes: int


def plan_tiles(
    size: PairSize,
    budget: Budget,
    *,
    precision: str = "float32",
    held: tuple[int, int] = (0, 0),
    n_orders: int = 1,
) -> TilePlan:
    """Cut an n_a × n_b matrix into the fewest near-square tiles that fit the memory.

    Parameters
    ----------
    size : PairSize
        Neurons and aligned positions of the pair.
    budget : Budget
        Memory, and who shares it.
    precision : {'float32', 'bfloat16', 'float64'}
        What is multiplied.
    held : (int, int)
        Rows of either model that are held to be permuted or reordered.
    n_orders : int
        Orders of the positions that are correlated in one pass.

    Raises
    ------
    PlanError
        If not even a tile of 64 × 64 neurons fits.
    """

    def work(width_a: int, width_b: int) -> int:
        widths = PairSize(width_a, width_b, size.n_positions)
        return tile_bytes(widths, precision, held, n_orders)

    (width_a, width_b), peak = _fit(work, size, budget)
    edges_a, edges_b = _edges(size.n_a, width_a), _edges(size.n_b, width_b)
    tiles = tuple(Tile(*a, *b) for a in edges_a for b in edges_b)
    return TilePlan(tiles, peak)


def plan_orders(
    size: PairSize,
    budget: Budget,
    n_orders: int,
    *,
    precision: str = "float32",
    held: tuple[int, int] = (0, 0),
) -> tuple[TilePlan, int]:
    """Return the tiles, and how many orders of the positions share a pass, for the fewest passes.

    With memory for the sums of the whole matrix in 3 orders, 5 orders take 2 passes, of 3 and 2
    orders: fewer than 5 passes of one order, or 4 tiles in all orders at once.

    Parameters are those of `plan_tiles`; `n_orders` is how many are wanted.

    Raises
    ------
    PlanError
        If not even a tile of 64 × 64 neurons fits.
    """
    best = plan_tiles(size, budget, precision=precision, held=held), 1
    for n in range(2, n_orders + 1):
        try:
            plan = plan_tiles(size, budget, precision=precision, held=held, n_orders=n)
        except PlanError:  # of so many orders at once, which more would not be either
            break
        if n_passes(plan, n, n_orders) < n_passes(*best, n_orders):
            best = plan, n
    return best


def n_passes(plan: TilePlan, at_once: int, n_orders: int) -> int:
    """Return how often both sides are read for all orders, `at_once` of them in a pass."""
    return len(plan.tiles) * -(-n_orders // at_once)


@dataclass(frozen=True)
class ScreenPlan:
    """How a pair is screened.

    Attributes
    ----------
    n_rows : int
        Rows m of the sketches.
    edges_a, edges_b : tuple of (int, int)
        Ranges of neurons that are worked on together.
    peak_bytes : int
        Estimated peak memory of a job.
    held : bool
        Whether the directions of all sketches fit beside the exact pairs, so that they are read
        once.
    """

    n_rows: int
    edges_a: tuple[tuple[int, int], ...]
    edges_b: tuple[tuple[int, int], ...]
    peak_bytes: int
    held: bool = False

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """All rectangles of a range of A and a range of B."""
        return tuple(Tile(*a, *b) for a in self.edges_a for b in self.edges_b)


def plan_screen(size: PairSize, budget: Budget, n_rows: int | None = None) -> ScreenPlan:
    """Choose the rows of the sketches, and cut the neurons into ranges that fit the memory budget.

    Parameters are those of `plan_tiles`; `n_rows` is a choice of the user.

    Raises
    ------
    PlanError
        If not even ranges of 64 neurons fit.
    """
    n_rows = sketch_rows(size.n_positions, n_rows)

    def work(width_a: int, width_b: int) -> int:
        # The widest of the phases: folding one side, comparing sketches, exact pairs in a second
        # pass.
        folding = (ROW_VALUE_BYTES["float32"] * min(n_rows, ROWS) + 8 * n_rows) * max(
            width_a, width_b
        )
        comparing = (
            10 * n_rows * (width_a + width_b)
            + 4 * width_a * width_b
            + min(STRIP_BYTES, 8 * width_a * width_b)
        )
        second = (ROW_VALUE_BYTES["float32"] + 4) * ROWS * (width_a + width_b)
        return max(folding, comparing, second)

    def holding(width_a: int, width_b: int) -> int:
        second = (ROW_VALUE_BYTES["float32"] + 4) * ROWS * (width_a + width_b)
        return max(work(width_a, width_b), second + 4 * n_rows * (width_a + width_b))

    (width_a, width_b), peak = _fit(work, size, budget)
    edges_a, edges_b = _edges(size.n_a, width_a), _edges(size.n_b, width_b)
    held = (width_a, width_b) == size[:2] == _fit(holding, size, budget)[0]
    return ScreenPlan(n_rows, tuple(edges_a), tuple(edges_b), peak, held)


def shard_ranges(
    n_shards: int, size: PairSize, plan: ScreenPlan, n_workers: int
) -> tuple[tuple[int, int], ...]:
    """Return ranges of shards, each of which is folded into one sketch.

    To save a sketch and to read it costs as much as to fold a few times its rows. So shards are
    folded together until that is little, 64 times as many positions, which a killed job may repeat;
    but all workers have a range.
    """
    n_ranges = len(plan.edges_a) + len(plan.edges_b)
    wanted = max(-(-size.n_positions // (64 * plan.n_rows)), -(-n_workers // n_ranges))
    return tuple(_edges(n_shards, -(-n_shards // wanted)))


def sketch_rows(n_positions: int, chosen: int | None = None) -> int:
    """Return the rows of the sketches, unless the user chose them.

    The more rows, the more neurons are certified by their first candidates; one sixteenth of the
    positions costs one sixteenth of the exact method to compare.
    """
    return chosen or min(max(1024, 2 ** int(math.log2(max(n_positions // 16, 1)))), 16_384)


def _fit(
    work: Callable[[int, int], int], size: PairSize, budget: Budget
) -> tuple[tuple[int, int], int]:
    """Return the largest widths that fit the budget, and all workers' peak memory.

    The wider side is halved until it fits. 8,000 × 3,000 neurons and 10⁶ positions, in 1 GB, alone
    and in float32: the whole is estimated at 2.01 GB, 4,000 × 3,000 at 1.44, 2,000 × 3,000 at 1.15,
    and 2,000 × 1,500 at 0.97, which fits: 4 × 2 tiles.
    """
    memory_gb, workers, _ = budget

    def peak(width_a: int, width_b: int) -> int:
        mine, shared = work(width_a, width_b), PROCESS_BYTES + POSITION_BYTES * size.n_positions
        return (
            workers.n * (mine + shared) + PROCESS_BYTES
            if workers.processes
            else workers.n * mine + shared
        )

    width_a, width_b = size.n_a, size.n_b
    while peak(width_a, width_b) > memory_gb * GB:
        if width_a <= 64 and width_b <= 64:
            needed = math.ceil(peak(width_a, width_b) / GB * 100) / 100
            raise PlanError(f"{budget.words} is too little; at least {needed:.2f} is needed.")
        # Halve the wider side, in equal parts, until the work fits.
        if width_a >= width_b:
            width_a = -(-width_a // 2)
        else:
            width_b = -(-width_b // 2)
    return (width_a, width_b), peak(width_a, width_b)


def check_budget(
    size: PairSize, budget: Budget, correlation: Correlation, held: tuple[int, int] = (0, 0)
) -> None:
    """Check that some tile of a pair fits the memory budget, before positions are known.

    `size`, `budget` and `held` are those of `plan_tiles`.

    Raises
    ------
    PlanError
        If it does not.
    """
    size = size._replace(n_positions=ROWS)
    if correlation.method == "screened":
        plan_screen(size, budget, correlation.screening.sketch_rows)
    plan_tiles(size, budget, held=held)


def cell_bytes(precision: str, n_positions: int) -> int:
    """Return the bytes that the sums of one pair of neurons take (see `Products`)."""
    if precision == "float64":
        return 8
    return 4 if n_positions <= RUN_ROWS else 12  # a run in float32, and the runs before it


def checkpoint_bytes(plan: TilePlan, n_at_once: int, of_cell: int) -> int:
    """Return the disk that checkpoints of passes over a pair take at most, so many at once.

    Each has the sums of a tile, `of_cell` bytes per pair of neurons; the last one stays until the
    next one is whole.
    """
    return 2 * n_at_once * of_cell * max(math.prod(tile.size) for tile in plan.tiles)


def tile_bytes(
    tile: PairSize, precision: str, held: tuple[int, int] = (0, 0), n_orders: int = 1
) -> int:
    """Return the estimated memory of working on one tile of these neurons and positions."""
    n_a, n_b, n_positions = tile
    cells = n_a * n_b
    rows = ROW_VALUE_BYTES[precision] * min(ROWS, n_positions) * (n_a + n_b)
    rows += (8 if precision == "float64" else 4) * (held[0] * n_a + held[1] * n_b)
    return (
        cell_bytes(precision, n_positions) * cells * n_orders + rows + min(STRIP_BYTES, 8 * cells)
    )


def fits_rematch(
    size: PairSize, budget: Budget, settings: Intervals, precision: str = "float32"
) -> bool:
    """Whether a pair is matched again on every half-sample (`resample.rematch`).

    It makes all products once and holds those of all blocks; then it adds up half of the blocks'
    for every balanced half, whose complement is what is left of their sum.
    """
    n_a, n_b, n_positions = size
    cells = n_a * n_b
    rows = (ROW_VALUE_BYTES[precision] + 4) * ROWS * (n_a + n_b)
    working = (4 * settings.n_blocks + 3 * 8) * cells + min(STRIP_BYTES, 8 * cells) + rows
    share = budget.memory_gb * GB / (budget.workers.n if budget.workers.processes else 1)
    fits = PROCESS_BYTES + POSITION_BYTES * n_positions + working <= share
    return fits and rematch_flops(size, settings) <= settings.max_teraflops * 1e12


def rematch_flops(size: PairSize, settings: Intervals) -> int:
    """Return the operations of matching a pair again on every half-sample."""
    return correlation_flops(size) + settings.n_blocks**2 // 2 * size.n_a * size.n_b


def correlation_flops(size: PairSize) -> int:
    """Return the floating-point operations of the products of one pair."""
    return 2 * size.n_positions * size.n_a * size.n_b


def screen_flops(size: PairSize, n_rows: int) -> int:
    """Return the operations of screening a pair whose neurons the first candidates certify.

    Rotating every row (twice the order of both Hadamard factors), comparing the sketches, and one
    candidate per neuron.
    """
    n_a, n_b, n_positions = size
    run = min(n_rows, ROWS)
    factors = (1 << (run.bit_length() - 1) // 2) + (1 << run.bit_length() // 2)
    return (n_a + n_b) * n_positions * (2 * factors + 2) + 2 * n_rows * n_a * n_b


def screen_bytes(n_a: int, n_b: int, n_rows: int, n_shards: int) -> int:
    """Return the bytes on disk of a pair's sketches."""
    return 4 * n_rows * (n_a + n_b) * n_shards


def _edges(n: int, width: int) -> list[tuple[int, int]]:
    return [(low, min(low + width, n)) for low in range(0, n, width)]
