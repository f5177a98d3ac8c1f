"""The routes to β that see no match count, each with an interval (docs/theory.md, section 5)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from rosetta.analysis.intervals import CONFIDENCE
from rosetta.config_theory import TheoryDecay
from rosetta.theory.decay import fit_decay
from rosetta.theory.losses import LossExponent
from rosetta.theory.ngrams import NgramDecay

BETA_COLUMNS = ["ladder", "route", "beta", "ci_low", "ci_high", "n"]
ROUTES = ("spectrum", "ngrams", "loss")
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
        What the interval rests on: models, blocks of documents, or losses.
    """

    route: str
    beta: float
    ci_low: float
    ci_high: float
    n: int


def spectrum_route(spectra: list[np.ndarray], settings: TheoryDecay) -> BetaEstimate:
    """Return β from the covariance spectra of a ladder's models.

    Every model is fitted by itself, from `first_rank` to `last_share` of its units. The interval joins the spread
    between models (Student's t) and the error of the range, which all models share.
    """
    fits = [fit_decay(s, settings.first_rank, int(len(s) * settings.last_share)) for s in spectra]
    fits = [fit for fit in fits if math.isfinite(fit.beta) and math.isfinite(fit.range_error)]
    if not fits:
        return BetaEstimate("spectrum", *[math.nan] * 3, n=0)
    betas = np.array([fit.beta for fit in fits])
    n = len(betas)
    between = t.ppf(0.5 + CONFIDENCE / 2, n - 1) * betas.std(ddof=1) / math.sqrt(n) if n > 1 else math.nan
    half = math.hypot(between, _Z * float(np.mean([fit.range_error for fit in fits])))
    return _estimate("spectrum", float(betas.mean()), half, n)


def ngram_route(found: NgramDecay, settings: TheoryDecay) -> BetaEstimate:
    """Return β from the corpus; the interval joins the jackknife over blocks and the error of the range."""
    half = _Z * math.hypot(found.standard_error, found.decay.range_error)
    return _estimate("ngrams", found.decay.beta, half, settings.n_blocks)


def loss_route(found: LossExponent) -> BetaEstimate:
    """Return β = 1/(1 − α_L) from the loss exponent of a ladder's models."""
    low, high = (1.0 / (1.0 - e) if e < 1 else math.inf for e in (found.ci_low, found.ci_high))
    return BetaEstimate("loss", 1.0 / (1.0 - found.exponent), low, high, found.n)


def alpha_interval(estimate: BetaEstimate) -> tuple[float, float, float]:
    """Return α = min(1, 1/β) and its interval; NaN where β is."""
    return tuple(1.0 / max(1.0, b) if b == b else math.nan for b in (estimate.beta, estimate.ci_high, estimate.ci_low))


def _estimate(route: str, beta: float, half: float, n: int) -> BetaEstimate:
    return BetaEstimate(route, beta, max(0.0, beta - half), beta + half, n)
