"""The planner: which tiles a pair is cut into under a memory budget. Pure arithmetic, inspectable before any work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rosetta.errors import PlanError

GB = 1_000_000_000
ROWS = 4096  # aligned positions per product; sums of this many float32 terms are flushed into float64
# Bytes per cell of a tile: the float64 sums, the float32 product and half again for the reduction's copies.
BYTES_PER_CELL = 18
# Bytes per value of a row buffer: raw chunks, pooled rows, standardised rows, and the copies between them.
BYTES_PER_ROW_VALUE = 24
# Interpreter, libraries and allocator: held back from every budget.
RESERVED = 600_000_000


class Tile(NamedTuple):
    """A rectangle of the correlation matrix: half-open ranges of flat neuron indices (layer · d_mlp + unit)."""

    a_low: int
    a_high: int
    b_low: int
    b_high: int


@dataclass(frozen=True)
class TilePlan:
    """The tiles of a pair and what they cost.

    Attributes
    ----------
    tiles : tuple of Tile
        In row-major order; together they cover the matrix once.
    peak_bytes : int
        Estimated peak memory of a job.
    n_reads : int
        How often each neuron's activations are read, at most.
    """

    tiles: tuple[Tile, ...]
    peak_bytes: int
    n_reads: int


def plan_tiles(n_a: int, n_b: int, memory_gb: float, n_workers: int = 1) -> TilePlan:
    """Cut an n_a × n_b correlation matrix into the fewest near-square tiles of which `n_workers` fit the memory budget.

    Raises
    ------
    PlanError
        If not even a tile of 64 × 64 neurons fits.
    """
    budget = (int(memory_gb * GB) - RESERVED) // n_workers
    width_a, width_b = n_a, n_b
    while tile_bytes(width_a, width_b) > budget:
        if width_a <= 64 and width_b <= 64:
            needed = (RESERVED + n_workers * tile_bytes(width_a, width_b)) / GB
            raise PlanError(f"correlation.memory_gb: {memory_gb:g} is too little; at least {needed:.1f} is needed.")
        # Halve the wider side, in equal parts, until the tile fits.
        if width_a >= width_b:
            width_a = -(-width_a // 2)
        else:
            width_b = -(-width_b // 2)
    a_edges, b_edges = _edges(n_a, width_a), _edges(n_b, width_b)
    tiles = tuple(Tile(*a, *b) for a in a_edges for b in b_edges)
    return TilePlan(tiles, RESERVED + n_workers * tile_bytes(width_a, width_b), max(len(a_edges), len(b_edges)))


def tile_bytes(width_a: int, width_b: int) -> int:
    """Return the estimated memory of working on one tile."""
    return BYTES_PER_CELL * width_a * width_b + BYTES_PER_ROW_VALUE * ROWS * (width_a + width_b)


def correlation_flops(n_a: int, n_b: int, n_positions: int) -> int:
    """Return the floating-point operations of the products of one pair."""
    return 2 * n_positions * n_a * n_b


def _edges(n: int, width: int) -> list[tuple[int, int]]:
    return [(low, min(low + width, n)) for low in range(0, n, width)]
