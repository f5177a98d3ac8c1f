"""The commands of a run's pairs: neighbours, controls and uncertainty."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from rosetta.cli.options import (
    ConfigOption,
    ModelOption,
    PairOption,
    ThreadsOption,
    checked_pair,
    cores_of,
    on_cores,
    open_run,
)
from rosetta.config import Config
from rosetta.config.controls import NULLS
from rosetta.config.dask import all_cores
from rosetta.config.training_ladders import step_pairs
from rosetta.errors import ConfigError


def _checked(config: Config, pair: str, pairs: list[tuple[str, str]]) -> str:
    """Return the name of one of some pairs, or of a pair at a step of its training."""
    return checked_pair(pair, pairs, step_pairs(config))


def twins(config: ConfigOption, model: ModelOption, threads: ThreadsOption = None) -> None:
    """Make the untrained twins of a model, one per seed, and capture their activations."""
    from rosetta.activations.steps import twins_step

    twins_step(*open_run(config), model, threads or all_cores())


def neighbors(
    config: ConfigOption,
    pair: PairOption,
    job: Annotated[int, typer.Option(help="number of this job")] = 0,
    threads: ThreadsOption = None,
) -> None:
    """Correlate a pair of the run, as its configuration says; write each neuron's nearest
    neighbours.
    """
    from rosetta.correlation.steps import neighbors_step

    loaded, paths = open_run(config)
    neighbors_step(
        on_cores(loaded, threads), paths, _checked(loaded, pair, loaded.all_pairs()), job
    )


def matches(config: ConfigOption, pair: PairOption) -> None:
    """Match a pair of the run, with p-values from its null models and intervals."""
    from rosetta.matching.steps import matches_step

    loaded, paths = open_run(config)
    matches_step(loaded, paths, _checked(loaded, pair, loaded.all_pairs()))


def nulls(
    config: ConfigOption,
    control: Annotated[str, typer.Option(help=", ".join(NULLS))],
    pair: PairOption,
    threads: ThreadsOption = None,
) -> None:
    """Match a pair under a null model, once per seed."""
    from rosetta.matching.steps import nulls_step

    loaded, paths = open_run(config)
    if control not in loaded.controls.names:
        known = ", ".join(loaded.controls.names) or "none"
        raise ConfigError(
            f"--control: {control!r} is not a null model of the run; there are {known}."
        )
    pair = _checked(loaded, pair, loaded.pairs())
    if control not in loaded.controls_of(pair):
        known = ", ".join(loaded.controls_of(pair)) or "none"
        raise ConfigError(f"--control: {control!r} is no null model of {pair}; there are {known}.")
    nulls_step(on_cores(loaded, threads), paths, control, pair)


def intervals(config: ConfigOption, pair: PairOption, threads: ThreadsOption = None) -> None:
    """Match a pair on half-samples of the documents; write its correlations' intervals."""
    from rosetta.matching.steps import intervals_step

    loaded, paths = open_run(config)
    pair = _checked(loaded, pair, loaded.pairs())
    intervals_step(loaded, paths, pair, cores_of(loaded, threads))


def sweeps(config: ConfigOption, pair: PairOption, threads: ThreadsOption = None) -> None:
    """Match a pair with smaller budgets, halves, other poolings and other exclusions."""
    from rosetta.matching.steps import sweeps_step

    loaded, paths = open_run(config)
    sweeps_step(on_cores(loaded, threads), paths, checked_pair(pair, loaded.pairs()))


def simulate_stores(
    out: Annotated[Path, typer.Option(help="folder for the stores a/ and b/ and truth.parquet")],
    ratio: Annotated[
        list[float],
        typer.Option(help="signal-to-interference ratios, dealt in turn to sharing pairs"),
    ],
    shared: Annotated[int, typer.Option(min=0, help="pairs of neurons that share a feature")] = 64,
    layers: Annotated[int, typer.Option(min=1)] = 2,
    d_mlp: Annotated[int, typer.Option(min=1)] = 128,
    documents: Annotated[int, typer.Option(min=1)] = 100,
    document_bytes: Annotated[int, typer.Option(min=1)] = 200,
    shards: Annotated[int, typer.Option(min=1)] = 2,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Write two models' stores in which known neurons share a feature."""
    from rosetta.models.neurons import NeuronShape
    from rosetta.theory.planted_stores import PlantedStores
    from rosetta.theory.steps import simulate_stores_step

    if shared > layers * d_mlp:
        raise ConfigError(f"--shared: {shared} is above the {layers * d_mlp} neurons of a model.")
    if not all(0 < value < math.inf for value in ratio):
        raise ConfigError(
            f"--ratio: {min(ratio):g} to {max(ratio):g} are not all finite and above 0."
        )
    if shards > documents:
        raise ConfigError(f"--shards: {shards} is above --documents ({documents}).")
    ratios = tuple(ratio[i % len(ratio)] for i in range(shared))
    shape = NeuronShape(layers, d_mlp)
    simulate_stores_step(out, PlantedStores(shape, ratios, documents, document_bytes, seed, shards))


def control_tables(config: ConfigOption) -> None:
    """Write the tables of the controls and sweeps."""
    from rosetta.analysis.steps import control_tables_step

    control_tables_step(*open_run(config))


def control_figures(config: ConfigOption) -> None:
    """Draw the nulls, the sweeps and the stability."""
    from rosetta.report.steps import control_figures_step

    control_figures_step(*open_run(config))


COMMANDS = (
    twins,
    neighbors,
    matches,
    nulls,
    intervals,
    sweeps,
    simulate_stores,
    control_tables,
    control_figures,
)
