"""Two synthetic models with planted isolations (method, section 7; Dravid 2026, App. D.7).

Both models solve the same allocation. Every feature with s_r > 0 gets one neuron per model,

    m_r = a_r z_r + Σ_{k ∈ B_r} b_rk z_k + σ∞ ε,    a_r² = s_r (σ∞² + I²),    Σ_k b_rk² = I²,

so that its signal-to-interference ratio is s_r exactly. The feature values z ~ N(0, 1) are shared by the two
models; background sets B_r, mixtures b and noise ε are drawn anew for each. Values are made in blocks of inputs from
counter-like seeds, so neither z (features × inputs) nor the activations ever exist whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from rosetta.config_theory import TheorySimulation
from rosetta.errors import ConfigError
from rosetta.theory.allocation import AllocationModel, allocate, continuum_r0, power_law_importance

BLOCK_INPUTS = 64  # part of the seeds: another value draws other numbers
_FEATURES, _LOADINGS, _NOISE = range(3)  # which random stream


SIMULATION_COLUMNS = ["beta", "n", "run", "matches", "isolation_rosetta", "isolation_rest"]


@dataclass(frozen=True)
class Cell:
    """One simulation: a model of the theory at a size, and the number of the run."""

    model: AllocationModel
    n: int
    run: int

    def rng(self, seed: int, stream: int, *more: int) -> np.random.Generator:
        """Return the generator of a stream of this run; those of different cells are independent."""
        parameters = (self.model.beta, self.model.kappa, self.model.gamma)
        return np.random.default_rng([seed, self.n, self.run, stream, *more, *(round(p * 1e6) for p in parameters)])


@dataclass(frozen=True)
class PlantedPair:
    """Isolations and loadings of two simulated models.

    Attributes
    ----------
    s : ndarray of float64, shape (n_neurons,)
        Isolation of feature r, which is neuron r − 1 of both models.
    loadings : tuple of two CSR matrices of float32, shape (n_neurons, n_used)
        W of each model over the features that occur in either; the target of neuron j is column `target[j]`.
    target : ndarray of int64, shape (n_neurons,)
    """

    s: np.ndarray
    loadings: tuple[sparse.csr_array, sparse.csr_array]
    target: np.ndarray


def plant(cell: Cell, settings: TheorySimulation) -> PlantedPair:
    """Solve the allocation and draw the loadings of both models.

    Raises
    ------
    ConfigError
        If the allocation wants more neurons than the model has.
    """
    n_features = cell.model.n_features(cell.n)
    s = allocate(power_law_importance(n_features, cell.model.beta), cell.model.budget(cell.n))
    s = s[s > 0]
    if len(s) > cell.n:
        raise ConfigError(
            f"theory.kappa: at {cell.model.kappa:g}, beta {cell.model.beta:g} and N = {cell.n} the allocation serves "
            f"{len(s)} features, more than there are neurons. Lower it, or raise theory.simulation.sizes."
        )
    pool = len(s) if settings.background_pool == "served" else n_features
    both = [_loadings(s, pool, settings, cell.rng(settings.seed, _LOADINGS, side)) for side in (0, 1)]
    used = np.unique(np.concatenate([matrix.indices for matrix in both]))
    return PlantedPair(s, tuple(matrix[:, used] for matrix in both), np.searchsorted(used, np.arange(len(s))))


def _loadings(s: np.ndarray, pool: int, settings: TheorySimulation, rng: np.random.Generator) -> sparse.csr_array:
    """Return a model's loadings (n_neurons, pool): the target on the diagonal, a mixture of fixed norm beside it."""
    n_neurons = len(s)
    shape = (n_neurons, pool)
    neuron = np.arange(n_neurons)
    target = np.sqrt(s * (settings.noise**2 + settings.interference**2))
    diagonal = sparse.csr_array((target, (neuron, neuron)), shape=shape)
    if pool == 1:  # no other feature can interfere
        return diagonal.astype(np.float32)
    rows = np.repeat(neuron, settings.background)
    columns = rng.integers(0, pool - 1, size=len(rows))
    columns += columns >= rows  # any feature but the neuron's own
    mixture = sparse.csr_array((rng.standard_normal(len(rows)), (rows, columns)), shape=shape)
    norms = np.sqrt(mixture.power(2).sum(axis=1))
    return (sparse.diags_array(settings.interference / norms) @ mixture + diagonal).tocsr().astype(np.float32)


def activation_blocks(planted: PlantedPair, cell: Cell, side: int, settings: TheorySimulation) -> Iterator[np.ndarray]:
    """Yield one model's activations in blocks of at most `BLOCK_INPUTS` inputs.

    Parameters
    ----------
    planted : PlantedPair
        What `plant` returned for the cell.
    cell : Cell
        The simulation.
    side : {0, 1}
        Which model.
    settings : TheorySimulation
        Number of inputs, noise, seed.

    Yields
    ------
    ndarray of float32, shape (n_rows, n_neurons)
    """
    weights = planted.loadings[side]
    n_neurons, n_used = weights.shape
    for block, start in enumerate(range(0, settings.n_inputs, BLOCK_INPUTS)):
        rows = min(BLOCK_INPUTS, settings.n_inputs - start)
        z = cell.rng(settings.seed, _FEATURES, block).standard_normal((n_used, rows), dtype=np.float32)
        noise = cell.rng(settings.seed, _NOISE, block, side).standard_normal((rows, n_neurons), dtype=np.float32)
        yield (weights @ z).T + np.float32(settings.noise) * noise


def isolations(isolation: np.ndarray, matched: np.ndarray, n: int) -> tuple[float, float]:
    """Return the mean isolation of the matched neurons, and that of all others of the n neurons.

    Neurons without a feature have isolation 0. NaN where a set is empty.

    Parameters
    ----------
    isolation : ndarray, shape (n_neurons,)
        Isolation of the neurons that have a feature.
    matched : ndarray of int
        Which of them are matched.
    n : int
        Neurons of the model.
    """
    inside = float(isolation[matched].sum())
    rest = max(float(isolation.sum()) - inside, 0.0)
    count = len(matched)
    return (inside / count if count else float("nan"), rest / (n - count) if n > count else float("nan"))


def expected_cost(cells: list[Cell], settings: TheorySimulation) -> tuple[float, float]:
    """Return the expected number of normal deviates, and the bytes of the largest run's activation stores."""
    deviates, largest = 0.0, 0.0
    for cell in cells:
        features = cell.model.n_features(cell.n)
        neurons = min(continuum_r0(cell.model.budget(cell.n), cell.model.beta, features), features)
        pool = features if settings.background_pool == "all" else neurons
        used = max(neurons, pool * -np.expm1(-2 * neurons * settings.background / pool))
        deviates += 2 * settings.n_inputs * (used + neurons)
        largest = max(largest, 8.0 * neurons * settings.n_inputs)
    return deviates, largest
