"""Partial soft matching: units share their mass among partners, and may keep it.

Of all P ≥ 0 with row and column sums of at most 1, the soft matching maximises

    Σ P_uv (r_uv − price) + ε H(P, s, t),   s_u = 1 − Σ_v P_uv,   t_v = 1 − Σ_u P_uv,

where s and t are the masses that units keep (a dummy partner of gain 0), and H is the entropy
−Σ x (ln x − 1). It is entropic optimal transport in which units may stay unmatched. Its solution is
P_uv = s_u K_uv t_v with K = exp((r − price)/ε), and s and t solve

    s = 1 / (1 + K t),   t = 1 / (1 + Kᵀ s),

which a damped form of Sinkhorn's iteration finds (Sinkhorn and Knopp 1967; Cuturi 2013). As ε → 0
it is the assignment in which units stay alone rather than match below the price. Mass goes to
nearest neighbours only: a cell counts if it is among the `n_neighbors` largest of its row or its
column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array

from rosetta.correlation.resample import Replicate
from rosetta.correlation.topk import top_k

_MOST_STEPS = 5000
_TOLERANCE = 5e-3  # of the mass of a unit
# The same, above which a matching that stopped at the most steps is left out.
LARGEST_ERROR = 0.05


@dataclass(frozen=True)
class Coupling:
    """A soft matching.

    Attributes
    ----------
    mass : csr_array of float64, shape (D_A, D_B)
        P; no row or column sums to more than 1, but for `error`.
    error : float
        The most that a unit's mass, with what it keeps, differs from 1.
    """

    mass: csr_array
    error: float


def not_converged(error: float) -> str:
    """Return why a soft matching is left out for its `Coupling.error`; empty if it is not."""
    if error <= LARGEST_ERROR:
        return ""
    return (
        f"after {_MOST_STEPS:,} steps a unit's mass is still off by {error:.2g}, above "
        f"{LARGEST_ERROR:g}; raise instruments.soft_smoothing"
    )


def couple(gain: csr_array, smoothing: float) -> Coupling:
    """Return the soft matching of a sparse matrix of gains r − price.

    Parameters
    ----------
    gain : csr_array, shape (D_A, D_B)
        Cells that mass may go to; others are closed.
    smoothing : float
        ε.
    """
    kernel = gain.copy()
    kernel.data = np.exp(gain.data / smoothing)
    turned, error = kernel.T.tocsr(), 0.0
    # Where two units share all of their mass, s · t = 1/K: this start has it for the largest K, and
    # steps to the geometric mean of old and new keep it. Plain steps would move s and t apart, and
    # take as long to get back as K is large.
    start = np.exp(-gain.data.max(initial=0.0) / smoothing / 2)
    kept_a, kept_b = (np.full(n, start) for n in gain.shape)
    for _ in range(_MOST_STEPS):
        now_a, now_b = 1 / (1 + kernel @ kept_b), 1 / (1 + turned @ kept_a)
        # A row's mass with what it keeps is kept_a / now_a.
        errors = [np.abs(old / now - 1) for old, now in ((kept_a, now_a), (kept_b, now_b))]
        error = max(float(part.max(initial=0.0)) for part in errors)
        if error < _TOLERANCE:
            break
        kept_a, kept_b = np.sqrt(kept_a * now_a), np.sqrt(kept_b * now_b)
    mass = kernel.multiply(kept_a[:, None]).multiply(kept_b).tocsr()
    return Coupling(mass, error)


def nearest_cells(r: torch.Tensor, n_neighbors: int) -> csr_array:
    """Return the cells that are among the largest of their row or their column.

    Parameters
    ----------
    r : Tensor of float64, shape (D_A, D_B)
        Correlations; -inf where they are not defined.
    n_neighbors : int
        How many of a row, and of a column.
    """
    of_a, of_b = top_k(r, n_neighbors, 0), top_k(r.T, n_neighbors, 0)
    u, rank = np.nonzero(of_a.index >= 0)
    w, back = np.nonzero(of_b.index >= 0)
    n_b = r.shape[1]
    keys = np.unique(np.concatenate([u * n_b + of_a.index[u, rank], of_b.index[w, back] * n_b + w]))
    rows, columns = np.divmod(keys, n_b)
    values = r.numpy()[rows, columns]
    return csr_array((values, (rows, columns)), shape=tuple(r.shape))


@dataclass(frozen=True)
class SoftMatches:
    """Units of A of which more than half is matched.

    Attributes
    ----------
    found : Replicate
        The unit of A, its partner with the most mass, and the mean r of its mass.
    mass : float
        All mass that is matched.
    error : float
        As in `Coupling`.
    """

    found: Replicate
    mass: float
    error: float


def soft_matches(r: torch.Tensor, smoothing: float, price: float, n_neighbors: int) -> SoftMatches:
    """Return the soft matching of a matrix of correlations.

    Parameters
    ----------
    r : Tensor of float64, shape (D_A, D_B)
        Correlations; -inf where they are not defined.
    smoothing, price : float
        ε, and the r below which a unit is better left unmatched.
    n_neighbors : int
        As in `nearest_cells`.
    """
    cells = nearest_cells(r, n_neighbors)
    gain = cells.copy()
    gain.data = cells.data - price
    coupled = couple(gain, smoothing)
    mass, of_row = coupled.mass, np.asarray(coupled.mass.sum(axis=1)).ravel()
    weighted = np.asarray(mass.multiply(cells).sum(axis=1)).ravel()
    u = np.flatnonzero(of_row > 0.5)
    v = np.array([_heaviest(mass, row) for row in u.tolist()], dtype=np.int64)
    return SoftMatches(Replicate(u, v, weighted[u] / of_row[u]), float(of_row.sum()), coupled.error)


def _heaviest(mass: csr_array, row: int) -> int:
    cells = slice(mass.indptr[row], mass.indptr[row + 1])
    return int(mass.indices[cells][mass.data[cells].argmax()])
