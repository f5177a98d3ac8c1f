"""What the 21 language runs of (Dravid 2026, Table 2) cost by `rosetta plan`: exact and screened,
stores kept or not.

Each rung of `workflow/presets/paper-language.yaml` by itself, without controls; nothing is
downloaded.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from rosetta.config import Config, load_config
from rosetta.config.controls import Controls
from rosetta.plan.methods import with_method
from rosetta.plan.sweep import plan_run
from rosetta.run.paths import Paths

PRESET = Path(__file__).parent.parent / "workflow" / "presets" / "paper-language.yaml"
WAYS = {
    "exact": ("exact", True),
    "screened": ("screened", True),
    "screened, not kept": ("screened", False),
}


def run_config(preset: Config, rung: list[str], n_tokens: int) -> Config:
    """Return the configuration of one rung of a preset, without controls."""
    documents = n_tokens // preset.activations.sequence_length
    return preset.model_copy(
        update={
            "ladders": {"run": [rung]},
            "activations": preset.activations.model_copy(update={"max_documents": documents}),
            "controls": Controls(permutation_seeds=[], document_seeds=[], untrained_seeds=[]),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=10_000_000)
    parser.add_argument(
        "--tflops", type=float, default=250, help="of one device in bfloat16: 250 for an A100"
    )
    args = parser.parse_args()
    preset, rows = load_config(PRESET), []
    for ladder, rungs in preset.ladders.items():
        for rung in rungs:
            config = run_config(preset, rung, args.tokens)
            row: dict = {"ladder": ladder, "rung": "+".join(rung)}
            for name, (method, keep) in WAYS.items():
                plan = plan_run(
                    with_method(config, method, keep), Paths(Path(config.results)), args.tflops
                )
                row[f"{name}: FLOPs"] = f"{sum(phase.flops for phase in plan.phases):.1e}"
                row[f"{name}: disk GB"] = round(
                    sum(phase.disk_bytes or 0 for phase in plan.phases) / 1e9
                )
                row[f"{name}: device-hours"] = round(plan.device_hours, 2)
            rows.append(row)
    print(pd.DataFrame(rows).to_markdown(index=False))


if __name__ == "__main__":
    main()
