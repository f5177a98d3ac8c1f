"""Processor time of each phase of screening, on stores of `benchmarks/stores.py`."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rosetta.correlation.estimates
import rosetta.correlation.rounds
from rosetta.config import Correlation, Dask, Screening
from rosetta.correlation.pairs import correlate_pair
from rosetta.correlation.request import CorrelationRequest
from rosetta.correlation.schedule import run_tasks


def timed(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], settings: Dask, *, label: str
) -> list[Any]:
    """Run tasks as `run_tasks` does, and print how long they took."""
    start, cpu = time.perf_counter(), time.process_time()
    done = run_tasks(function, tasks, settings, label=label)
    spent = time.perf_counter() - start, time.process_time() - cpu
    print(f"{label:<14}{len(tasks):>4} tasks {spent[0]:8.1f} s, {spent[1]:.1f} s of processor time")
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with the stores a/ and b/")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-gb", type=float, default=4)
    parser.add_argument("--min-r", type=float)
    args = parser.parse_args()
    for module in (rosetta.correlation.estimates, rosetta.correlation.rounds):
        module.run_tasks = timed
    screening = Screening(min_r=args.min_r)
    settings = Correlation(
        method="screened", max_k=1, memory_gb=args.memory_gb, screening=screening
    )
    dask = Dask(threads_per_worker=args.threads)
    folders = args.folder / "a", args.folder / "b"
    cpu = time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        request = CorrelationRequest(*folders, "mean", settings, dask)
        lists = correlate_pair(request, scratch=Path(scratch) / "tiles")
    facts = lists.facts
    print(f"{facts.method}, {facts.n_uncertified} neurons not certified by the first candidates")
    print(f"all: {time.process_time() - cpu:.1f} s of processor time")


if __name__ == "__main__":
    main()
