"""What the 21 language runs of (Dravid 2026, Table 2) cost by `rosetta plan`: exact and screened, stores kept or not.

Dimensions are those of the published checkpoints; nothing is downloaded.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from rosetta.config import parse_config
from rosetta.paths import Paths
from rosetta.planning import plan_run

# n_layers, d_mlp, parameters
MODELS = {
    "opt-125m": (12, 3072, 125e6),
    "opt-350m": (24, 4096, 331e6),
    "opt-1.3b": (24, 8192, 1.32e9),
    "opt-2.7b": (32, 10240, 2.65e9),
    "opt-6.7b": (32, 16384, 6.66e9),
    "opt-13b": (40, 20480, 12.9e9),
    "opt-30b": (48, 28672, 30.0e9),
    "pythia-160m": (12, 3072, 162e6),
    "pythia-410m": (24, 4096, 405e6),
    "pythia-1.4b": (24, 8192, 1.41e9),
    "pythia-2.8b": (32, 10240, 2.78e9),
    "pythia-6.9b": (32, 16384, 6.86e9),
    "pythia-12b": (36, 20480, 11.8e9),
    "gpt2": (12, 3072, 124e6),
    "gpt2-medium": (24, 4096, 355e6),
    "gpt2-xl": (48, 6400, 1.56e9),
    "qwen2.5-1.5b": (28, 8960, 1.54e9),
    "qwen2.5-3b": (36, 11008, 3.09e9),
    "qwen2.5-7b": (28, 18944, 7.62e9),
    "qwen2.5-14b": (48, 13824, 14.8e9),
    "qwen2.5-32b": (64, 27648, 32.8e9),
}
LADDERS = {
    "opt-qwen": "opt-1.3b+qwen2.5-1.5b opt-2.7b+qwen2.5-3b opt-6.7b+qwen2.5-7b opt-13b+qwen2.5-14b opt-30b+qwen2.5-32b",
    "pythia-opt": "pythia-160m+opt-125m pythia-410m+opt-350m pythia-1.4b+opt-1.3b pythia-2.8b+opt-2.7b "
    "pythia-6.9b+opt-6.7b pythia-12b+opt-13b",
    "pythia-gpt2": "pythia-160m+gpt2 pythia-410m+gpt2-medium pythia-1.4b+gpt2-xl",
    "opt-pythia-gpt2": "opt-125m+pythia-160m+gpt2 opt-350m+pythia-410m+gpt2-medium opt-1.3b+pythia-1.4b+gpt2-xl",
    "pythia-opt-qwen": "pythia-1.4b+opt-1.3b+qwen2.5-1.5b pythia-2.8b+opt-2.7b+qwen2.5-3b "
    "pythia-6.9b+opt-6.7b+qwen2.5-7b pythia-12b+opt-13b+qwen2.5-14b",
}


def run_config(rung: list[str], method: str, keep: bool, n_tokens: int) -> dict:
    """Return the configuration of one rung."""
    return {
        "corpus": {"source": {"kind": "hub", "id": "not-read", "revision": "none", "split": "validation"}},
        "models": {
            name: {
                "hub": name,
                "revision": "none",
                "dtype": "bfloat16",
                "dimensions": {"n_layers": n_layers, "d_mlp": d_mlp, "n_parameters": int(n_parameters)},
            }
            for name, (n_layers, d_mlp, n_parameters) in MODELS.items()
            if name in rung
        },
        "ladders": {"run": [rung]},
        "activations": {"keep": keep, "max_documents": n_tokens // 1024, "sequence_length": 1024},
        "correlation": {"method": method, "max_k": 1, "memory_gb": 64, "precision": "float32"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=10_000_000)
    parser.add_argument("--tflops", type=float, default=250, help="of one device in bfloat16: 250 for an A100")
    args = parser.parse_args()
    rows = []
    for ladder, rungs in LADDERS.items():
        for rung in rungs.split():
            row: dict = {"ladder": ladder, "rung": rung}
            for name, method, keep in (
                ("exact", "exact", True),
                ("screened", "screened", True),
                ("screened, not kept", "screened", False),
            ):
                config = parse_config(run_config(rung.split("+"), method, keep, args.tokens))
                plan = plan_run(config, Paths(Path("results")), args.tflops)
                row[f"{name}: FLOPs"] = f"{sum(phase.flops for phase in plan.phases):.1e}"
                row[f"{name}: disk GB"] = round(sum(phase.disk_bytes or 0 for phase in plan.phases) / 1e9)
                row[f"{name}: device-hours"] = round(plan.device_hours, 2)
            rows.append(row)
    print(pd.DataFrame(rows).to_markdown(index=False))


if __name__ == "__main__":
    main()
