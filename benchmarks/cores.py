"""How captures and correlations scale over cores: seconds and processor seconds at each number of
threads, beside a plain product, and how far r and the matches move.

`python benchmarks/cores.py [--threads 1 2 4 8]`, on any machine. It makes its own stores. What else
runs falls on all of it, so let nothing run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from capture_memory import ARCHITECTURES, byte_tokenizer
from match import match, plain_product
from stores import planted_stores
from transformers import AutoModelForCausalLM

import rosetta
from rosetta.config.dask import all_cores
from rosetta.models.neurons import NeuronShape

SHAPE = NeuronShape(4, 1024)
KEYS = ["layer_a", "unit_a", "layer_b", "unit_b"]
DOCUMENTS = [f"document {number} " * 40 for number in range(64)]  # some 500 tokens of a byte each


def capture(folder: Path) -> tuple[float, float]:
    """Return the seconds, and processor seconds, of capturing an untrained model."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(ARCHITECTURES["gpt_neox"])
    start, cpu = time.perf_counter(), time.process_time()
    rosetta.capture(model, byte_tokenizer(), DOCUMENTS, folder)
    return time.perf_counter() - start, time.process_time() - cpu


def measured(folder: Path, n_positions: int, threads: int) -> tuple[dict, pd.DataFrame]:
    """Return what each kind of work takes on so many threads, and the matches in float32."""
    torch.set_num_threads(threads)
    n, found = SHAPE.n_neurons, {}
    for precision in ("float32", "bfloat16"):
        found[f"plain {precision} product"] = plain_product(n_positions, n, n, precision)
        options = ("--threads", str(threads), "--memory-gb", "4", "--precision", precision)
        out = folder / f"{precision}.parquet"
        found[f"match, exact, {precision}"] = match(folder, out, *options)
    found["capture"] = capture(folder / f"captured-{threads}")
    return found, pd.read_parquet(folder / "float32.parquet", columns=[*KEYS, "r"])


def main() -> None:
    """Print a table with a row per kind of work and number of threads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    powers = [2**i for i in range(all_cores().bit_length())]
    parser.add_argument("--threads", type=int, nargs="+", default=powers)
    parser.add_argument("--positions", type=int, default=32_768)
    args = parser.parse_args()
    rows, matches = [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        planted_stores(folder, args.positions, SHAPE, n_shared=SHAPE.n_neurons)
        for threads in args.threads:
            found, table = measured(folder, args.positions, threads)
            matches.append(table)
            rows += [(what, threads, *times) for what, times in found.items()]
    taken = pd.DataFrame(rows, columns=["work", "threads", "seconds", "cpu"])
    first = taken.groupby("work")["seconds"].transform("first")
    taken["speed-up"] = first / taken["seconds"]
    taken = taken.sort_values("work", kind="stable").round({"seconds": 1, "cpu": 1, "speed-up": 2})
    print(taken.to_markdown(index=False))
    for threads, table in zip(args.threads[1:], matches[1:], strict=True):
        same = table[KEYS].equals(matches[0][KEYS])
        moved = (table["r"] - matches[0]["r"]).abs().max() if same else float("nan")
        print(f"{threads} threads: {'the same' if same else 'other'} matches, r moved {moved:.1e}")


if __name__ == "__main__":
    main()
