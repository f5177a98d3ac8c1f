"""Steps of the analytical model that compute with torch: simulated networks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from rosetta.config import Config, parse_config
from rosetta.config.theory import Theory, TheorySimulation, TheoryWhole
from rosetta.errors import ConfigError
from rosetta.progress import bar
from rosetta.run.paths import Paths
from rosetta.storage.tables import write_csv
from rosetta.theory.allocation import AllocationModel
from rosetta.theory.matched_simulations import simulate, simulate_whole
from rosetta.theory.simulation import SIMULATION_COLUMNS, Cell


def simulate_step(config: Config, paths: Paths, betas: list[float], out: Path) -> None:
    """Simulate some decays at all configured sizes and runs: served neurons alone, and whole networks."""
    theory, scratch = config.theory, _scratch(out)
    rows = _simulate_served(config, betas, scratch)
    for beta in betas:
        cells = _cells(theory, beta, theory.whole)
        shown = bar(cells, total=len(cells), label="whole networks", unit="run")
        rows += simulate_whole(shown, theory, config.controls.null_quantile, config.correlation.memory_gb, scratch)
    write_csv(out, pd.DataFrame(rows, columns=SIMULATION_COLUMNS))


def sweep_step(config: Config, paths: Paths, parameter: str, value: float, out: Path) -> None:
    """Simulate all configured decays, sizes and runs at another value of one parameter."""
    if parameter not in ("kappa", "gamma", "n_inputs"):
        raise ConfigError(f"--parameter: {parameter!r} is not kappa, gamma or n_inputs.")
    data = config.model_dump(mode="json")
    section = data["theory"]["simulation"] if parameter == "n_inputs" else data["theory"]
    section[parameter] = int(value) if value.is_integer() else value
    swept = parse_config(data)
    rows = _simulate_served(swept, swept.theory.simulation.betas, _scratch(out))
    table = pd.DataFrame(rows, columns=SIMULATION_COLUMNS)
    table.insert(0, "parameter", parameter)
    table.insert(1, "value", value)
    write_csv(out, table)


def _simulate_served(config: Config, betas: list[float], scratch: Path) -> list[dict]:
    theory = config.theory
    cells = [cell for beta in betas for cell in _cells(theory, beta, theory.simulation)]
    shown = bar(cells, total=len(cells), label="simulations", unit="run")
    return [simulate(cell, theory.simulation, config.correlation.memory_gb, scratch) for cell in shown]


def _cells(theory: Theory, beta: float, grid: TheorySimulation | TheoryWhole) -> list[Cell]:
    model = AllocationModel(beta, theory.kappa, theory.gamma, theory.tau)
    return [Cell(model, n, run) for n in grid.sizes for run in range(grid.runs)]


def _scratch(out: Path) -> Path:
    return out.with_name(f".simulation-{out.stem}")
