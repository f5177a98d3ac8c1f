"""Costs of simulating the analytical model."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from rosetta.config.base import GB
from rosetta.config.theory import TheorySimulation
from rosetta.plan.costs.base import Cost, Known, Operations

# In operations of a matrix product: a normal deviate, and what a simulation of any size costs
# (stores, correlation).
FLOPS_PER_DEVIATE = 1000.0
FLOPS_PER_SIMULATION = 3e10


def theory_simulate(known: Known, beta: float) -> Cost:
    """Return the cost of simulating one decay: served neurons, and whole networks, of all sizes."""
    n_inputs = known.config.theory.simulation.n_inputs
    served, stored = _simulation(known, [beta], {"n_inputs": n_inputs})
    whole_inputs = known.config.theory.whole.n_inputs
    whole, of_whole = _simulation(known, [beta], {"n_inputs": whole_inputs}, whole=True)
    return _simulated(known, served + whole, max(stored, of_whole))


def theory_sweep(known: Known, parameter: str, value: float) -> Cost:
    """Return the cost of simulating all decays at one value of a swept parameter."""
    simulation = known.config.theory.simulation
    changed = {"n_inputs": simulation.n_inputs, parameter: value}
    return _simulated(known, *_simulation(known, simulation.betas, changed))


def _simulated(known: Known, flops: float, stored: float) -> Cost:
    """Return the cost of a job whose correlations keep within the memory budget."""
    budget = known.config.correlation.memory_gb * GB
    return Cost(budget, Operations.at(1.0, flops), scratch_bytes=stored)


def _simulation(
    known: Known, betas: list[float], changed: dict[str, float], *, whole: bool = False
) -> tuple[float, float]:
    """Return the operations of simulating a grid, and the bytes of its largest run's stores.

    `changed` has `n_inputs`, and `kappa` or `gamma` if it is not the configuration's.
    """
    theory = known.config.theory
    kappa, gamma = changed.get("kappa", theory.kappa), changed.get("gamma", theory.gamma)
    settings = theory.simulation.model_copy(update={"n_inputs": int(changed["n_inputs"])})
    grid = theory.whole if whole else theory.simulation
    cells = _Grid(tuple(betas), kappa, gamma, tuple(grid.sizes), grid.runs)
    return _grid_cost(cells, settings.model_dump_json(), whole)


class _Grid(NamedTuple):
    """What is simulated: models of the theory, their sizes, and the runs of each."""

    betas: tuple[float, ...]
    kappa: float
    gamma: float
    sizes: tuple[int, ...]
    runs: int


@lru_cache(maxsize=1024)  # Snakemake asks again for every job
def _grid_cost(grid: _Grid, settings: str, whole: bool) -> tuple[float, float]:
    from rosetta.theory.allocation import AllocationModel  # needs scipy
    from rosetta.theory.simulation import Cell, expected_cost

    models = [AllocationModel(beta, grid.kappa, grid.gamma) for beta in grid.betas]
    runs = range(grid.runs)
    cells = [Cell(model, n, run) for model in models for n in grid.sizes for run in runs]
    simulation = TheorySimulation.model_validate_json(settings)
    deviates, stored = expected_cost(cells, simulation, whole=whole)
    return deviates * FLOPS_PER_DEVIATE + len(cells) * FLOPS_PER_SIMULATION, stored
