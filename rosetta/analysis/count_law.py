"""The scaling law |R| = c · x^α of counts, zeros included: negative-binomial regression with a logarithmic link.

A count y of mean μ = c · x^α has the variance μ + φμ². The first term lets a rung with few or no matches say only what
it can; φ is how far rungs lie from the law (of large counts: the squared scatter of their logarithms, so that this is
least squares in log–log there, which is how the study fits). φ is where Pearson's χ² equals its degrees of freedom
(Breslow 1984), and 0 where the counts scatter less than Poisson's.

The interval is the wider of two: that of the scatter (Student's t, since few rungs tell it), and that of Poisson counts
about an exact law (normal, since their variance is known). Without the second, rungs that happen to lie on a line would
have an interval of no width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import brentq

from rosetta.analysis.intervals import t_quantile

FEW = 5  # matches, below which a rung is named beside the law
_STEPS = 200
_LONGEST_STEP = 3.0  # of a logarithm of a mean


@dataclass(frozen=True)
class CountLaw:
    """A law fitted to counts, of one ladder or of several with the same exponent.

    Attributes
    ----------
    alpha : float
        The exponent; NaN if it cannot be told.
    half_width : float
        Half of its 95% interval; NaN without degrees of freedom.
    freedom : int
        Degrees of freedom: rungs − 1 − ladders.
    dispersion : float
        φ, 0 for no more scatter than Poisson's.
    heights : dict of str to float
        By ladder, the prefactor c.
    n_rungs : int
        Rungs that the fit is of.
    reason : str
        Why the exponent cannot be told; empty if it can.
    """

    alpha: float = float("nan")
    half_width: float = float("nan")
    freedom: int = 0
    dispersion: float = float("nan")
    heights: dict[str, float] = field(default_factory=dict)
    n_rungs: int = 0
    reason: str = ""


def fit_count_law(sizes: np.ndarray, counts: np.ndarray, ladders: Sequence[str] | None = None) -> CountLaw:
    """Fit one exponent, and a height per ladder, to counts.

    Parameters
    ----------
    sizes, counts : ndarray, shape (n,)
        Neurons per model, and counts ≥ 0: sums or means of counts serve too.
    ladders : sequence of str, optional
        The ladder of each; all of one if not given. A ladder without any match says nothing of the exponent and takes
        no part.
    """
    sizes, counts = np.asarray(sizes, dtype=float), np.asarray(counts, dtype=float)
    ladders = np.array(ladders if ladders is not None else [""] * len(sizes), dtype=object)
    if not len(counts):
        return CountLaw(reason="there is no rung")
    if np.isnan(counts).any():
        return CountLaw(n_rungs=len(counts), reason="not counted: the threshold cannot be read")
    names = [name for name in dict.fromkeys(ladders) if counts[ladders == name].any()]
    if not names:
        return CountLaw(n_rungs=len(counts), reason="no rung has a match")
    if all(len(np.unique(sizes[(ladders == name) & (counts > 0)])) < 2 for name in names):
        return CountLaw(n_rungs=len(counts), reason="matches at one size only")
    used = np.isin(ladders, names)
    sizes, counts, ladders = sizes[used], counts[used], ladders[used]
    center = np.log(sizes).mean()
    design = np.column_stack([np.log(sizes) - center, *(ladders == name for name in names)]).astype(float)
    freedom = len(counts) - design.shape[1]
    dispersion, beta = _regress(design, counts, freedom)
    heights = np.exp(beta[1:] - beta[0] * center)
    return CountLaw(
        alpha=float(beta[0]),
        half_width=_half_width(design, counts, freedom, dispersion, beta),
        freedom=freedom,
        dispersion=dispersion,
        heights=dict(zip(names, map(float, heights), strict=True)),
        n_rungs=len(counts),
    )


def _regress(design: np.ndarray, counts: np.ndarray, freedom: int) -> tuple[float, np.ndarray]:
    """Return φ and the coefficients."""
    start = np.linalg.lstsq(design, np.log(counts + 0.5), rcond=None)[0]
    start = _coefficients(design, counts, 0.0, start)

    def excess(dispersion: float) -> float:
        beta = _coefficients(design, counts, dispersion, start)
        return _chi_square(_means(design @ beta), counts, dispersion) - freedom

    dispersion = 0.0
    if freedom > 0 and excess(0.0) > 0:
        low, high = 0.0, 0.01
        while excess(high) > 0:
            low, high = high, 4 * high
        dispersion = float(brentq(excess, low, high, xtol=1e-9, rtol=1e-6))
    return dispersion, _coefficients(design, counts, dispersion, start)


def _chi_square(mean: np.ndarray, counts: np.ndarray, dispersion: float) -> float:
    return float((np.square(counts - mean) / (mean + dispersion * np.square(mean))).sum())


def _half_width(design: np.ndarray, counts: np.ndarray, freedom: int, dispersion: float, beta: np.ndarray) -> float:
    if freedom < 1:
        return float("nan")
    mean = _means(design @ beta)
    information = design.T @ (design * (mean / (1 + dispersion * mean))[:, None])
    error = float(np.sqrt(np.linalg.inv(information)[0, 0]))
    scatter = np.sqrt(_chi_square(mean, counts, dispersion) / freedom)  # 1, or less where φ is 0
    return max(t_quantile(freedom) * float(scatter), t_quantile(np.inf)) * error


def _coefficients(design: np.ndarray, counts: np.ndarray, dispersion: float, start: np.ndarray) -> np.ndarray:
    """Return the maximum-likelihood coefficients at a given φ, by Fisher scoring with steps that never lower it."""
    beta, reached = start, _likelihood(design @ start, counts, dispersion)
    for _ in range(_STEPS):
        mean = _means(design @ beta)
        weight = mean / (1 + dispersion * mean)
        score = design.T @ ((counts - mean) / (1 + dispersion * mean))
        step = np.linalg.solve(design.T @ (design * weight[:, None]), score)
        step *= min(1, _LONGEST_STEP / max(np.abs(design @ step).max(), _LONGEST_STEP))
        while (found := _likelihood(design @ (beta + step), counts, dispersion)) < reached - 1e-12 * abs(reached):
            step = step / 2
        beta, reached = beta + step, found
        if np.abs(step).max() < 1e-9:
            break
    return beta


def _means(log_mean: np.ndarray) -> np.ndarray:
    """Return means within what a float's square can hold."""
    return np.exp(np.clip(log_mean, -300, 300))


def _likelihood(log_mean: np.ndarray, counts: np.ndarray, dispersion: float) -> float:
    """Return the log likelihood but for terms without the coefficients."""
    mean = _means(log_mean)
    if not dispersion:
        return float((counts * log_mean - mean).sum())
    return float((counts * log_mean - (counts + 1 / dispersion) * np.log1p(dispersion * mean)).sum())
