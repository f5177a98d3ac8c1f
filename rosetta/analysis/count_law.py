"""The scaling law |R| = c · x^α of counts, zeros included: a negative-binomial regression.

A count y of mean μ = c · x^α has the variance μ + φμ². The first term lets a rung with few or no
matches say only what it can; φ is how far rungs lie from the law (of large counts: the squared
scatter of their logarithms, so that this is least squares in log–log there, which is how the study
fits). φ is where Pearson's χ² equals its degrees of freedom (Breslow 1984), and 0 where the counts
scatter less than Poisson's.

The interval is the wider of two: that of the scatter (Student's t, since few rungs tell it), and
that of Poisson counts about an exact law (normal, since their variance is known). Without the
second, rungs that happen to lie on a line would have an interval of no width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rosetta.analysis.count_regression import regress

FEW = 5  # matches, below which a rung is named beside the law


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


def fit_count_law(
    sizes: np.ndarray, counts: np.ndarray, ladders: Sequence[str] | None = None
) -> CountLaw:
    """Fit one exponent, and a height per ladder, to counts.

    Parameters
    ----------
    sizes, counts : ndarray, shape (n,)
        Neurons per model, and counts ≥ 0: sums or means of counts serve too.
    ladders : sequence of str, optional
        The ladder of each; all of one if not given. A ladder without any match says nothing of the
        exponent and is excluded.
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
    design = np.column_stack([np.log(sizes) - center, *(ladders == name for name in names)]).astype(
        float
    )
    found = regress(design, counts)
    beta = found.coefficients
    heights = np.exp(beta[1:] - beta[0] * center)
    return CountLaw(
        alpha=float(beta[0]),
        half_width=found.width * float(np.sqrt(found.covariance[0, 0])),
        freedom=found.freedom,
        dispersion=found.dispersion,
        heights=dict(zip(names, map(float, heights), strict=True)),
        n_rungs=len(counts),
    )
