"""Thresholds from a smooth upper tail: peaks over threshold (Pickands 1975).

An order statistic of a few hundred values takes all that it says of the tail from one of them. Here
the excesses over a high quantile follow a generalised Pareto distribution, whose scale and shape
come from all of them in closed form (Hosking and Wallis 1987), and the quantile that is wanted is
read off it.
"""

from __future__ import annotations

import math

import numpy as np

MIN_TAIL = 10  # values of the tail, below which no threshold is read
_SHAPES = (-0.5, 0.5)  # for which the moments serve; the tail of Fisher's z is near 0


def tail_share(quantile: float) -> float:
    """Return the tail's share: the geometric mean of 1 and the share above the quantile."""
    return math.sqrt(1 - quantile)


def is_readable(values: np.ndarray, weights: np.ndarray, quantile: float) -> bool:
    """Return whether the tail holds at least `MIN_TAIL` values by effective number."""
    _, inside = _tail(weights, quantile)
    squares = float(np.square(weights[inside]).sum())
    return bool(len(values) and squares and weights[inside].sum() ** 2 / squares >= MIN_TAIL)


def tail_quantile(values: np.ndarray, weights: np.ndarray, quantile: float) -> float:
    """Return a quantile far up in a distribution.

    Parameters
    ----------
    values : ndarray, shape (n,)
        In ascending order.
    weights : ndarray, shape (n,)
        Not negative, of sum 1.
    quantile : float
        Between 0 and 1.
    """
    start, inside = _tail(weights, quantile)
    excess, mass = values[inside] - values[start], weights[inside]
    share = float(mass.sum())
    mean = float(mass @ excess) / share if share else 0.0
    if mean <= 0 or share <= 1 - quantile:
        return float(values[start])
    above = 1 - (np.cumsum(mass) - mass / 2) / share  # of the tail, the share above each value
    first = float(mass @ (excess * above)) / share
    spread = mean - 2 * first  # 0 only if all excesses are equal
    shape = float(np.clip(2 - mean / spread, *_SHAPES)) if spread > 0 else _SHAPES[0]
    scale, odds = mean * (1 - shape), share / (1 - quantile)
    return float(
        values[start] + scale * (math.log(odds) if not shape else (odds**shape - 1) / shape)
    )


def _tail(weights: np.ndarray, quantile: float) -> tuple[int, slice]:
    """Return the place of the value from which excesses are measured, and those of the tail above
    it.
    """
    from_top = np.cumsum(weights[::-1])[::-1]
    start = max(int((from_top >= tail_share(quantile)).sum()) - 1, 0)
    return start, slice(start + 1, None)
