"""Canonical correlations in principal components: SVCCA, with the weights of PWCCA.

With the components P_A and P_B of both models (SVCCA; Raghu et al. 2017) on one half of the
samples,

    C_AA^(-1/2) C_AB C_BB^(-1/2) = U S Vᵀ,   directions X = C_AA^(-1/2) U and Y = C_BB^(-1/2) V,

and ρ_i is the correlation of P_A x_i and P_B y_i on the other half, where no fit can inflate it.
Both means over directions are told: the plain one, and that with the weights
α_i = Σ_u |r(P_A x_i, A_u)| over A's neurons (PWCCA; Morcos et al. 2018). Canonical directions are
blind to single neurons: any invertible mixture of either model's components has the same ρ. The
neurons that load most on a direction are named with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from rosetta.correlation.resample import Replicate
from rosetta.instruments.principal import HalfMoments

# Directions whose variance is below this share of the largest one's are left out of whitening:
# products are summed in float32, so below it there is mostly rounding.
_LEAST = 1e-6
# Components per position of a half, above which canonical directions mostly fit noise.
LARGEST_SHARE = 1 / 3


@dataclass(frozen=True)
class Canonical:
    """Canonical directions of a pair, judged on a half that they were not fitted on.

    Attributes
    ----------
    found : Replicate
        Per direction, in the order of the fit: the neuron of A and that of B which load most on it
        (by |r|), and ρ.
    mean : float
        Mean ρ.
    weighted : float
        Mean ρ with the weights of PWCCA.
    """

    found: Replicate
    mean: float
    weighted: float


def too_many_components(n_components: int, n_positions: int) -> str:
    """Return why canonical directions are not fitted on a half; empty if they are.

    Parameters
    ----------
    n_components : int
        Of the model that has more of them.
    n_positions : int
        Of the smallest half.
    """
    if n_components <= LARGEST_SHARE * n_positions:
        return ""
    return (
        f"{n_components:,} components are more than a third of the {n_positions:,} positions of a "
        "half; lower instruments.max_components"
    )


def directions(fitted: HalfMoments) -> tuple[torch.Tensor, torch.Tensor]:
    """Return X (m_A, k) and Y (m_B, k) of a half of the samples, the most correlated first."""
    white_a, white_b = _whitening(fitted.aa), _whitening(fitted.bb)
    u, _, v = torch.linalg.svd(white_a.T @ fitted.ab @ white_b, full_matrices=False)
    return white_a @ u, white_b @ v.T


def canonical(fitted: HalfMoments, judged: HalfMoments) -> Canonical:
    """Return the canonical directions of one half, judged on the other."""
    x, y = directions(fitted)
    length_x, length_y = _lengths(x, judged.aa), _lengths(y, judged.bb)
    shared = (x * (judged.ab @ y)).sum(dim=0)
    lengths = length_x * length_y
    rho = torch.where(lengths > 0, shared / lengths, 0.0).clamp(-1.0, 1.0).numpy()
    of_a = _loadings(judged.a_with_pa @ x, judged.deviation_a, length_x)
    of_b = _loadings(judged.b_with_pb @ y, judged.deviation_b, length_y)
    weights = of_a.sum(axis=0)
    found = Replicate(of_a.argmax(axis=0), of_b.argmax(axis=0), rho)
    weighted = float(weights @ rho / weights.sum()) if weights.sum() else float("nan")
    return Canonical(found, float(rho.mean()), weighted)


def _whitening(covariance: torch.Tensor) -> torch.Tensor:
    """Return W (m, k) with Wᵀ C W = 1."""
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > _LEAST * values[-1]
    whitening: torch.Tensor = vectors[:, kept] / values[kept].sqrt()
    return whitening


def _lengths(directions: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    variance: torch.Tensor = (directions * (covariance @ directions)).sum(dim=0)
    return variance.clamp_min(0).sqrt()


def _loadings(shared: torch.Tensor, deviation: torch.Tensor, length: torch.Tensor) -> np.ndarray:
    """Return |r| of neurons and directions, shape (D, k); 0 for dead neurons."""
    r = shared / deviation[:, None] / length
    loads: np.ndarray = torch.nan_to_num(r, 0.0, 0.0, 0.0).abs().numpy()
    return loads
