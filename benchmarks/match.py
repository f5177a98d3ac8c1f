"""Time of `rosetta match`, everything included, over the time of one plain float32 product of the same shape.

Both are timed in one run, in turns, so that other load on the machine falls on both.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch

from rosetta.activations.folders import open_stores

ROWS = 4096


def plain_product(n_positions: int, n_a: int, n_b: int, precision: str) -> float:
    """Return the seconds of Aᵀ·B, n_positions × n_a by n_positions × n_b, made of resident blocks of rows."""
    dtype = getattr(torch, precision)
    a, b = torch.randn(ROWS, n_a, dtype=dtype), torch.randn(ROWS, n_b, dtype=dtype)
    out = torch.zeros(n_a, n_b, dtype=dtype)
    start = time.perf_counter()
    for _ in range(n_positions // ROWS):
        out.addmm_(a.T, b)
    return time.perf_counter() - start


def match(folder: Path, out: Path, *options: str) -> tuple[float, float]:
    """Return seconds and peak resident GB of `rosetta match`."""
    command = ["rosetta", "match", "--a", str(folder / "a"), "--b", str(folder / "b"), "--out", str(out), *options]
    start = time.perf_counter()
    subprocess.run(command, check=True, stderr=sys.stderr)
    seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with the stores a/ and b/ (benchmarks/stores.py)")
    parser.add_argument("--run", nargs="+", default=["float32", "bfloat16"], help="precisions, or `screened`")
    parser.add_argument("--memory-gb", default="4")
    parser.add_argument("--repeat", type=int, default=1)
    args = parser.parse_args()
    first = {side: open_stores(args.folder / side) for side in "ab"}
    n_a, n_b = (first[side][0].n_layers * first[side][0].d_mlp for side in "ab")
    n_positions = sum(store.n_positions for store in first["a"])
    print(f"{n_positions} positions, {n_a} × {n_b} neurons, {first['a'][0].dtype}, {torch.get_num_threads()} threads")
    rows, matches = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for turn in range(args.repeat):
            plain = plain_product(n_positions, n_a, n_b, "float32")
            print(f"plain float32 product: {plain:.1f} s, {2 * n_positions * n_a * n_b / plain / 1e9:.0f} GFLOP/s")
            for run in args.run:
                method = ["--method", "screened"] if run == "screened" else ["--precision", run]
                out = Path(scratch) / f"{run}.parquet"
                seconds, peak = match(args.folder, out, "--memory-gb", args.memory_gb, *method)
                found = pd.read_parquet(out, columns=["layer_a", "unit_a", "layer_b", "unit_b"])
                matches[run] = set(map(tuple, found.itertuples(index=False)))
                rows.append({"run": run, "turn": turn, "seconds": seconds, "ratio": seconds / plain, "peak_gb": peak})
    print(pd.DataFrame(rows).round(3).to_string(index=False))
    base = matches[args.run[0]]
    for run, found in matches.items():
        print(f"{run}: {len(found)} matches, Jaccard with {args.run[0]} {len(found & base) / len(found | base):.4f}")


if __name__ == "__main__":
    main()
