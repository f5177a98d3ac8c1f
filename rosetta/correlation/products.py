"""Backends of the products Σ a·b: what the numbers are multiplied in, and where their sums live."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from rosetta.correlation.plan import RUN_ROWS
from rosetta.errors import ConfigError
from rosetta.models.devices import CPU, best_device

# On CPUs torch rounds a bfloat16 product to bfloat16 when it is done. Short runs keep those single
# roundings small and independent: their relative error is 2⁻⁹ at most each, and falls with the
# square root of the number of runs.
BFLOAT16_ROWS = 2048
# Columns of A per product, so that temporaries stay small.
STRIP_COLUMNS = 1024
# Rows of sums that are added to others of another dtype at once. torch makes a converted copy of
# what it adds: of so few rows it stays in the cache, of more it takes several times as long.
ADDED_ROWS = 64


def has_fast_bfloat16() -> bool:
    """Whether this machine multiplies bfloat16 natively: a CUDA device, AVX512-BF16 or AMX."""
    return (
        torch.cuda.is_available()
        or torch.cpu._is_avx512_bf16_supported()
        or torch.cpu._is_amx_tile_supported()
    )


def resolve_precision(precision: str) -> str:
    """Return the backend that `auto` stands for here; other names are returned unchanged.

    Parameters
    ----------
    precision : {'auto', 'float32', 'bfloat16', 'float64'}
        `correlation.precision`.

    Raises
    ------
    ConfigError
        If bfloat16 is asked for where only emulation is at hand, which is slower than float32.
    """
    if precision == "auto":
        return "bfloat16" if has_fast_bfloat16() else "float32"
    if precision == "bfloat16" and not has_fast_bfloat16():
        raise ConfigError(
            "correlation.precision: bfloat16 is not native to this machine. Use float32 or auto."
        )
    return precision


def product_device(precision: str) -> torch.device:
    """Return where products are computed: a GPU if any; the CPU for float64."""
    return CPU if precision == "float64" else best_device()


def add_products(sums: torch.Tensor, a: torch.Tensor, b: torch.Tensor, precision: str) -> None:
    """Add products of rows a (n, n_a) and b (n, n_b) to sums (n_a, n_b)."""
    if precision == "float64":
        if sums.dtype == a.dtype:
            sums.addmm_(a.T, b)
        else:  # those of a block, which are kept in float32
            sums += a.T @ b
    elif precision == "float32":
        sums.addmm_(a.T, b)
    elif sums.device.type == "cuda":
        a, b = a.bfloat16(), b.bfloat16()
        torch.ops.aten.addmm.dtype_out(sums, a.T, b, torch.float32, out=sums)
    else:
        out = torch.empty((STRIP_COLUMNS, b.shape[1]), dtype=torch.bfloat16)
        for row in range(0, len(a), BFLOAT16_ROWS):
            some_a = a[row : row + BFLOAT16_ROWS].bfloat16()
            some_b = b[row : row + BFLOAT16_ROWS].bfloat16()
            for low in range(0, a.shape[1], STRIP_COLUMNS):
                strip = some_a[:, low : low + STRIP_COLUMNS]
                product = torch.mm(strip.T, some_b, out=out[: strip.shape[1]])
                add_converted(sums[low : low + STRIP_COLUMNS], product)


def add_converted(sums: torch.Tensor, more: torch.Tensor) -> None:
    """Add sums of another dtype to sums, in place."""
    for low in range(0, len(sums), ADDED_ROWS):
        sums[low : low + ADDED_ROWS] += more[low : low + ADDED_ROWS]


class Products:
    """The sums Σ_n a_nu b_nv of a tile.

    Parameters
    ----------
    n_a, n_b : int
        Neurons of either side.
    precision : {'float32', 'bfloat16', 'float64'}
        What is multiplied. float32 and bfloat16 products are summed in float32 over runs of at most
        `RUN_ROWS` rows, and the runs in float64, which takes memory once there is a second run.
    """

    def __init__(self, n_a: int, n_b: int, precision: str) -> None:
        self.device = product_device(precision)
        self.shape = n_a, n_b
        self._precision = precision
        # float64 sums are one run without an end.
        dtype = torch.float64 if precision == "float64" else torch.float32
        self._run_rows = math.inf if precision == "float64" else RUN_ROWS
        self._run, self._rows_in_run = torch.zeros(self.shape, dtype=dtype, device=self.device), 0
        self._total: torch.Tensor | None = None  # of the runs before this one

    def add(self, a: torch.Tensor, b: torch.Tensor) -> None:
        """Add rows a (n, n_a) and b (n, n_b)."""
        a, b = a.to(self.device), b.to(self.device)
        if self._rows_in_run + len(a) > self._run_rows:
            self._flush()
        self._rows_in_run += len(a)
        add_products(self._run, a, b, self._precision)

    def state(self) -> dict[str, np.ndarray]:
        """Return what `add` has summed so far, for `restore`."""
        found = {"run": self._run.cpu().numpy(), "rows": np.array(self._rows_in_run)}
        return found if self._total is None else {**found, "total": self._total.cpu().numpy()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state of products of the same shape and precision."""
        # In place of the zeros, not beside them.
        self._run = torch.from_numpy(state["run"]).to(self.device)
        self._rows_in_run = int(state["rows"])
        if "total" in state:
            self._total = torch.from_numpy(state["total"]).to(self.device)

    def sums(self, rows: slice) -> torch.Tensor:
        """Return the sums of a range of A's neurons: a new float64 tensor of shape (rows, n_b)."""
        found = self._run[rows].to(torch.float64, copy=True)
        return found if self._total is None else found.add_(self._total[rows])

    def _flush(self) -> None:
        """Add the sums of a run to those of the runs before it."""
        if self._total is None:
            self._total = torch.zeros_like(self._run, dtype=torch.float64)
        add_converted(self._total, self._run)
        self._run.zero_()
        self._rows_in_run = 0
