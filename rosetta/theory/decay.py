"""How fast importance decays: β as the slope of a rank–value curve over a chosen range of ranks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rosetta.analysis.scaling import fit_log_log

POINTS = 40


@dataclass(frozen=True)
class Decay:
    """A fitted decay, value ∝ rank^(−β).

    Attributes
    ----------
    beta : float
        Over the whole range; NaN if too few values are positive.
    range_error : float
        Half the difference between the slopes of the range's two halves in log rank: 0 for a true
        power law. It stands for the choice of the range in the intervals.
    """

    beta: float
    range_error: float


def fit_decay(values: np.ndarray, first: int, last: int) -> Decay:
    """Fit values ∝ rank^(−β) between two ranks, both included."""
    ranks, means = binned_curve(values, first, last)
    middle = len(ranks) // 2
    front, back = (
        fit_log_log(ranks[half], means[half]).alpha for half in (slice(middle), slice(middle, None))
    )
    return Decay(-fit_log_log(ranks, means).alpha, abs(front - back) / 2)


def binned_curve(values: np.ndarray, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Return geometric ranks and mean values of a curve in bins of equal log width.

    Equal weight per factor of rank keeps the many ranks of the tail from deciding the slope; means
    within bins keep single values that are small or negative by chance from making a logarithm that
    does not exist.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Value of rank 1, 2, …
    first, last : int
        Range of ranks, both included.

    Returns
    -------
    ranks, means : ndarray, shape (n_bins,)
        At most `POINTS` bins; geometric mean rank and mean value of each.
    """
    last = min(last, len(values))
    if last < first:
        return np.empty(0), np.empty(0)
    edges = np.unique(np.round(np.geomspace(first, last + 1, POINTS + 1)).astype(int))
    bins = list(pairwise(edges))
    ranks = np.array([np.exp(np.log(np.arange(low, high)).mean()) for low, high in bins])
    means = np.array([values[low - 1 : high - 1].mean() for low, high in bins])
    return ranks, means
