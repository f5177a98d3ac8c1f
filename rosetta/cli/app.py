"""The `rosetta` command: one thin subcommand per step; each rule of the workflow calls one of
them.
"""

from __future__ import annotations

import json
import os
import sys
from itertools import takewhile
from pathlib import Path
from typing import Annotated

import typer

from rosetta.cli.controls import add_control_commands
from rosetta.cli.filtering import filter_, filtering_app
from rosetta.cli.interchange import add_interop_commands
from rosetta.cli.options import (
    ConfigOption,
    ModelOption,
    OutOption,
    check_kept,
    check_out,
    option_of,
)
from rosetta.cli.options import open_run as _open
from rosetta.cli.theory import theory_app
from rosetta.config import Alignment, Correlation, Dask, load_config
from rosetta.config.arguments import checked
from rosetta.config.controls import NULLS
from rosetta.config.exclusions import Exclusions
from rosetta.errors import ConfigError, RosettaError, naming_files, without_secrets
from rosetta.extras import naming_extras
from rosetta.run.paths import Paths
from rosetta.run.provenance import compare_with_run
from rosetta.storage.digests import also_checking, stamping

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find the neurons that independently trained networks share. Every step of the "
    "workflow is a command.",
)
app.add_typer(theory_app, name="theory")
app.add_typer(filtering_app, name="filtering")
app.command("filter")(filter_)
add_control_commands(app)
add_interop_commands(app)

store_app = typer.Typer(
    no_args_is_help=True, help="Activation stores, of this or another program (docs/stores.md)."
)
app.add_typer(store_app, name="store")

_CORRELATION = Correlation()


@app.callback()
def _job(
    context: typer.Context,
    made_by: Annotated[
        str | None, typer.Option(hidden=True, help="stamp of what the job writes")
    ] = None,
) -> None:
    """Stamp the results of a job of the workflow."""
    context.with_resource(stamping(made_by))


def main() -> None:
    """Run the command line; errors that a user can fix are printed as one message, exit code 2."""
    os.environ["MPLBACKEND"] = "Agg"  # figures go into files, whatever a notebook has set
    try:
        with naming_files(), naming_extras(_command(sys.argv[1:])), also_checking(compare_with_run):
            app()
    except RosettaError as error:
        message = f"rosetta: {without_secrets(str(error))}"
        try:
            print(message, file=sys.stderr)
        except OSError:  # the log is on the full disk
            print(message)
        sys.exit(2)


def _command(words: list[str]) -> str:
    """Return the name of the command that the words of a command line call."""
    return " ".join(
        [
            "rosetta",
            *takewhile(lambda word: word.replace("-", "").isalpha() and word[0] != "-", words),
        ]
    )


@app.command()
def check(
    configfile: Annotated[Path, typer.Option(help="configuration to check")] = Path("config.yaml"),
    out: Annotated[
        Path | None,
        typer.Option(callback=check_out, help="where to write it whole, defaults included"),
    ] = None,
) -> None:
    """Check a configuration and the files that it names; write it as the steps read it."""
    from rosetta.plan.steps import check_step

    check_step(load_config(configfile), out)
    print(f"{configfile}: valid")


@app.command()
def plan(
    configfile: Annotated[Path, typer.Option(help="configuration to plan")] = Path("config.yaml"),
    tflops: Annotated[
        float | None,
        typer.Option(min=1e-9, help="speed of a device; this machine's cores if not given"),
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="number of such devices")] = 1,
) -> None:
    """Print jobs, disk, memory, FLOPs and time of a configuration, without running it."""
    from rosetta.plan.steps import plan_step

    print(plan_step(*_open(configfile), tflops, devices))


@app.command()
def pin(
    configfile: Annotated[Path, typer.Option(help="configuration to pin")],
    out: Annotated[
        Path | None, typer.Option(help="where to write it; printed if not given")
    ] = None,
) -> None:
    """Replace the revisions of hub models and datasets by commits that have safetensors."""
    from rosetta.models.steps import pin_step

    text = pin_step(configfile, out)
    if out is None:
        print(text, end="")


@app.command()
def status(
    results: Annotated[Path, typer.Argument(help="results folder of a run")] = Path("results"),
) -> None:
    """Show what of a run is done, running, missing or failed, its disk, and the time left."""
    from rosetta.run.steps import status_step

    path = Paths(results).run_config
    if not path.exists():
        raise ConfigError(f"{path}: no such file. Name the results folder of a run that has begun.")
    print(status_step(results))


@app.command()
def verify(
    results: Annotated[
        Path, typer.Argument(help="results folder of a run, or of `rosetta filter`")
    ] = Path("results"),
) -> None:
    """Find all damaged files of a results folder; print the command that recomputes them."""
    from rosetta.run.steps import verify_step

    if not results.is_dir():
        raise ConfigError(f"{results}: no such folder. Name the results folder of a run.")
    print(verify_step(results))


@app.command("config-reference")
def config_reference() -> None:
    """Print the documentation of all configuration keys, docs/configuration.md."""
    from rosetta.config.steps import config_reference_step

    print(config_reference_step(), end="")


@app.command("results-reference")
def results_reference() -> None:
    """Print what a run writes, docs/results.md."""
    from rosetta.run.steps import results_reference_step

    print(results_reference_step(), end="")


@app.command()
def corpus(config: ConfigOption) -> None:
    """Build the corpus: harvest or read documents, deduplicate, split."""
    from rosetta.inputs.text.steps import corpus_step

    corpus_step(*_open(config))


@app.command()
def tokenizer(
    config: ConfigOption, family: Annotated[str, typer.Option(help="name of a zoo family")]
) -> None:
    """Train the tokenizer of a zoo family."""
    from rosetta.models.steps import tokenizer_step

    tokenizer_step(*_open(config), family)


@app.command()
def train(config: ConfigOption, model: ModelOption) -> None:
    """Train a zoo model, from its last checkpoint if there is one."""
    from rosetta.models.steps import train_step

    train_step(*_open(config), model)


@app.command()
def model(config: ConfigOption, model: ModelOption) -> None:
    """Check a model end to end and write its manifest."""
    from rosetta.models.steps import model_step

    model_step(*_open(config), model)


@app.command()
def activations(
    config: ConfigOption,
    model: ModelOption,
    shard: Annotated[int, typer.Option(help="number of the shard")],
) -> None:
    """Capture the activations of all layers of a model on one shard of the match split."""
    from rosetta.activations.steps import activations_step

    activations_step(*_open(config), model, shard)


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


@store_app.command("check")
def store_check(
    path: Annotated[Path, typer.Argument(help="a store's manifest, or a folder of shard stores")],
) -> None:
    """Check every byte and value of stores against docs/stores.md; print what they hold."""
    from rosetta.activations.steps import store_check_step

    for line in store_check_step(path):
        print(line)


@app.command()
def correlate(
    a: StoresA,
    b: StoresB,
    out: OutOption,
    pooling: Pooling = "mean",
    max_k: MaxK = _CORRELATION.max_k,
    memory_gb: MemoryGb = _CORRELATION.memory_gb,
    method: Method = _CORRELATION.method,
    screening: Annotated[str, typer.Option(help="JSON: settings of the screened method")] = "{}",
    precision: Precision = _CORRELATION.precision,
    scheduler: Scheduler = "threads",
    n_workers: Workers = 1,
    threads: Threads = None,
    jobqueue: Jobqueue = "{}",
    job: Annotated[int, typer.Option(help="number of this job")] = 0,
    n_jobs: Annotated[int, typer.Option(help="jobs that share the pair's tiles")] = 1,
    exclusions: Annotated[
        str, typer.Option(help="JSON: the configuration's section `exclusions`")
    ] = "{}",
    permute_seed: Annotated[
        int | None, typer.Option(min=0, help="permute the second model's positions")
    ] = None,
    exchange_seed: Annotated[
        int | None, typer.Option(min=0, help="exchange the second model's documents")
    ] = None,
    documents: Annotated[
        Path | None,
        typer.Option(help="Parquet of the documents: id, domain, source; for --exchange-seed"),
    ] = None,
) -> None:
    """Correlate all neurons of two models; write each neuron's nearest neighbours."""
    from rosetta.correlation.request import CorrelationRequest
    from rosetta.correlation.steps import correlate_step
    from rosetta.correlation.view import View

    values = dict(method=method, max_k=max_k, memory_gb=memory_gb, precision=precision)
    values |= dict(n_jobs=n_jobs, screening=_json("--screening", screening))
    settings = checked(Correlation, values, option_of)
    pooled = checked(Alignment, dict(pooling=pooling), option_of).pooling
    if permute_seed is not None and exchange_seed is not None:
        raise ConfigError("--permute-seed, --exchange-seed: give one of them.")
    if (exchange_seed is None) != (documents is None):
        raise ConfigError(
            "--exchange-seed, --documents: give both, or none: the table says of what domain "
            "documents are."
        )
    excluded = checked(Exclusions, _json("--exclusions", exclusions), "--exclusions: {}".format)
    view = View(
        excluded, permute_seed=permute_seed, exchange_seed=exchange_seed, sample_table=documents
    )
    dask = _dask(scheduler, n_workers, threads, jobqueue)
    correlate_step(CorrelationRequest(a, b, pooled, settings, dask), out, job, view)


@app.command("match")
def match_(
    out: OutOption,
    neighbors: Annotated[
        list[Path] | None,
        typer.Argument(help="what the jobs of `correlate` wrote for a pair; or give --a and --b"),
    ] = None,
    a: Annotated[
        Path | None, typer.Option("--a", help="folder of the first model's shard stores")
    ] = None,
    b: Annotated[
        Path | None, typer.Option("--b", help="folder of the second model's shard stores")
    ] = None,
    k: Annotated[int, typer.Option(min=1, max=1000, help="mutual k-nearest neighbours")] = 1,
    pooling: Pooling = "mean",
    memory_gb: MemoryGb = _CORRELATION.memory_gb,
    method: Method = _CORRELATION.method,
    min_r: MinR = None,
    precision: Precision = _CORRELATION.precision,
    threads: Threads = None,
    null: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE: what `nulls` wrote, for p-values")
    ] = None,
    intervals: Annotated[
        Path | None, typer.Option(help="what `intervals` wrote, for the intervals of r")
    ] = None,
) -> None:
    """Match the neurons of two models: mutual k-nearest neighbours with r, ranks and margins."""
    from rosetta.correlation.request import CorrelationOptions, CorrelationRequest
    from rosetta.matching.steps import match_step

    if bool(neighbors) == bool(a and b) or bool(a) != bool(b):
        raise ConfigError(
            "give either the files that `rosetta correlate` wrote, or both --a and --b."
        )
    source: list[Path] | CorrelationRequest = neighbors or []
    if a and b:
        options = CorrelationOptions(k, pooling, method, precision, memory_gb, min_r, threads)
        source = options.request(a, b, option_of)
    match_step(source, out, k, dict(_named_file(text) for text in null or []), intervals)


def _named_file(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if name not in NULLS or not equals:
        raise ConfigError(f"--null: {text!r} is not NAME=FILE with a name of {', '.join(NULLS)}.")
    return name, Path(path)


def _dask(scheduler: str, n_workers: int, threads: int | None, jobqueue: str) -> Dask:
    """Return where tasks run; without a number of threads, every core of this machine works."""
    options = _json("--jobqueue", jobqueue)
    threads = threads or max(1, (os.cpu_count() or 1) // n_workers)
    values = dict(
        scheduler=scheduler, n_workers=n_workers, threads_per_worker=threads, jobqueue=options
    )
    return checked(
        Dask, values, lambda key: option_of("threads" if key == "threads_per_worker" else key)
    )


def _json(option: str, text: str) -> dict:
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ConfigError(f"{option}: not a JSON object: {text}")
    return values


@app.command()
def anchors(
    matches: Annotated[
        list[Path], typer.Argument(help="matches of the anchor with each other model")
    ],
    out: OutOption,
) -> None:
    """Write the Rosetta Neurons of a group: anchor neurons matched in every comparison."""
    from rosetta.matching.steps import anchors_step

    check_kept(out, matches)
    anchors_step(matches, out)


@app.command()
def counts(config: ConfigOption) -> None:
    """Count Rosetta Neurons per rung of every ladder, with intervals."""
    from rosetta.analysis.steps import counts_step

    counts_step(*_open(config))


@app.command()
def fit(
    counts: Annotated[
        Path, typer.Argument(metavar="COUNTS.csv", help="columns ladder, n_neurons, matches")
    ],
    out: Annotated[
        Path | None, typer.Option(callback=check_out, help="CSV to write; printed if not given")
    ] = None,
    replicates: Annotated[
        Path | None, typer.Option(help="counts on half-samples of the documents")
    ] = None,
    controls: Annotated[Path | None, typer.Option(help="counts under the null models")] = None,
    pooled: Annotated[
        Path | None, typer.Option(help="CSV to write: one exponent for all ladders of pairs")
    ] = None,
    nulls: Annotated[
        Path | None, typer.Option(help="CSV to write: the exponents of --controls")
    ] = None,
) -> None:
    """Fit the power law |R| = c · x^α to every ladder of a table of counts."""
    from rosetta.analysis.steps import fit_step

    if nulls and not controls:
        raise ConfigError("--nulls: has no counts to fit; give --controls.")
    table = fit_step(counts, out, replicates, controls, pooled, nulls)
    if out is None:
        print(table.to_string(index=False))


@app.command()
def vocabulary(config: ConfigOption, model: ModelOption) -> None:
    """Measure how few tokens each neuron of a model writes to: vocabulary kurtosis."""
    from rosetta.analysis.steps import vocabulary_step

    vocabulary_step(*_open(config), model)


@app.command()
def neurons(config: ConfigOption, model: ModelOption) -> None:
    """Find each neuron's distribution, firing and top contexts, in one pass over a model."""
    from rosetta.analysis.steps import neurons_step

    neurons_step(*_open(config), model)


@app.command()
def contexts(
    config: ConfigOption,
    group: Annotated[str, typer.Option(help="models of a rung joined by --, the anchor first")],
) -> None:
    """Read matched neurons' partners on their top contexts; collect what the viewer shows."""
    from rosetta.analysis.steps import contexts_step

    contexts_step(*_open(config), group)


@app.command()
def describe(config: ConfigOption) -> None:
    """Compare Rosetta Neurons with the others: selectivity, specialisation, depth, findings."""
    from rosetta.analysis.steps import describe_step

    describe_step(*_open(config))


@app.command("neuron-figures")
def neuron_figures(config: ConfigOption) -> None:
    """Draw what Rosetta Neurons are like."""
    from rosetta.report.steps import neuron_figures_step

    neuron_figures_step(*_open(config))


@app.command()
def figures(
    counts: Annotated[Path, typer.Option(help="table of counts")],
    scaling: Annotated[Path, typer.Option(help="table of fitted laws")],
    nulls: Annotated[Path, typer.Option(help="table of counts under the null models, by rung")],
    null_scaling: Annotated[Path, typer.Option(help="table of the laws of these counts")],
    thresholds: Annotated[
        Path, typer.Option(help="table of counts and exponents above thresholds of r")
    ],
    out: Annotated[Path, typer.Option(help="figure without its suffix; PNG and PDF are written")],
) -> None:
    """Draw the scaling law."""
    from rosetta.report.steps import figures_step

    figures_step(counts, scaling, nulls, null_scaling, thresholds, out)


@app.command()
def annotate(config: ConfigOption) -> None:
    """Ask a language model what neurons respond to; goes on where a run before stopped."""
    from rosetta.judging.steps import annotate_step

    annotate_step(*_open(config))


@app.command()
def viewer(config: ConfigOption) -> None:
    """Write the self-contained neuron viewer."""
    from rosetta.report.steps import viewer_step

    viewer_step(*_open(config))


@app.command()
def report(config: ConfigOption) -> None:
    """Write the self-contained report."""
    from rosetta.report.steps import report_step

    report_step(*_open(config))
