"""Time of `rosetta match`, everything included, over the time of one plain product of the same
shape: in float32 (`ratio`), and in what the run multiplies (`bare_ratio`).

All are timed in one run, in turns, so that other load on the machine falls on all. `cpu` is
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
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--options", nargs=argparse.REMAINDER, default=[], help="passed on to `rosetta match`"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
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
            bare = {
                precision: plain_product(n_positions, n_a, n_b, precision)
                for precision in dict.fromkeys(["float32", *args.run])
                if precision != "screened"
            }
            for precision, (seconds, cpu) in bare.items():
                gflops = 2 * n_positions * n_a * n_b / seconds / 1e9
                print(
                    f"plain {precision} product: {seconds:.1f} s, {gflops:.0f} GFLOP/s, {cpu:.1f} "
                    "s of processor time"
                )
            plain, plain_cpu = bare["float32"]
            for run in args.run:
                method = ["--method", "screened"] if run == "screened" else ["--precision", run]
                method += ["--memory-gb", args.memory_gb, "--threads", str(args.threads)]
                out = Path(scratch) / f"{run}.parquet"
                seconds, cpu = match(args.folder, out, *method, *args.options)
                found = pd.read_parquet(out, columns=["layer_a", "unit_a", "layer_b", "unit_b"])
                matches[run] = set(map(tuple, found.itertuples(index=False)))
                row = {"run": run, "turn": turn, "seconds": seconds, "cpu": cpu}
                row |= {"ratio": seconds / plain, "cpu_ratio": cpu / plain_cpu}
                row |= {"bare_ratio": cpu / bare[run][1]} if run in bare else {}
                rows.append(row)
    print(pd.DataFrame(rows).round(3).to_string(index=False))
    base = matches[args.run[0]]
    for run, found in matches.items():
        print(
            f"{run}: {len(found)} matches, Jaccard with {args.run[0]} "
            f"{len(found & base) / len(found | base):.4f}"
        )


if __name__ == "__main__":
    main()
