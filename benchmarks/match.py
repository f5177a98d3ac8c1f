"""Time of `rosetta match`, everything included, over the time of one plain float32 product of the
same shape.

Both are timed in one run, in turns, so that other load on the machine falls on both. `cpu` is
processor time, which other load changes least.
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
from commands import ROSETTA

from rosetta.activations.folders import open_stores

ROWS = 4096


def plain_product(n_positions: int, n_a: int, n_b: int, precision: str) -> tuple[float, float]:
    """Return the seconds, and processor seconds, of Aᵀ·B, both with n_positions rows, from blocks
    in memory.
    """
    dtype = getattr(torch, precision)
    a, b = torch.randn(ROWS, n_a, dtype=dtype), torch.randn(ROWS, n_b, dtype=dtype)
    out = torch.zeros(n_a, n_b, dtype=dtype)
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(n_positions // ROWS):
        out.addmm_(a.T, b)
    return time.perf_counter() - start, time.process_time() - cpu


def match(folder: Path, out: Path, *options: str) -> tuple[float, float]:
    """Return the seconds, and processor seconds, of `rosetta match`."""
    command = [
        *ROSETTA,
        "match",
        "--a",
        str(folder / "a"),
        "--b",
        str(folder / "b"),
        "--out",
        str(out),
        *options,
    ]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stderr=sys.stderr)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder", type=Path, help="folder with the stores a/ and b/ (benchmarks/stores.py)"
    )
    parser.add_argument(
        "--run", nargs="+", default=["float32", "bfloat16"], help="precisions, or `screened`"
    )
    parser.add_argument("--memory-gb", default="4")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument(
        "--options", nargs=argparse.REMAINDER, default=[], help="passed on to `rosetta match`"
    )
    args = parser.parse_args()
    first = {side: open_stores(args.folder / side) for side in "ab"}
    n_a, n_b = (first[side][0].n_layers * first[side][0].d_mlp for side in "ab")
    n_positions = sum(store.n_positions for store in first["a"])
    print(
        f"{n_positions} positions, {n_a} × {n_b} neurons, {first['a'][0].dtype}, "
        f"{torch.get_num_threads()} threads"
    )
    rows, matches = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for turn in range(args.repeat):
            plain, plain_cpu = plain_product(n_positions, n_a, n_b, "float32")
            gflops = 2 * n_positions * n_a * n_b / plain / 1e9
            print(
                f"plain float32 product: {plain:.1f} s, {gflops:.0f} GFLOP/s, {plain_cpu:.1f} s "
                "of processor time"
            )
            for run in args.run:
                method = ["--method", "screened"] if run == "screened" else ["--precision", run]
                out = Path(scratch) / f"{run}.parquet"
                seconds, cpu = match(
                    args.folder, out, "--memory-gb", args.memory_gb, *method, *args.options
                )
                found = pd.read_parquet(out, columns=["layer_a", "unit_a", "layer_b", "unit_b"])
                matches[run] = set(map(tuple, found.itertuples(index=False)))
                row = {"run": run, "turn": turn, "seconds": seconds, "cpu": cpu}
                rows.append({**row, "ratio": seconds / plain, "cpu_ratio": cpu / plain_cpu})
    print(pd.DataFrame(rows).round(3).to_string(index=False))
    base = matches[args.run[0]]
    for run, found in matches.items():
        print(
            f"{run}: {len(found)} matches, Jaccard with {args.run[0]} "
            f"{len(found & base) / len(found | base):.4f}"
        )


if __name__ == "__main__":
    main()
