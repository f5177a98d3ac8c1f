"""Synthetic models with planted isolations (method, section 7; Dravid 2026, App. D.7).

Both models solve the same allocation. Every feature with s_r > 0 gets one neuron per model,

    m_r = a_r z_r + Σ_{k ∈ B_r} b_rk z_k + σ∞ ε,    a_r² = s_r (σ∞² + I²),    Σ_k b_rk² = I²,

so that its signal-to-interference ratio is s_r exactly. The feature values z ~ N(0, 1) are shared
by the two models; background sets B_r, mixtures b and noise ε are drawn again for each. Values are
made in blocks of inputs from counter-like seeds, so neither z (features × inputs) nor the
activations ever exist whole.

A model has more neurons than served features. `plant` makes the served ones alone, as the paper
describes it; `plant_whole` makes all N, the others being mixtures and noise without a feature of
their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from rosetta.config.theory import TheorySimulation
from rosetta.errors import ConfigError
from rosetta.theory.allocation import AllocationModel, allocate, continuum_r0, power_law_importance

BLOCK_INPUTS = 64  # part of the seeds: another value draws other numbers
_FEATURES, _LOADINGS, _NOISE, _UNSERVED = range(4)  # which random stream

SERVED_NEURONS, ALL_NEURONS = "served", "all"  # which neurons a simulation has
SIMULATION_COLUMNS = [
    "beta",
    "neurons",
    "n",
    "run",
    "matches",
    "true_matches",
    "matches_above_null",
    "isolation_rosetta",
    "isolation_rest",
    "alpha_from_r",
]


@dataclass(frozen=True)
class Cell:
    """One simulation: a model of the theory at a size, and the number of the run."""

    model: AllocationModel
    n: int
    run: int

    def rng(self, seed: int, stream: int, *more: int) -> np.random.Generator:
        """Return the generator of a stream of this run, independent between cells."""
        parameters = (self.model.beta, self.model.kappa, self.model.gamma)
        return np.random.default_rng(
            [seed, self.n, self.run, stream, *more, *(round(p * 1e6) for p in parameters)]
        )


@dataclass(frozen=True)
class PlantedNetworks:
    """Isolations and loadings of simulated models that read the same inputs.

    Attributes
    ----------
    s : ndarray of float64, shape (n_served,)
        Isolation of feature r, which is neuron r − 1 of the first two models.
    loadings : tuple of CSR matrices of float32, shape (n_neurons, n_used)
        W of each model over the features that occur in any; the target of a served neuron j is
        column `target[j]`. Two models; of whole networks four, the last two serving no feature.
    target : ndarray of int64, shape (n_served,)
    """

    s: np.ndarray
    loadings: tuple[sparse.csr_array, sparse.csr_array]
    target: np.ndarray


def plant(cell: Cell, settings: TheorySimulation) -> PlantedNetworks:
    """Solve the allocation and draw the loadings of both models' served neurons.

    Raises
    ------
    ConfigError
        If the allocation wants more neurons than the model has.
    """
    s, pool = _served(cell, settings)
    return _planted(
        s,
        [_loadings(s, pool, settings, cell.rng(settings.seed, _LOADINGS, side)) for side in (0, 1)],
    )


def plant_whole(cell: Cell, settings: TheorySimulation) -> PlantedNetworks:
    """Draw loadings of all N neurons of two models, and of two that serve nothing.

    A neuron without a feature is a mixture of the pool's features, of the same norm as the
    background of the others, and noise. The last two models have only such neurons: what is matched
    between them is matched by chance.

    Raises
    ------
    ConfigError
        If the allocation wants more neurons than the model has.
    """
    s, pool = _served(cell, settings)
    networks = []
    for number, n_served in enumerate((len(s), len(s), 0, 0)):
        served = _loadings(s[:n_served], pool, settings, cell.rng(settings.seed, _LOADINGS, number))
        rng = cell.rng(settings.seed, _UNSERVED, number)
        columns = rng.integers(0, pool, size=(cell.n - n_served) * settings.background)
        networks.append(
            sparse.vstack([served, _mixture(columns, pool, settings, rng)], format="csr")
        )
    return _planted(s, networks)


def _served(cell: Cell, settings: TheorySimulation) -> tuple[np.ndarray, int]:
    """Return the isolations of the served features, and how many features backgrounds are drawn
    from.
    """
    n_features = cell.model.n_features(cell.n)
    s = allocate(power_law_importance(n_features, cell.model.beta), cell.model.budget(cell.n))
    s = s[s > 0]
    if len(s) > cell.n:
        raise ConfigError(
            f"theory.kappa: at {cell.model.kappa:g}, beta {cell.model.beta:g} and N = {cell.n} "
            "the allocation serves "
            f"{len(s)} features, more than there are neurons. Lower it, or raise "
            "theory.simulation.sizes."
        )
    return s, len(s) if settings.background_pool == "served" else n_features


def _planted(s: np.ndarray, loadings: list[sparse.csr_array]) -> PlantedNetworks:
    used = np.unique(np.concatenate([matrix.indices for matrix in loadings]))
    return PlantedNetworks(
        s, tuple(matrix[:, used] for matrix in loadings), np.searchsorted(used, np.arange(len(s)))
    )


def _loadings(
    s: np.ndarray, pool: int, settings: TheorySimulation, rng: np.random.Generator
) -> sparse.csr_array:
    """Return the served neurons' loadings (n_served, pool): the target on the diagonal, a mixture
    beside it.
    """
    neuron = np.arange(len(s))
    target = np.sqrt(s * (settings.noise**2 + settings.interference**2))
    diagonal = sparse.csr_array((target, (neuron, neuron)), shape=(len(s), pool))
    if pool == 1:  # no other feature can interfere
        return diagonal.astype(np.float32)
    rows = np.repeat(neuron, settings.background)
    columns = rng.integers(0, pool - 1, size=len(rows))
    columns += columns >= rows  # any feature but the neuron's own
    return (_mixture(columns, pool, settings, rng) + diagonal).tocsr().astype(np.float32)


def _mixture(
    columns: np.ndarray, pool: int, settings: TheorySimulation, rng: np.random.Generator
) -> sparse.csr_array:
    """Return a Gaussian mixture of fixed norm per neuron, given the features of all, `background`
    for each.
    """
    n_neurons = len(columns) // settings.background
    rows = np.repeat(np.arange(n_neurons), settings.background)
    mixture = sparse.csr_array(
        (rng.standard_normal(len(rows)), (rows, columns)), shape=(n_neurons, pool)
    )
    norms = np.sqrt(mixture.power(2).sum(axis=1))
    return sparse.diags_array(settings.interference / norms) @ mixture


def activation_blocks(
    planted: PlantedNetworks, cell: Cell, number: int, settings: TheorySimulation
) -> Iterator[np.ndarray]:
    """Yield one model's activations in blocks of at most `BLOCK_INPUTS` inputs.

    Parameters
    ----------
    planted : PlantedNetworks
        What `plant` or `plant_whole` returned for the cell.
    cell : Cell
        The simulation.
    number : int
        Which of its models.
    settings : TheorySimulation
        Number of inputs, noise, seed.

    Yields
    ------
    ndarray of float32, shape (n_rows, n_neurons)
    """
    weights = planted.loadings[number]
    n_neurons, n_used = weights.shape
    for block, start in enumerate(range(0, settings.n_inputs, BLOCK_INPUTS)):
        rows = min(BLOCK_INPUTS, settings.n_inputs - start)
        z = cell.rng(settings.seed, _FEATURES, block).standard_normal(
            (n_used, rows), dtype=np.float32
        )
        noise = cell.rng(settings.seed, _NOISE, block, number).standard_normal(
            (rows, n_neurons), dtype=np.float32
        )
        yield (weights @ z).T + np.float32(settings.noise) * noise


def isolations(isolation: np.ndarray, matched: np.ndarray) -> tuple[float, float]:
    """Return mean isolation of matched neurons and of all others; NaN if none.

    Parameters
    ----------
    isolation : ndarray, shape (n_neurons,)
        Isolation of every neuron of a model, 0 for those without a feature.
    matched : ndarray of int
        Which of them are matched.
    """
    inside = float(isolation[matched].sum())
    rest = max(float(isolation.sum()) - inside, 0.0)
    count, n = len(matched), len(isolation)
    return (
        inside / count if count else float("nan"),
        rest / (n - count) if n > count else float("nan"),
    )


def expected_cost(
    cells: list[Cell], settings: TheorySimulation, *, whole: bool = False
) -> tuple[float, float]:
    """Return the expected number of normal deviates, and the largest run's store bytes.

    Of simulations of the served neurons, or of `whole` networks.
    """
    deviates, largest = 0.0, 0.0
    for cell in cells:
        features = cell.model.n_features(cell.n)
        served = min(continuum_r0(cell.model.budget(cell.n), cell.model.beta, features), features)
        pool = features if settings.background_pool == "all" else served
        networks, neurons = (4, cell.n) if whole else (2, served)
        used = max(served, pool * -np.expm1(-networks * neurons * settings.background / pool))
        deviates += networks * settings.n_inputs * (used + neurons)
        largest = max(largest, 4.0 * networks * neurons * settings.n_inputs)
    return deviates, largest
