"""Sketches: a model's activations folded into m rows; correlations within ≈ 1/√m.

A sketch is linear and the same random map is applied to both models, so that inner products of
sketches estimate inner products of activations. Aligned positions are taken in runs of R = min(m,
4096) rows. Each run is flipped by random signs, rotated by a Hadamard matrix, flipped again, and
added to R of the m rows: row i of the rotated run to one of the m/R rows i, i + R, …, drawn at
random (docs/screening.md derives the error). The rotation is what a plain count sketch lacks: it
spreads a neuron that fires at a handful of positions over all rows, so that errors are Gaussian for
every neuron, however sparse. Within a run the map is orthogonal and loses nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from rosetta.correlation.kept_arrays import kept_arrays, load_arrays
from rosetta.correlation.plan import ROWS
from rosetta.correlation.stream import Neurons, Reading, centred_blocks, prefetched
from rosetta.correlation.sums import ColumnTotals

SEED = 0x5EED
MAP = 2  # raised when what is drawn changes: what a killed job has left is not used then
COLUMNS_AT_ONCE = 1024  # rotated at once, so that they stay in the processor's cache


@dataclass
class Sketch:
    """Sketch of some neurons over some positions.

    Attributes
    ----------
    rows : Tensor of float32, shape (m, n)
        The folded activations, less their pilot means.
    ones : Tensor of float32, shape (m,)
        The folded constant 1: what a shift of all activations adds to `rows`.
    total : Tensor of float64, shape (n,)
        Sums of the activations less their pilot means.
    n_positions : int
        Positions folded in.
    """

    rows: torch.Tensor
    ones: torch.Tensor
    total: torch.Tensor
    n_positions: int

    def merge(self, other: Sketch) -> Sketch:
        """Return the sketch of the positions of both."""
        return Sketch(
            self.rows.add_(other.rows),
            self.ones + other.ones,
            self.total + other.total,
            self.n_positions + other.n_positions,
        )

    def directions(self) -> torch.Tensor:
        """Return centred columns of unit length, zero for dead neurons. Works in place."""
        mean = (self.total / max(self.n_positions, 1)).float()
        rows = self.rows.addr_(self.ones, mean, alpha=-1.0)
        lengths = torch.linalg.vector_norm(rows, dim=0)
        return rows.mul_(torch.where(lengths > 0, 1 / lengths, 0.0))


def sketch_shards(
    neurons: Neurons, shards: Iterable[int], pooling: str, n_rows: int, dtype: torch.dtype
) -> Sketch:
    """Fold the aligned positions of some shards into `n_rows` rows.

    Parameters
    ----------
    neurons : Neurons
        Of one model of a pair.
    shards : iterable of int
        Which of its shards; each also seeds what is drawn, which must differ between shards.
    pooling : str
        Pooling of rows to positions.
    n_rows : int
        m, a power of two.
    dtype : torch.dtype
        What the rotation is multiplied in. bfloat16 adds an error far below that of the sketch.
    """
    width, n_threads = len(neurons), torch.get_num_threads()
    total = torch.zeros(width, dtype=torch.float64)
    result = Sketch(torch.zeros((n_rows, width)), torch.zeros(n_rows), total, 0)
    rotation = _Rotation(min(n_rows, ROWS), dtype)
    # Strips of columns side by side: the rotation's products are too small to be split themselves.
    with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as threads:
        for shard in shards:
            here = replace(neurons, side=neurons.side.of_shard(shard))
            sums, reading = ColumnTotals(width), Reading(pooling, torch.float32, rotation.rows)
            blocks = centred_blocks(here, reading, sums)
            for run, block in enumerate(prefetched(blocks, n_threads=here.n_threads)):
                drawn = _Draws.of(shard, run, rotation.rows, n_rows)
                _add_run(result, block, drawn, rotation, threads)
            result.total += sums.total
    return result


def _add_run(
    sketch: Sketch,
    block: torch.Tensor,
    drawn: _Draws,
    rotation: _Rotation,
    threads: ThreadPoolExecutor,
) -> None:
    def fold(low: int) -> None:
        columns = slice(low, low + COLUMNS_AT_ONCE)
        rotation.fold(block[:, columns], drawn, sketch.rows[:, columns])

    list(threads.map(fold, range(0, block.shape[1], COLUMNS_AT_ONCE)))
    ones, exactly = torch.ones((len(block), 1)), _Rotation(rotation.rows, torch.float32, width=1)
    exactly.fold(ones, drawn, sketch.ones[:, None])
    sketch.n_positions += len(block)


@dataclass(frozen=True)
class _Draws:
    """What is random about a run: signs before and after the rotation, and the row that each
    rotated row goes to.
    """

    before: torch.Tensor
    after: torch.Tensor
    row: torch.Tensor

    @classmethod
    def of(cls, shard: int, run: int, run_rows: int, n_rows: int) -> _Draws:
        rng = np.random.default_rng([SEED, shard, run])
        before, after = torch.from_numpy(
            rng.integers(0, 2, size=(2, run_rows), dtype=np.int8) * 2 - 1
        ).float()
        group = rng.integers(0, n_rows // run_rows, size=run_rows)
        return cls(before, after, torch.from_numpy(group * run_rows + np.arange(run_rows)))


class _Rotation:
    """Folds runs of positions into sketches.

    Every thread keeps the memory that it works in, because new memory costs as much as the
    products.

    Parameters
    ----------
    rows : int
        Rows R of a run.
    dtype : torch.dtype
        What is multiplied in.
    width : int
        Columns that are rotated at once, at most.
    """

    def __init__(self, rows: int, dtype: torch.dtype, width: int = COLUMNS_AT_ONCE) -> None:
        self.rows = rows
        self._factors, self._shape = _hadamard(rows, dtype), (3, rows, width)
        self._dtype, self._own = dtype, threading.local()

    def fold(self, values: torch.Tensor, drawn: _Draws, out: torch.Tensor) -> None:
        """Add diag(after) · H · diag(before) · values / √R to the drawn rows of `out`.

        A last, shorter run counts as padded with zeros.
        """
        (first, second), width = self._factors, values.shape[1]
        signed, inner, rotated, wide = self._memory(width)
        n_first, n_second = len(first), len(second)
        torch.mul(values, drawn.before[: len(values), None], out=signed[: len(values)])
        signed[len(values) :] = 0
        torch.bmm(
            second.expand(n_first, -1, -1),
            signed.view(n_first, n_second, width),
            out=inner.view(n_first, n_second, width),
        )
        torch.mm(first, inner.view(n_first, -1), out=rotated.view(n_first, -1))
        rotated.mul_(drawn.after.to(self._dtype)[:, None])
        # torch adds what has to be converted at a quarter of the speed.
        added = rotated if wide is None else wide.copy_(rotated)
        out.index_add_(0, drawn.row, added, alpha=len(signed) ** -0.5)

    def _memory(self, width: int) -> tuple[torch.Tensor, ...]:
        """Return the calling thread's memory for three stages, and for the last in float32."""
        own = self._own
        if not hasattr(own, "stages"):
            own.stages = torch.empty(self._shape, dtype=self._dtype)
            own.wide = None if self._dtype == torch.float32 else torch.empty(self._shape[1:])
        cells = self._shape[1] * width
        stages = (stage.view(-1)[:cells].view(-1, width) for stage in own.stages)
        wide = None if own.wide is None else own.wide.view(-1)[:cells].view(-1, width)
        return *stages, wide


@lru_cache(maxsize=4)
def _hadamard(n: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two Sylvester–Hadamard matrices whose Kronecker product is the one of order n."""

    def matrix(order: int) -> torch.Tensor:
        result = torch.ones((1, 1))
        while len(result) < order:
            result = torch.cat(
                [torch.cat([result, result], dim=1), torch.cat([result, -result], dim=1)]
            )
        return result.to(dtype)

    exponent = n.bit_length() - 1
    return matrix(2 ** (exponent - exponent // 2)), matrix(2 ** (exponent // 2))


def keep_sketch(path: Path, make: Callable[[], Sketch]) -> Path:
    """Make and save a sketch, unless a killed job left it whole; return `path`."""

    def arrays() -> dict[str, np.ndarray]:
        sketch = make()
        tensors = {name: getattr(sketch, name).numpy() for name in ("rows", "ones", "total")}
        return {**tensors, "n_positions": np.array(sketch.n_positions)}

    return kept_arrays(path, arrays)


def load_sketch(path: Path) -> Sketch:
    """Return the sketch that `keep_sketch` saved."""
    saved = load_arrays(path)
    n_positions = int(saved.pop("n_positions"))
    tensors = {name: torch.from_numpy(values) for name, values in saved.items()}
    return Sketch(**tensors, n_positions=n_positions)
