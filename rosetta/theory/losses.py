"""β from the losses of a ladder's models: the loss-versus-size exponent (docs/theory.md, section 5.3).

What a feature of isolation s leaves of its importance is w/(1 + s), so the excess loss of a network of N neurons falls
as N^(−(β − 1)/β): a loss exponent α_L means β = 1/(1 − α_L).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.stats import f as f_distribution

from rosetta.analysis.intervals import CONFIDENCE

EXPONENTS = np.linspace(0.005, 0.995, 199)


@dataclass(frozen=True)
class LossExponent:
    """A fitted loss-versus-size exponent, its interval, and the number of losses.

    The exponent is NaN where the losses prefer none inside (0, 1): they do not fall, or one of its ends fits best.
    """

    exponent: float
    ci_low: float
    ci_high: float
    n: int


def fit_loss_exponent(sizes: np.ndarray, losses: np.ndarray, families: list[str]) -> LossExponent:
    """Fit L = L∞ + c_family · x^(−α_L) with L∞ ≥ 0 shared by the families and c_family ≥ 0.

    For a fixed exponent the rest is linear, so the exponent is profiled on a grid inside (0, 1), where the theory puts
    it; the interval holds all exponents that an F test does not reject. L∞ can stand in for much of a small
    exponent, so on few sizes the interval is wide, and [0, 1] where no degree of freedom is left.

    Parameters
    ----------
    sizes, losses : ndarray, shape (n_models,)
        Neurons and held-out losses.
    families : list of str
        Family of each model.
    """
    names = sorted(set(families))
    relative = np.asarray(sizes, dtype=float) / np.exp(np.mean(np.log(sizes)))
    member = np.array([[family == name for name in names] for family in families], dtype=float)
    losses = np.asarray(losses, dtype=float)
    n, freedom = len(losses), len(losses) - len(names) - 2
    if len(np.unique(sizes)) < 3:
        return LossExponent(float("nan"), 0.0, 1.0, n)
    squares = np.array(
        [nnls(np.column_stack([np.ones(n), member * relative[:, None] ** -e]), losses)[1] ** 2 for e in EXPONENTS]
    )
    constant = np.square(losses - losses.mean()).sum()
    if squares.min() >= constant * (1 - 1e-6):  # no exponent does better than losses that do not fall at all
        return LossExponent(float("nan"), 0.0, 1.0, n)
    best = int(squares.argmin())
    exponent = float(EXPONENTS[best]) if 0 < best < len(EXPONENTS) - 1 else float("nan")
    if freedom < 1:
        return LossExponent(exponent, 0.0, 1.0, n)
    accepted = EXPONENTS[squares <= squares[best] * (1 + f_distribution.ppf(CONFIDENCE, 1, freedom) / freedom)]
    low = 0.0 if accepted[0] == EXPONENTS[0] else float(accepted[0])
    high = 1.0 if accepted[-1] == EXPONENTS[-1] else float(accepted[-1])
    return LossExponent(exponent, low, high, n)
