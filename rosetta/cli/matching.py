"""The commands from stores to Rosetta Neurons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rosetta.cli.options import OutOption, check_kept, option_of, parse_json
from rosetta.config import Alignment, Correlation, Dask
from rosetta.config.arguments import checked
from rosetta.config.controls import NULLS
from rosetta.config.dask import all_cores
from rosetta.config.exclusions import Exclusions
from rosetta.correlation.request import CorrelationOptions, CorrelationRequest
from rosetta.errors import ConfigError

if TYPE_CHECKING:
    from rosetta.correlation.view import View

_DEFAULTS = Correlation()

StoresA = Annotated[Path, typer.Option("--a", help="folder of the first model's shard stores")]
StoresB = Annotated[Path, typer.Option("--b", help="folder of the second model's shard stores")]
Pooling = Annotated[
    str, typer.Option(help="mean, max or median over the tokens of an aligned span")
]
MaxK = Annotated[
    int, typer.Option(help="neighbours kept per neuron (one more is kept for margins)")
]
MemoryGb = Annotated[float, typer.Option(help="memory budget")]
Precision = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float64 products")]
Method = Annotated[
    str, typer.Option(help="exact, or screened: candidates from sketches, exact and certified")
]
Screening = Annotated[str, typer.Option(help="JSON: settings of the screened method")]
MinR = Annotated[
    float | None, typer.Option("--min-r", help="screened: give up on matches with r below this")
]
Scheduler = Annotated[
    str, typer.Option(help="threads, processes, slurm or the address of a Dask scheduler")
]
Workers = Annotated[
    int, typer.Option("--n-workers", min=1, help="tasks at once; local ones share the budget")
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="cores that each task uses; all of them if not given")
]
Jobqueue = Annotated[str, typer.Option(help="JSON: options of dask_jobqueue.SLURMCluster")]
Job = Annotated[int, typer.Option(help="number of this job")]
Jobs = Annotated[int, typer.Option(help="jobs that share the pair's tiles")]
ExclusionsOption = Annotated[
    str, typer.Option(help="JSON: the configuration's section `exclusions`")
]
PermuteSeed = Annotated[
    int | None, typer.Option(min=0, help="permute the second model's positions")
]
ExchangeSeed = Annotated[
    int | None, typer.Option(min=0, help="exchange the second model's documents")
]
Documents = Annotated[
    Path | None,
    typer.Option(help="Parquet of the documents: id, domain, source; for --exchange-seed"),
]
Lists = Annotated[
    list[Path] | None,
    typer.Argument(help="what the jobs of `correlate` wrote for a pair; or give --a and --b"),
]
NullFiles = Annotated[
    list[str] | None, typer.Option(help="NAME=FILE: what `nulls` wrote, for p-values")
]
Intervals = Annotated[
    Path | None, typer.Option(help="what `intervals` wrote, for the intervals of r")
]


def correlate(
    a: StoresA,
    b: StoresB,
    out: OutOption,
    pooling: Pooling = "mean",
    max_k: MaxK = _DEFAULTS.max_k,
    memory_gb: MemoryGb = _DEFAULTS.memory_gb,
    method: Method = _DEFAULTS.method,
    screening: Screening = "{}",
    precision: Precision = _DEFAULTS.precision,
    scheduler: Scheduler = "threads",
    n_workers: Workers = 1,
    threads: Threads = None,
    jobqueue: Jobqueue = "{}",
    job: Job = 0,
    n_jobs: Jobs = 1,
    exclusions: ExclusionsOption = "{}",
    permute_seed: PermuteSeed = None,
    exchange_seed: ExchangeSeed = None,
    documents: Documents = None,
) -> None:
    """Correlate all neurons of two models; write each neuron's nearest neighbours."""
    from rosetta.correlation.steps import correlate_step

    values = dict(method=method, max_k=max_k, memory_gb=memory_gb, precision=precision)
    sketching = parse_json("--screening", screening)
    values |= dict(n_jobs=n_jobs, screening=sketching)
    settings = checked(Correlation, values, option_of)
    pooled = checked(Alignment, dict(pooling=pooling), option_of).pooling
    view = _view(exclusions, permute_seed, exchange_seed, documents)
    dask = _dask(scheduler, n_workers, threads, jobqueue)
    correlate_step(CorrelationRequest(a, b, pooled, settings, dask), out, job, view)


def _view(
    exclusions: str, permute_seed: int | None, exchange_seed: int | None, documents: Path | None
) -> View:
    from rosetta.correlation.view import View

    if permute_seed is not None and exchange_seed is not None:
        raise ConfigError("--permute-seed, --exchange-seed: give one of them.")
    if (exchange_seed is None) != (documents is None):
        raise ConfigError(
            "--exchange-seed, --documents: give both, or none: the table says of what domain "
            "documents are."
        )
    values = parse_json("--exclusions", exclusions)
    excluded = checked(Exclusions, values, "--exclusions: {}".format)
    return View(
        excluded, permute_seeds=(permute_seed,), exchange_seed=exchange_seed, sample_table=documents
    )


def match_(
    out: OutOption,
    neighbors: Lists = None,
    a: Annotated[
        Path | None, typer.Option("--a", help="folder of the first model's shard stores")
    ] = None,
    b: Annotated[
        Path | None, typer.Option("--b", help="folder of the second model's shard stores")
    ] = None,
    k: Annotated[int, typer.Option(min=1, max=1000, help="mutual k-nearest neighbours")] = 1,
    pooling: Pooling = "mean",
    memory_gb: MemoryGb = _DEFAULTS.memory_gb,
    method: Method = _DEFAULTS.method,
    min_r: MinR = None,
    precision: Precision = _DEFAULTS.precision,
    threads: Threads = None,
    null: NullFiles = None,
    intervals: Intervals = None,
) -> None:
    """Match the neurons of two models: mutual k-nearest neighbours with r, ranks and margins."""
    from rosetta.matching.steps import match_step

    if bool(neighbors) == bool(a and b) or bool(a) != bool(b):
        raise ConfigError(
            "give either the files that `rosetta correlate` wrote, or both --a and --b."
        )
    nulls = dict(_named_file(text) for text in null or [])
    check_kept([*(neighbors or []), *nulls.values(), intervals], out=out)
    source: list[Path] | CorrelationRequest = neighbors or []
    if a and b:
        options = CorrelationOptions(k, pooling, method, precision, memory_gb, min_r, threads)
        source = options.request(a, b, option_of)
    match_step(source, out, k, nulls, intervals)


def _named_file(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if name not in NULLS or not equals:
        raise ConfigError(f"--null: {text!r} is not NAME=FILE with a name of {', '.join(NULLS)}.")
    return name, Path(path)


def _dask(scheduler: str, n_workers: int, threads: int | None, jobqueue: str) -> Dask:
    """Return where tasks run; without a number of threads, every core of this machine works."""
    options = parse_json("--jobqueue", jobqueue)
    threads = threads or max(1, all_cores() // n_workers)
    values = dict(
        scheduler=scheduler, n_workers=n_workers, threads_per_worker=threads, jobqueue=options
    )
    return checked(
        Dask, values, lambda key: option_of("threads" if key == "threads_per_worker" else key)
    )


def anchors(
    matches: Annotated[
        list[Path], typer.Argument(help="matches of the anchor with each other model")
    ],
    out: OutOption,
) -> None:
    """Write the Rosetta Neurons of a group: anchor neurons matched in every comparison."""
    from rosetta.matching.steps import anchors_step

    check_kept(matches, out=out)
    anchors_step(matches, out)


COMMANDS = (correlate, match_, anchors)
