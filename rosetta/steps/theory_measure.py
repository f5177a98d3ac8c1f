"""Steps of the analytical model that compute with torch: simulated ladders, spectra of real activations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from rosetta.activations.folders import open_stores
from rosetta.config import Config, parse_config
from rosetta.errors import ConfigError
from rosetta.paths import Paths
from rosetta.progress import bar
from rosetta.tables import read_csv, write_csv, write_parquet
from rosetta.theory.allocation import AllocationModel
from rosetta.theory.recovery import simulate
from rosetta.theory.simulation import SIMULATION_COLUMNS, Cell
from rosetta.theory.spectrum import covariance_halves, cross_validated_spectrum, sample_units


def simulate_step(config: Config, paths: Paths, betas: list[float], out: Path) -> None:
    """Simulate the planted models of some decays at all configured sizes and runs."""
    settings, theory = config.theory.simulation, config.theory
    cells = [
        Cell(AllocationModel(beta, theory.kappa, theory.gamma, theory.tau), n, run)
        for beta in betas
        for n in settings.sizes
        for run in range(settings.runs)
    ]
    shown = bar(cells, total=len(cells), label="simulations", unit="run")
    scratch = out.with_name(f".simulation-{out.stem}")
    rows = [simulate(cell, settings, config.correlation.memory_gb, scratch) for cell in shown]
    write_csv(out, pd.DataFrame(rows, columns=SIMULATION_COLUMNS))


def sweep_step(config: Config, paths: Paths, parameter: str, value: float, out: Path) -> None:
    """Simulate all configured decays, sizes and runs at another value of one parameter."""
    if parameter not in ("kappa", "gamma", "n_inputs"):
        raise ConfigError(f"--parameter: {parameter!r} is not kappa, gamma or n_inputs.")
    data = config.model_dump(mode="json")
    section = data["theory"]["simulation"] if parameter == "n_inputs" else data["theory"]
    section[parameter] = int(value) if value.is_integer() else value
    swept = parse_config(data)
    simulate_step(swept, paths, swept.theory.simulation.betas, out)
    table = read_csv(out, SIMULATION_COLUMNS)
    table.insert(0, "parameter", parameter)
    table.insert(1, "value", value)
    write_csv(out, table)


def spectrum_step(config: Config, folder: Path, out: Path) -> None:
    """Write the cross-validated covariance spectrum of a model's activations."""
    stores = open_stores(folder)
    n_neurons = stores[0].n_layers * stores[0].d_mlp
    units = sample_units(n_neurons, config.theory.decay.max_units, config.theory.decay.seed)
    halves = covariance_halves(stores, units)
    values = cross_validated_spectrum(halves)
    table = pd.DataFrame({"rank": np.arange(1, len(values) + 1), "variance": values})
    write_parquet(out, table, {"n_neurons": n_neurons, "n_positions": sum(half.count for half in halves)})
