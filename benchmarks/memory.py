"""Peak resident size of `rosetta match` against its budget, on stores or on models that run live.

`--live` makes two untrained models, of the shapes of Pythia and GPT-2, and live stores of them:
nothing is stored, and each pass runs both. A job then takes what the plan reckons for the models,
beside its budget.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from commands import ROSETTA

from rosetta.config.base import GB

# Of the models that run live: 2 × 24,576 neurons, as of the stores in benchmarks/README.md.
SIZE = {"n_layers": 12, "d_model": 128, "d_mlp": 2048, "n_heads": 4}
N_DOCUMENTS, LENGTH, BATCH = 20, 256, 4


def live_stores(folder: Path) -> tuple[tuple[Path, Path], float]:
    """Make live stores of two untrained models; return their folders, and the bytes of memory that
    the plan reckons for running both.
    """
    from published import MODELS, Task, make_models, prepare

    from rosetta.activations.steps import activations_step
    from rosetta.config.zoo import ZooSize
    from rosetta.plan.costs.models import reread_models
    from rosetta.plan.sweep import expected
    from rosetta.run.paths import Paths

    task = Task(folder, N_DOCUMENTS, LENGTH, BATCH, memory_gb=2.0, threads=1)
    make_models(task, ZooSize(**SIZE))
    prepare(task, ["live"])
    config, paths = task.config("live"), Paths(task.results("live"))
    for name in MODELS:
        activations_step(config, paths, name, 0)
    known, _, _ = expected(config, paths)
    a, b = (paths.stores(name, 1) for name in MODELS)
    return (a, b), reread_models(known, MODELS).n_bytes


def peak_bytes(folders: tuple[Path, Path], budget_gb: float, options: list[str]) -> int:
    """Return the peak resident size of matching two folders of stores."""
    with tempfile.TemporaryDirectory() as scratch:
        stores = ["--a", str(folders[0]), "--b", str(folders[1])]
        out = ["--out", str(Path(scratch) / "m.parquet"), "--memory-gb", str(budget_gb)]
        # A process of its own, so that the peak of its only child is that of this run.
        code = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        command = [sys.executable, "-c", code, *ROSETTA, "match", *stores, *out, *options]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout.split()[-1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder",
        type=Path,
        help="folder with the stores a/ and b/ (benchmarks/stores.py); with --live, a new one",
    )
    parser.add_argument("--live", action="store_true", help="run models, and store nothing")
    parser.add_argument("--budgets", nargs="+", type=float, default=[1, 2, 4, 8, 16])
    parser.add_argument(
        "--options", nargs=argparse.REMAINDER, default=[], help="passed on to `rosetta match`"
    )
    args = parser.parse_args()
    if args.live:
        args.folder.mkdir(parents=True)
        folders, of_models = live_stores(args.folder)
    else:
        folders, of_models = (args.folder / "a", args.folder / "b"), 0.0
    rows = []
    for budget in args.budgets:
        peak, planned = peak_bytes(folders, budget, args.options) / GB, budget + of_models / GB
        row = {"budget GB": budget, "planned GB": planned, "peak GB": peak}
        rows.append({**row, "of the budget": peak / budget, "of the plan": peak / planned})
        print(rows[-1], flush=True)
    print(pd.DataFrame(rows).round(2).to_markdown(index=False))


if __name__ == "__main__":
    main()
