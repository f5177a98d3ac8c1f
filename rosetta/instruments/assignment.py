"""One-to-one assignment of neurons: the permutation with the largest sum of correlations."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from rosetta.correlation.resample import Replicate

# In place of an undefined correlation: below every one, so that such a pair is the last resort.
_UNDEFINED = -2.0


def assigned_pairs(r: torch.Tensor) -> Replicate:
    """Return the assignment that maximises Σ r, each neuron in at most one pair.

    All neurons of the smaller model have a partner, near or far; pairs of dead ones are left out
    (Kuhn 1955; Jonker and Volgenant 1987, as in SciPy).

    Parameters
    ----------
    r : Tensor of float64, shape (D_A, D_B)
        Correlations; -inf where they are not defined.
    """
    values = r.numpy()
    u, v = linear_sum_assignment(np.where(np.isfinite(values), values, _UNDEFINED), maximize=True)
    found = values[u, v]
    kept = np.isfinite(found)
    return Replicate(u[kept].astype(np.int64), v[kept].astype(np.int64), found[kept])
