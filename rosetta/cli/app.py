"""The `rosetta` command: one thin subcommand per step; each rule of the workflow calls one of them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from rosetta.cli.controls import add_control_commands
from rosetta.cli.filtering import filter_, filtering_app
from rosetta.cli.interchange import add_interop_commands
from rosetta.cli.options import ConfigOption, ModelOption, OutOption, check_kept, check_out, parse_section
from rosetta.cli.options import open_run as _open
from rosetta.cli.theory import theory_app
from rosetta.config import Alignment, Config, Correlation, Dask, dump_config, load_config
from rosetta.config.controls import NULLS, Exclusions
from rosetta.errors import ConfigError, RosettaError, naming_files, without_secrets
from rosetta.run.paths import Paths
from rosetta.run.provenance import compare_with_run
from rosetta.storage.files import also_checking, replacing, scratch_folder, stamping

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find the neurons that independently trained networks share. Every step of the workflow is a command.",
)
app.add_typer(theory_app, name="theory")
app.add_typer(filtering_app, name="filtering")
app.command("filter")(filter_)
add_control_commands(app)
add_interop_commands(app)

store_app = typer.Typer(no_args_is_help=True, help="Activation stores, of this or another program (docs/stores.md).")
app.add_typer(store_app, name="store")

_CORRELATION = Correlation()


@app.callback()
def _job(
    context: typer.Context,
    made_by: Annotated[str | None, typer.Option(hidden=True, help="stamp of what the job writes")] = None,
) -> None:
    """Stamp the results of a job of the workflow."""
    context.with_resource(stamping(made_by))


def main() -> None:
    """Run the command line; errors that a user can mend are printed as one message, exit code 2."""
    os.environ["MPLBACKEND"] = "Agg"  # figures go into files, whatever a notebook has set
    try:
        with naming_files(), also_checking(compare_with_run):
            app()
    except RosettaError as error:
        message = f"rosetta: {without_secrets(str(error))}"
        try:
            print(message, file=sys.stderr)
        except OSError:  # the log is on the full disk
            print(message)
        sys.exit(2)


@app.command()
def check(
    configfile: Annotated[Path, typer.Option(help="configuration to check")] = Path("config.yaml"),
    out: Annotated[
        Path | None, typer.Option(callback=check_out, help="where to write it whole, defaults included")
    ] = None,
) -> None:
    """Check a configuration and the files that it names; write it as the steps read it."""
    from rosetta.config.ladders import cautions
    from rosetta.plan.checks import check_config

    config = load_config(configfile)
    check_config(config)
    for caution in cautions(config):
        print(f"warning: {caution}", file=sys.stderr)
    if out:
        _write(out, dump_config(config))
    print(f"{configfile}: valid")


@app.command()
def plan(
    configfile: Annotated[Path, typer.Option(help="configuration to plan")] = Path("config.yaml"),
    tflops: Annotated[
        float | None, typer.Option(min=1e-9, help="speed of a device; this machine's cores if not given")
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="number of such devices")] = 1,
) -> None:
    """Print jobs, disk, memory, FLOPs and time of a configuration, without running it."""
    from rosetta.plan.checks import check_config
    from rosetta.plan.methods import compare_methods
    from rosetta.plan.sweep import plan_run

    config, paths = _open(configfile)
    check_config(config, need_sources=False)
    planned = plan_run(config, paths, tflops, devices)
    print(planned.render())
    print(compare_methods(config, paths, planned))


@app.command()
def pin(
    configfile: Annotated[Path, typer.Option(help="configuration to pin")],
    out: Annotated[Path | None, typer.Option(help="where to write it; printed if not given")] = None,
) -> None:
    """Replace the revisions of hub models and datasets by commits, of models such that have safetensors."""
    from huggingface_hub import HfApi

    from rosetta.steps.pin import pin_text

    text = pin_text(configfile, HfApi())
    if out:
        _write(out, text)
    else:
        print(text, end="")


@app.command()
def status(
    results: Annotated[Path, typer.Argument(help="results folder of a run")] = Path("results"),
) -> None:
    """Show what of a run is done, running, missing or failed, its disk, and the time left."""
    from rosetta.run.status import started_in, status_text

    path = Paths(results).run_config
    if not path.exists():
        raise ConfigError(f"{path}: no such file. Name the results folder of a run that has begun.")
    config = load_config(path)
    print(status_text(config, Paths(results), started_in(config, results)))


@app.command()
def verify(
    results: Annotated[Path, typer.Argument(help="results folder of a run, or of `rosetta filter`")] = Path("results"),
) -> None:
    """Find all damaged files of a results folder; print the one command that makes exactly them again."""
    from rosetta.run.verify import verify

    if not results.is_dir():
        raise ConfigError(f"{results}: no such folder. Name the results folder of a run.")
    print(verify(results))


@app.command("config-reference")
def config_reference() -> None:
    """Print the documentation of all configuration keys, docs/configuration.md."""
    from rosetta.config.documentation import render_reference

    print(render_reference(Config), end="")


@app.command()
def corpus(config: ConfigOption) -> None:
    """Build the corpus: harvest or read documents, deduplicate, split."""
    from rosetta.steps.corpus import corpus_step

    corpus_step(*_open(config))


@app.command()
def tokenizer(config: ConfigOption, family: Annotated[str, typer.Option(help="name of a zoo family")]) -> None:
    """Train the tokenizer of a zoo family."""
    from rosetta.steps.models import tokenizer_step

    tokenizer_step(*_open(config), family)


@app.command()
def train(config: ConfigOption, model: ModelOption) -> None:
    """Train a zoo model, from its last checkpoint if there is one."""
    from rosetta.steps.models import train_step

    train_step(*_open(config), model)


@app.command()
def model(config: ConfigOption, model: ModelOption) -> None:
    """Check a model end to end and write its manifest."""
    from rosetta.steps.models import model_step

    model_step(*_open(config), model)


@app.command()
def activations(
    config: ConfigOption, model: ModelOption, shard: Annotated[int, typer.Option(help="number of the shard")]
) -> None:
    """Capture the activations of all layers of a model on one shard of the match split."""
    from rosetta.steps.activations import activations_step

    activations_step(*_open(config), model, shard)


StoresA = Annotated[Path, typer.Option("--a", help="folder of the first model's shard stores")]
StoresB = Annotated[Path, typer.Option("--b", help="folder of the second model's shard stores")]
Pooling = Annotated[str, typer.Option(help="mean, max or median over the tokens of an aligned span")]
MaxK = Annotated[int, typer.Option(help="neighbours kept per neuron (one more is kept for margins)")]
MemoryGb = Annotated[float, typer.Option(help="memory budget")]
Precision = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float64 products")]
Method = Annotated[str, typer.Option(help="exact, or screened: candidates from sketches, exact and certified")]
MinR = Annotated[float | None, typer.Option("--min-r", help="screened: give up on matches with r below this")]
Scheduler = Annotated[str, typer.Option(help="threads, processes, slurm or the address of a Dask scheduler")]
Workers = Annotated[int, typer.Option("--n-workers", min=1, help="tasks at once; local ones share the budget")]
Threads = Annotated[int | None, typer.Option(min=1, help="cores that each task uses; all of them if not given")]
Jobqueue = Annotated[str, typer.Option(help="JSON: options of dask_jobqueue.SLURMCluster")]


@store_app.command("check")
def store_check(
    path: Annotated[Path, typer.Argument(help="a store's manifest, or a folder of shard stores")],
) -> None:
    """Check every byte and value of stores against docs/stores.md; print what they hold."""
    from rosetta.activations.validation import check_path

    for line in check_path(path):
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
    exclusions: Annotated[str, typer.Option(help="JSON: the configuration's section `exclusions`")] = "{}",
    permute_seed: Annotated[int | None, typer.Option(min=0, help="permute the second model's positions")] = None,
    exchange_seed: Annotated[int | None, typer.Option(min=0, help="exchange the second model's documents")] = None,
    documents: Annotated[
        Path | None, typer.Option(help="Parquet of the documents: id, domain, source; for --exchange-seed")
    ] = None,
) -> None:
    """Correlate all neurons of two models; write each neuron's nearest neighbours."""
    from rosetta.correlation.pairs import correlate_stores
    from rosetta.correlation.view import View

    settings = parse_section(
        Correlation,
        dict(
            method=method,
            max_k=max_k,
            memory_gb=memory_gb,
            precision=precision,
            n_jobs=n_jobs,
            screening=_json("--screening", screening),
        ),
    )
    pooled = parse_section(Alignment, dict(pooling=pooling)).pooling
    if permute_seed is not None and exchange_seed is not None:
        raise ConfigError("--permute-seed, --exchange-seed: give one of them.")
    if (exchange_seed is None) != (documents is None):
        raise ConfigError(
            "--exchange-seed, --documents: give both, or none: the table says of what domain documents are."
        )
    excluded = parse_section(Exclusions, _json("--exclusions", exclusions))
    view = View(excluded, permute_seed=permute_seed, exchange_seed=exchange_seed, documents=documents)
    correlate_stores(a, b, out, pooled, settings, _dask(scheduler, n_workers, threads, jobqueue), job=job, view=view)


@app.command("match")
def match_(
    out: OutOption,
    neighbors: Annotated[
        list[Path] | None, typer.Argument(help="what the jobs of `correlate` wrote for a pair; or give --a and --b")
    ] = None,
    a: Annotated[Path | None, typer.Option("--a", help="folder of the first model's shard stores")] = None,
    b: Annotated[Path | None, typer.Option("--b", help="folder of the second model's shard stores")] = None,
    k: Annotated[int, typer.Option(min=1, max=1000, help="mutual k-nearest neighbours")] = 1,
    pooling: Pooling = "mean",
    memory_gb: MemoryGb = _CORRELATION.memory_gb,
    method: Method = _CORRELATION.method,
    min_r: MinR = None,
    precision: Precision = _CORRELATION.precision,
    threads: Threads = None,
    null: Annotated[list[str] | None, typer.Option(help="NAME=FILE: what `nulls` wrote, for p-values")] = None,
    intervals: Annotated[Path | None, typer.Option(help="what `intervals` wrote, for the intervals of r")] = None,
) -> None:
    """Match the neurons of two models: mutual k-nearest neighbours with r, ranks and margins."""
    from rosetta.steps.matches import match_step

    if bool(neighbors) == bool(a and b) or bool(a) != bool(b):
        raise ConfigError("give either the files that `rosetta correlate` wrote, or both --a and --b.")
    if neighbors:
        match_step(neighbors, out, k, dict(_named_file(text) for text in null or []), intervals)
        return
    if min_r is not None and method != "screened":
        raise ConfigError("--min-r: is what screening certifies. Give --method screened too, or leave it out.")
    from rosetta.correlation.pairs import correlate_stores

    settings = parse_section(
        Correlation,
        dict(method=method, max_k=k, memory_gb=memory_gb, precision=precision, screening=dict(min_r=min_r)),
    )
    pooled = parse_section(Alignment, dict(pooling=pooling)).pooling
    with scratch_folder(out.with_name(f".match-{out.name}")) as folder:
        lists = folder / "neighbors.parquet"
        correlate_stores(a, b, lists, pooled, settings, _dask("threads", 1, threads, "{}"))
        match_step([lists], out, k)


def _write(path: Path, text: str) -> None:
    """Write a configuration that may be edited: without a digest."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _named_file(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if name not in NULLS or not equals:
        raise ConfigError(f"--null: {text!r} is not NAME=FILE with a name of {', '.join(NULLS)}.")
    return name, Path(path)


def _dask(scheduler: str, n_workers: int, threads: int | None, jobqueue: str) -> Dask:
    """Return where tasks run; without a number of threads, every core of this machine works."""
    options = _json("--jobqueue", jobqueue)
    threads = threads or max(1, (os.cpu_count() or 1) // n_workers)
    values = dict(scheduler=scheduler, n_workers=n_workers, threads_per_worker=threads, jobqueue=options)
    return parse_section(Dask, values)


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
    matches: Annotated[list[Path], typer.Argument(help="matches of the anchor with each other model")],
    out: OutOption,
) -> None:
    """Write the Rosetta Neurons of a group: anchor neurons matched in every comparison."""
    from rosetta.steps.matches import anchors_step

    check_kept(out, matches)
    anchors_step(matches, out)


@app.command()
def counts(config: ConfigOption) -> None:
    """Count Rosetta Neurons per rung of every ladder, with intervals."""
    from rosetta.steps.counts import counts_step

    counts_step(*_open(config))


@app.command()
def fit(
    counts: Annotated[Path, typer.Argument(metavar="COUNTS.csv", help="columns ladder, n_neurons, matches")],
    out: Annotated[Path | None, typer.Option(callback=check_out, help="CSV to write; printed if not given")] = None,
    replicates: Annotated[Path | None, typer.Option(help="counts on half-samples of the documents")] = None,
    controls: Annotated[Path | None, typer.Option(help="counts under the null models")] = None,
    pooled: Annotated[Path | None, typer.Option(help="CSV to write: one exponent for all ladders of pairs")] = None,
    nulls: Annotated[Path | None, typer.Option(help="CSV to write: the exponents of --controls")] = None,
) -> None:
    """Fit the power law |R| = c · x^α to every ladder of a table of counts."""
    from rosetta.steps.counts import fit_step

    if nulls and not controls:
        raise ConfigError("--nulls: has no counts to fit; give --controls.")
    table = fit_step(counts, out, replicates, controls, pooled, nulls)
    if out is None:
        print(table.to_string(index=False))


@app.command()
def vocabulary(config: ConfigOption, model: ModelOption) -> None:
    """Measure how few tokens each neuron of a model writes to: vocabulary kurtosis."""
    from rosetta.steps.vocabulary import vocabulary_step

    vocabulary_step(*_open(config), model)


@app.command()
def neurons(config: ConfigOption, model: ModelOption) -> None:
    """Find how each neuron of a model is distributed, when it fires, and its top contexts, in one pass."""
    from rosetta.steps.neurons import neurons_step

    neurons_step(*_open(config), model)


@app.command()
def contexts(
    config: ConfigOption, group: Annotated[str, typer.Option(help="models of a rung joined by --, the anchor first")]
) -> None:
    """Read matched neurons' partners on their top contexts; collect what the viewer shows of the group."""
    from rosetta.steps.neurons import contexts_step

    contexts_step(*_open(config), group)


@app.command()
def describe(config: ConfigOption) -> None:
    """Compare Rosetta Neurons with the others: selectivity, specialisation, depth, findings."""
    from rosetta.steps.describe import describe_step

    describe_step(*_open(config))


@app.command("neuron-figures")
def neuron_figures(config: ConfigOption) -> None:
    """Draw what Rosetta Neurons are like."""
    from rosetta.report.neuron_figures import draw_neuron_figures

    _, paths = _open(config)
    draw_neuron_figures(paths)


@app.command()
def figures(
    counts: Annotated[Path, typer.Option(help="table of counts")],
    scaling: Annotated[Path, typer.Option(help="table of fitted laws")],
    nulls: Annotated[Path, typer.Option(help="table of counts under the null models, by rung")],
    null_scaling: Annotated[Path, typer.Option(help="table of the laws of these counts")],
    thresholds: Annotated[Path, typer.Option(help="table of counts and exponents above thresholds of r")],
    out: Annotated[Path, typer.Option(help="figure without its suffix; PNG and PDF are written")],
) -> None:
    """Draw the scaling law."""
    from rosetta.report.scaling_figure import ScalingTables, write_scaling_figure

    write_scaling_figure(ScalingTables.read(counts, scaling, nulls, null_scaling, thresholds), out)


@app.command()
def annotate(config: ConfigOption) -> None:
    """Ask a language model what neurons respond to; goes on where a run before stopped."""
    from rosetta.steps.annotate import annotate_step

    annotate_step(*_open(config))


@app.command()
def viewer(config: ConfigOption) -> None:
    """Write the self-contained neuron viewer."""
    from rosetta.report.viewer import write_viewer

    write_viewer(*_open(config))


@app.command()
def report(config: ConfigOption) -> None:
    """Write the self-contained report."""
    from rosetta.report.page import write_report

    write_report(*_open(config))
