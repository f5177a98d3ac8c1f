"""Peak resident size of `rosetta match` against its budget."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from commands import ROSETTA


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder", type=Path, help="folder with the stores a/ and b/ (benchmarks/stores.py)"
    )
    parser.add_argument("--budgets", nargs="+", type=float, default=[1, 2, 4, 8, 16])
    parser.add_argument(
        "--options", nargs=argparse.REMAINDER, default=[], help="passed on to `rosetta match`"
    )
    args = parser.parse_args()
    rows = []
    for budget in args.budgets:
        with tempfile.TemporaryDirectory() as scratch:
            stores = ["--a", str(args.folder / "a"), "--b", str(args.folder / "b")]
            out = ["--out", str(Path(scratch) / "m.parquet"), "--memory-gb", str(budget)]
            # A process of its own, so that the peak of its only child is that of this run.
            code = (
                "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
                + ("print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
            )
            command = [sys.executable, "-c", code, *ROSETTA, "match", *stores, *out, *args.options]
            peak = int(
                subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[
                    -1
                ]
            )
        gigabytes = peak * 1024 / 1e9
        rows.append(
            {
                "budget_gb": budget,
                "peak_gb": round(gigabytes, 2),
                "ratio": round(gigabytes / budget, 2),
            }
        )
        print(rows[-1], flush=True)
    print(pd.DataFrame(rows).to_markdown(index=False))


if __name__ == "__main__":
    main()
