"""What this machine's GPU does: the same matches as its CPU, and how fast, beside a bare product.

`python benchmarks/gpu.py /tmp/gpu`, on any CUDA machine, in a few minutes. Two untrained models, of
the shapes of Pythia and GPT-2 at three widths, are captured and correlated: from stores, live and
screened. Each way runs in a process of its own. At the first width the CPU does the same. Every
row has the share of the bare product's speed that the correlation reaches, and how many of the
matches of the CPU's float32 products it finds. `--cpu-only` runs the CPU's part alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from published import MODELS, Task, make_models

from rosetta.activations.steps import activations_step
from rosetta.config import Config, dump_config, group_name
from rosetta.config.zoo import ZooSize
from rosetta.correlation.neighbor_tables import read_lists
from rosetta.correlation.products import product_device
from rosetta.correlation.steps import neighbors_step
from rosetta.inputs.text.build import build_corpus
from rosetta.matching.mutual import mutual_matches
from rosetta.models.steps import model_step
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.storage.digests import write_text

# Stores, method and precision of each way.
WAYS = {
    "stored, float32": (True, "exact", "float32"),
    "stored, bfloat16": (True, "exact", "bfloat16"),
    "live, float32": (False, "exact", "float32"),
    "live, bfloat16": (False, "exact", "bfloat16"),
    "screened": (True, "screened", "float32"),
}
REFERENCE = "stored, float32"
REPEATS = 5


def config_of(task: Task, way: str, results: Path) -> Config:
    """Return the configuration of a way."""
    keep, method, precision = WAYS[way]
    base = task.config("stored")
    changed = {"method": method, "precision": precision}
    return base.model_copy(
        update={
            "results": str(results),
            "activations": base.activations.model_copy(update={"keep": keep}),
            "correlation": base.correlation.model_copy(update=changed),
        }
    )


def run_way(task: Task, way: str, results: Path) -> dict[str, Any]:
    """Match the models in one way, here; return its seconds and matches."""
    config, paths = config_of(task, way, results), Paths(results)
    write_text(paths.run_config, dump_config(config))
    build_corpus(config.corpus, paths, made_by(config, "corpus"))
    for name in MODELS:
        model_step(config, paths, name)
    start = time.perf_counter()
    for name in MODELS:
        activations_step(config, paths, name, 0, torch.get_num_threads())
    captured = time.perf_counter()
    neighbors_step(config, paths, group_name(MODELS), 0)
    done = time.perf_counter()
    lists, facts = read_lists([paths.neighbors_part(group_name(MODELS), 0, 1)])
    table = mutual_matches(lists, facts, 1)
    n_a, n_b = facts.n_layers_a * facts.d_mlp_a, facts.n_layers_b * facts.d_mlp_b
    _, _, precision = WAYS[way]
    names = ["layer_a", "unit_a", "layer_b", "unit_b"]
    on_gpu = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "way": f"{way} ({facts.method})",
        "neurons": f"{n_a} × {n_b}",
        "positions": facts.n_positions,
        "capture s": captured - start,
        "correlation s": done - captured,
        "bare product s": bare_product(facts.n_positions, n_a, n_b, precision),
        "GPU GB": torch.cuda.max_memory_allocated() / 1e9 if on_gpu else 0.0,
        "matches": table[names].to_numpy().tolist(),
    }


def bare_product(n_positions: int, n_a: int, n_b: int, precision: str) -> float:
    """Return the seconds of one product of the sizes of a pair, its inputs in place."""
    device = product_device(precision)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a, b = (torch.randn(n_positions, n, device=device).to(dtype) for n in (n_a, n_b))
    (a.T @ b)[0, 0].item()
    start = time.perf_counter()
    for _ in range(REPEATS):
        product = a.T @ b
    product[0, 0].item()  # waits for the device
    return (time.perf_counter() - start) / REPEATS


def in_process(folder: Path, way: str, results: str, *, gpu: bool, options: list[str]) -> Any:
    """Run a way in a process that sees the GPU, or none."""
    environment = dict(os.environ) if gpu else {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, __file__, str(folder), "--way", way, "--results", results]
    done = subprocess.run(
        [*command, *options], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def row(found: dict[str, Any], true: set[tuple[int, ...]]) -> dict[str, Any]:
    """Return a row of the table; `true` are the matches of the CPU in float32, if it ran."""
    matches = set(map(tuple, found.pop("matches")))
    share = found["bare product s"] / found["correlation s"]
    told = f"{len(matches & true) / len(true):.2%}" if true else ""
    return {**found, "of the bare speed": share, "matches": len(matches), "of the CPU's": told}


def main() -> None:
    """Print a row for every width and way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where models, texts and stores go")
    parser.add_argument("--widths", type=int, nargs="+", default=[256, 1024, 3072], help="d_mlp")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--documents", type=int, default=256, help="of `--length` tokens")
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--memory-gb", type=float, default=48.0)
    parser.add_argument("--cpu-only", action="store_true")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.cpu_only and not args.way and not torch.cuda.is_available():
        parser.error("there is no CUDA device here; --cpu-only runs the CPU's part")
    threads = torch.get_num_threads()
    size = dict(n_documents=args.documents, length=args.length, batch=32, threads=threads)
    if args.way:
        task = Task(folder=args.folder, memory_gb=args.memory_gb, **size)
        print(json.dumps(run_way(task, args.way, args.results)))
        return
    options = ["--documents", str(args.documents), "--length", str(args.length)]
    options += ["--memory-gb", str(args.memory_gb)]
    rows = []
    for number, width in enumerate(args.widths):
        folder = args.folder / str(width)
        folder.mkdir(parents=True, exist_ok=True)
        task = Task(folder=folder, memory_gb=args.memory_gb, **size)
        d_model = max(64, width // 4)
        shape = ZooSize(n_layers=args.layers, d_model=d_model, d_mlp=width, n_heads=d_model // 32)
        make_models(task, shape)
        true: set[tuple[int, ...]] = set()
        for gpu in [False] * (number == 0) + [True] * (not args.cpu_only):
            for way in WAYS:
                results = str(folder / f"{'gpu' if gpu else 'cpu'}-{list(WAYS).index(way)}")
                found = in_process(folder, way, results, gpu=gpu, options=options)
                if way == REFERENCE and not gpu:
                    true = set(map(tuple, found["matches"]))
                rows.append(row(found, true))
                print(f"{width}, {rows[-1]}", file=sys.stderr)
    print(pd.DataFrame(rows).round(3).to_markdown(index=False))


if __name__ == "__main__":
    main()
