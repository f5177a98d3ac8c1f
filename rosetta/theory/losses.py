"""β from the losses of a ladder's models (docs/theory.md, section 5.2).

What a feature of isolation s leaves of its importance is w/(1 + s), so the excess loss of a network
of N neurons falls as N^(−(β − 1)/β): a loss exponent α_L means β = 1/(1 − α_L).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import nnls
from scipy.stats import f as f_distribution

from rosetta.analysis.intervals import CONFIDENCE
from rosetta.config import Config
from rosetta.run.paths import Paths
from rosetta.storage.manifests import read_manifest

EXPONENTS = np.linspace(0.005, 0.995, 199)


@dataclass(frozen=True)
class LossExponent:
    """A fitted loss-versus-size exponent, its interval, and the number of losses.

    The exponent is NaN where the losses prefer none inside (0, 1): they do not fall, or one of its
    ends fits best.
    """

    exponent: float
    ci_low: float
    ci_high: float
    n: int


def known_losses(config: Config, paths: Paths, models: list[str]) -> pd.DataFrame | None:
    """Return model, family, n_neurons and loss of zoo models; None if one is no zoo model."""
    manifests = [read_manifest(paths.model_manifest(model), "model") for model in models]
    if not all(manifest["training"] for manifest in manifests):
        return None
    rows = [
        (
            model,
            config.models[model].zoo.family,
            manifest["n_neurons"],
            manifest["training"]["heldout_bits_per_byte"],
        )
        for model, manifest in zip(models, manifests, strict=True)
    ]
    return pd.DataFrame(rows, columns=["model", "family", "n_neurons", "loss"])


def fit_loss_exponent(
    sizes: np.ndarray, losses: np.ndarray, families: Sequence[str]
) -> LossExponent:
    """Fit L = L∞ + c_family · x^(−α_L) with L∞ ≥ 0 shared by the families and c_family ≥ 0.

    For a fixed exponent the rest is linear, so the exponent is profiled on a grid inside (0, 1),
    where the theory puts it; the interval holds all exponents that an F test does not reject. L∞
    can stand in for much of a small exponent, so on few sizes the interval is wide, and [0, 1]
    where no degree of freedom is left.

    The F test takes what the shared exponent leaves for noise. Families that differ for reasons of
    their own are none, so the interval also holds the exponent that each family prefers by itself,
    with an L∞ of its own; it is [0, 1] where one prefers none.

    Parameters
    ----------
    sizes, losses : ndarray, shape (n_models,)
        Neurons and held-out losses.
    families : sequence of str
        Family of each model.
    """
    sizes, losses = np.asarray(sizes, dtype=float), np.asarray(losses, dtype=float)
    family_of = np.asarray(families)
    names = np.unique(family_of)
    n, freedom = len(losses), len(losses) - len(names) - 2
    squares, exponent = _profile(sizes, losses, family_of)
    own = [
        _profile(sizes[family_of == name], losses[family_of == name], family_of[family_of == name])[
            1
        ]
        for name in names
    ]
    if freedom < 1 or squares is None or np.isnan(own).any():
        return LossExponent(exponent, 0.0, 1.0, n)
    accepted = EXPONENTS[
        squares <= squares.min() * (1 + f_distribution.ppf(CONFIDENCE, 1, freedom) / freedom)
    ]
    low = 0.0 if accepted[0] == EXPONENTS[0] else min(accepted[0], *own)
    high = 1.0 if accepted[-1] == EXPONENTS[-1] else max(accepted[-1], *own)
    return LossExponent(exponent, float(low), float(high), n)


def _profile(
    sizes: np.ndarray, losses: np.ndarray, families: np.ndarray
) -> tuple[np.ndarray | None, float]:
    """Return the residual sum of squares at every exponent, and the exponent that fits best.

    None and NaN where the losses prefer no exponent to not falling at all; NaN where an end of the
    grid fits best.
    """
    if len(np.unique(sizes)) < 3:
        return None, float("nan")
    member = (families[:, None] == np.unique(families)).astype(float)
    relative = sizes / np.exp(np.mean(np.log(sizes)))
    designs = (
        np.column_stack([np.ones(len(losses)), member * relative[:, None] ** -e]) for e in EXPONENTS
    )
    squares = np.array([nnls(design, losses)[1] ** 2 for design in designs])
    if squares.min() >= np.square(losses - losses.mean()).sum() * (1 - 1e-6):
        return None, float("nan")
    best = int(squares.argmin())
    return squares, float(EXPONENTS[best]) if 0 < best < len(EXPONENTS) - 1 else float("nan")
