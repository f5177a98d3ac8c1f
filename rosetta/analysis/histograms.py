"""How a neuron's activations are distributed, in few numbers: histograms of a sample of tokens."""

from __future__ import annotations

import numpy as np

# Bins, in standard deviations from the neuron's mean; the outermost ones are open.
LOW, HIGH, N_BINS = -3.0, 9.0, 48
MOST_SAMPLED = 4096  # positions per neuron
MOST_POINTS = 1 << 22  # of all neurons of a group in one model: a quarter of a GB on the way
_RUNS = 16  # of successive positions, so that few chunks of a store are read


def sampled_positions(n_positions: int, n_neurons: int) -> np.ndarray:
    """Return positions that are spread evenly, in runs of successive ones.

    Parameters
    ----------
    n_positions : int
        How many there are.
    n_neurons : int
        How many neurons are read at them.

    Returns
    -------
    ndarray of int64, shape (n_sampled,)
        In order; all of them where they are few. About `MOST_SAMPLED`, or as many as keep the
        points of all neurons below `MOST_POINTS`.
    """
    wanted = min(MOST_SAMPLED, max(1, MOST_POINTS // max(n_neurons, 1)))
    if n_positions <= wanted:
        return np.arange(n_positions)
    run = max(1, wanted // _RUNS)
    starts = np.linspace(0, n_positions - run, wanted // run).astype(np.int64)
    return np.unique(starts[:, None] + np.arange(run))


def standard_histograms(values: np.ndarray) -> list[list[int]]:
    """Return how many values of each neuron fall into each bin, in its own standard deviations.

    Parameters
    ----------
    values : ndarray of float32, shape (n_neurons, n_sampled)
        Activations.

    Returns
    -------
    list of list of int
        `N_BINS` counts per neuron; none of a neuron that does not change on the sample.
    """
    if not values.size:
        return [[] for _ in values]
    wide = values.astype(np.float64)
    spread = wide.std(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        standard = (wide - wide.mean(axis=1, keepdims=True)) / spread
    bins = np.floor((standard - LOW) * (N_BINS / (HIGH - LOW)))
    bins = np.clip(np.nan_to_num(bins), 0, N_BINS - 1).astype(np.int64)
    counts = [np.bincount(row, minlength=N_BINS).tolist() for row in bins]
    changes = np.ptp(values, axis=1) > 0
    return [row if changed else [] for row, changed in zip(counts, changes, strict=True)]
