"""The `rosetta theory` commands: the analytical model, its simulation, its predictions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from rosetta.cli.options import ConfigOption, OutOption, check_kept, check_out, open_run
from rosetta.errors import ConfigError
from rosetta.run.paths import Paths

theory_app = typer.Typer(
    no_args_is_help=True, help="The analytical model: simulate it, estimate β, predict, compare."
)

Parts = Annotated[list[Path], typer.Argument(help="tables of simulations")]
Polarization = Annotated[
    Path | None,
    typer.Option(help="selectivity of both groups by rung, tables/polarization.csv of a run"),
]


@theory_app.command()
def simulate(
    config: ConfigOption,
    out: OutOption,
    beta: Annotated[
        list[float] | None, typer.Option(help="decay of importance; all configured ones if none")
    ] = None,
) -> None:
    """Simulate two models with planted isolations and recover their matches, per size and run."""
    from rosetta.theory.steps import simulate_step

    loaded, paths = open_run(config)
    if not all(1 < value < math.inf for value in beta or []):
        raise ConfigError(
            "--beta: must be a number above 1; below, the sum of importances does not converge."
        )
    simulate_step(loaded, paths, beta or loaded.theory.simulation.betas, out)


@theory_app.command()
def sweep(
    config: ConfigOption,
    parameter: Annotated[str, typer.Option(help="kappa, gamma or n_inputs")],
    value: Annotated[float, typer.Option(min=0.0, help="its value")],
    out: OutOption,
) -> None:
    """Simulate at another value of one parameter."""
    from rosetta.theory.steps import sweep_step

    sweep_step(*open_run(config), parameter, value, out)


@theory_app.command("sweep-table")
def sweep_table(
    parts: Parts,
    out: OutOption,
    exponents: Annotated[Path, typer.Option(help="where the fitted exponents go")],
) -> None:
    """Join the swept simulations and fit their exponents."""
    from rosetta.theory.steps import sweep_table_step

    check_kept(parts, out=out, exponents=exponents)
    sweep_table_step(parts, out, exponents)


@theory_app.command()
def exponents(config: ConfigOption, parts: Parts) -> None:
    """Join simulations and fit the exponents of count and isolations."""
    from rosetta.theory.steps import exponents_step

    exponents_step(*open_run(config), parts)


@theory_app.command()
def frontiers(config: ConfigOption) -> None:
    """Solve the allocation: frontiers against size, and how the count depends on κ, γ and τ."""
    from rosetta.theory.steps import frontiers_step

    frontiers_step(*open_run(config))


@theory_app.command()
def ngrams(config: ConfigOption, out: OutOption) -> None:
    """Compute what the corpus's n-grams save, by rank."""
    from rosetta.theory.steps import ngrams_step

    ngrams_step(*open_run(config), out)


@theory_app.command()
def beta(config: ConfigOption, out: OutOption) -> None:
    """Estimate β of every ladder by every route, without the match counts."""
    from rosetta.theory.steps import beta_step

    beta_step(*open_run(config), out)


@theory_app.command()
def compare(config: ConfigOption, polarization: Polarization = None) -> None:
    """Set predictions and measurements of every ladder side by side."""
    from rosetta.theory.steps import compare_step

    compare_step(*open_run(config), polarization)


@theory_app.command()
def predict(
    to_size: Annotated[
        list[float], typer.Option(min=1.0, help="neurons per model; may be given several times")
    ],
    results: Annotated[
        Path, typer.Option(help="results folder of the run whose tables are read")
    ] = Path("results"),
    betas: Annotated[
        Path | None, typer.Option(help="table of β; theory_beta.csv of the run if not given")
    ] = None,
    counts: Annotated[
        Path | None, typer.Option(help="table of counts; counts.csv of the run if not given")
    ] = None,
    polarization: Annotated[
        Path | None,
        typer.Option(
            help="selectivity of both groups; if not given, polarization.csv beside the counts"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(callback=check_out, help="CSV to write; printed if not given")
    ] = None,
) -> None:
    """Extrapolate count, fraction and selectivity of every ladder, with 95% intervals."""
    from rosetta.theory.steps import predict_step

    if not all(map(math.isfinite, to_size)):
        raise ConfigError("--to-size: must be a finite number of neurons.")
    tables = Paths(results).table
    beta_table, count_table = betas or tables("theory_beta"), counts or tables("counts")
    check_kept([beta_table, count_table, polarization], out=out)
    table = predict_step(beta_table, count_table, to_size, polarization, out)
    if out is None:
        print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))


@theory_app.command()
def figures(config: ConfigOption) -> None:
    """Draw the theory's figures from its tables."""
    from rosetta.report.steps import theory_figures_step

    theory_figures_step(*open_run(config))
