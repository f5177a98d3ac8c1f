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

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import zarr

from rosetta.correlation.plan import ROWS
from rosetta.correlation.stream import Neurons, Reading, centred_blocks, prefetched
from rosetta.correlation.sums import ColumnTotals
from rosetta.progress import say
from rosetta.storage.atomic import replacing
from rosetta.storage.damage import DamageError
from rosetta.storage.manifests import check_files, describe_files, read_manifest, write_manifest

KIND = "sketch"
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


def sketch_shard(
    neurons: Neurons, shard: int, pooling: str, n_rows: int, dtype: torch.dtype
) -> Sketch:
    """Fold the aligned positions of one shard into `n_rows` rows.

    Parameters
    ----------
    neurons : Neurons
        Of one model of a pair.
    shard : int
        Which of its shards; it also seeds what is drawn, which must differ between shards.
    pooling : str
        Pooling of rows to positions.
    n_rows : int
        m, a power of two.
    dtype : torch.dtype
        What the rotation is multiplied in. bfloat16 adds an error far below that of the sketch.
    """
    run_rows, width = min(n_rows, ROWS), len(neurons)
    sums, ones = ColumnTotals(width), torch.ones((run_rows, 1))
    result = Sketch(torch.zeros((n_rows, width)), torch.zeros(n_rows), sums.total, 0)
    here = replace(neurons, side=neurons.side.of_shard(shard))
    blocks = centred_blocks(here, Reading(pooling, torch.float32, run_rows), sums)
    n_threads = torch.get_num_threads()
    # Strips of columns side by side: the rotation's products are too small to be split themselves.
    with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as threads:
        for run, block in enumerate(prefetched(blocks)):
            drawn = _Draws.of(shard, run, run_rows, n_rows)

            def fold(low: int, block: torch.Tensor = block, drawn: _Draws = drawn) -> None:
                columns = slice(low, low + COLUMNS_AT_ONCE)
                _fold(block[:, columns], drawn, result.rows[:, columns], dtype)

            list(threads.map(fold, range(0, width, COLUMNS_AT_ONCE)))
            _fold(ones[: len(block)], drawn, result.ones[:, None], torch.float32)
            result.n_positions += len(block)
    result.total = sums.total
    return result


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


def _fold(values: torch.Tensor, drawn: _Draws, out: torch.Tensor, dtype: torch.dtype) -> None:
    """Add diag(after) · H · diag(before) · values / √R to the drawn rows of `out`.

    A last, shorter run counts as padded with zeros.
    """
    width, run_rows = values.shape[1], len(drawn.before)
    first, second = _hadamard(run_rows, dtype)
    padded = (
        torch.zeros((run_rows, width), dtype=dtype)
        if len(values) < run_rows
        else torch.empty((run_rows, width), dtype=dtype)
    )
    torch.mul(values, drawn.before[: len(values), None], out=padded[: len(values)])
    inner = torch.bmm(
        second.expand(len(first), -1, -1), padded.view(len(first), len(second), width)
    )
    rotated = (first @ inner.view(len(first), -1)).view(run_rows, width)
    out.index_add_(0, drawn.row, drawn.after[:, None] * rotated, alpha=run_rows**-0.5)


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


def save_sketch(path: Path, sketch: Sketch, identity: str) -> None:
    """Write a sketch as a Zarr group with its manifest beside it; `path` is the manifest's."""
    store = path.with_suffix(".zarr")
    path.unlink(missing_ok=True)
    n_bytes = sum(getattr(sketch, name).nbytes for name in ("rows", "ones", "total"))
    with replacing(store, n_bytes) as temporary:
        group = zarr.create_group(temporary, zarr_format=3)
        for name in ("rows", "ones", "total"):
            values = getattr(sketch, name).numpy()
            chunks = tuple(min(n, COLUMNS_AT_ONCE * 4) for n in values.shape)
            group.create_array(
                name, data=values, chunks=chunks, compressors=[zarr.codecs.Crc32cCodec()]
            )
        files = describe_files(temporary)
    write_manifest(
        path,
        {
            "kind": KIND,
            "made_by": identity,
            "holds": {"n_positions": sketch.n_positions},
            "files": files,
        },
    )


def is_saved(path: Path) -> bool:
    """Tell whether a sketch that a killed job may have left behind is there and whole."""
    if not path.exists():
        return False
    try:
        check_files(path.with_suffix(".zarr"), read_manifest(path, KIND)["files"], path)
    except DamageError as damage:
        say(f"{damage.path}: {damage.what}; making the sketch again")
        return False
    return True


def load_sketch(path: Path) -> Sketch:
    """Read a sketch that `save_sketch` wrote.

    Raises
    ------
    StoreError
        If it is missing or damaged.
    """
    manifest = read_manifest(path, KIND)
    check_files(path.with_suffix(".zarr"), manifest["files"], path)
    group = zarr.open_group(path.with_suffix(".zarr"), mode="r", zarr_format=3)
    try:
        rows, ones, total = (
            torch.from_numpy(np.asarray(group[name])) for name in ("rows", "ones", "total")
        )
    except (ValueError, RuntimeError) as error:
        raise DamageError(path.with_suffix(".zarr"), f"damaged ({error})", path) from None
    return Sketch(rows, ones, total, manifest["holds"]["n_positions"])
