"""The routes to β that see no match count, each with an interval (docs/theory.md, section 5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from scipy.stats import norm

from rosetta.analysis.intervals import CONFIDENCE
from rosetta.theory.losses import LossExponent
from rosetta.theory.ngrams import NgramDecay

BETA_COLUMNS = ["ladder", "route", "beta", "ci_low", "ci_high", "n"]
NGRAM_COLUMNS = [
    "order",
    "n_features",
    "beta",
    "ci_low",
    "ci_high",
    "standard_error",
    "range_error",
]
ROUTES = ("ngrams", "loss")
_Z = float(norm.ppf(0.5 + CONFIDENCE / 2))


@dataclass(frozen=True)
class BetaEstimate:
    """β by one route.

    Attributes
    ----------
    route : str
        One of `ROUTES`.
    beta, ci_low, ci_high : float
        Estimate and 95% interval; `ci_high` may be infinite. NaN where the route gives nothing.
    n : int
        What the interval rests on: longest n-grams, or losses.
    """

    route: str
    beta: float
    ci_low: float
    ci_high: float
    n: int


def ngram_table(decays: Sequence[NgramDecay]) -> pd.DataFrame:
    """Return β for every longest n-gram, rows of `NGRAM_COLUMNS`.

    The intervals join the jackknife over blocks of documents and the error of the range.
    """
    rows = []
    for found in decays:
        beta, error = found.decay.beta, found.decay.range_error
        half = _Z * math.hypot(found.standard_error, error)
        ends = max(0.0, beta - half), beta + half
        rows.append((found.order, len(found.curve), beta, *ends, found.standard_error, error))
    return pd.DataFrame(rows, columns=NGRAM_COLUMNS)


def ngram_route(table: pd.DataFrame) -> BetaEstimate:
    """Return β from the corpus, given `ngram_table`: the mean over the longest n-grams.

    Which regularities count as features is a choice, and it moves β by more than documents do. So
    the interval holds those of all choices. It is no sampling interval: a wider choice would widen
    it.
    """
    usable = table.dropna(subset=["beta", "ci_low", "ci_high"])
    ends = usable["ci_low"].min(), usable["ci_high"].max()  # NaN of an empty table
    return BetaEstimate("ngrams", usable["beta"].mean(), *ends, len(usable))


def loss_route(found: LossExponent) -> BetaEstimate:
    """Return β = 1/(1 − α_L) from the loss exponent of a ladder's models."""
    low, high = (1.0 / (1.0 - e) if e < 1 else math.inf for e in (found.ci_low, found.ci_high))
    return BetaEstimate("loss", 1.0 / (1.0 - found.exponent), low, high, found.n)


def alpha_interval(estimate: BetaEstimate) -> tuple[float, float, float]:
    """Return α = min(1, 1/β) and its interval; NaN where β is."""
    return tuple(
        1.0 / max(1.0, b) if b == b else math.nan
        for b in (estimate.beta, estimate.ci_high, estimate.ci_low)
    )
