"""Orthogonal Procrustes: the second model, rotated onto the first, and matched there.

With P_B (n, m_B) the components of B and Z_A (n, D_A) the neurons of A at unit variance, the
rotation is

    Q = argmax ⟨P_B Q, Z_A⟩ = U Vᵀ,   P_Bᵀ Z_A = U S Vᵀ,

over Q with orthonormal rows, or orthonormal columns where m_B > D_A (Schönemann 1966). With
orthonormal rows ‖P_B Q‖ is the same for all Q, so this Q is also that with the least
‖P_B Q − Z_A‖. With orthonormal columns it need not be. Column j of P_B Q is a rotated coordinate,
made for A's neuron j. Q is fitted on one half of the samples; neurons of A and rotated coordinates
that are each other's nearest neighbours on the other half are matched. The distance is blind to
which neurons B has: any rotation of B gives the same matches.
"""

from __future__ import annotations

import torch

from rosetta.correlation.resample import Replicate, mutual_nearest
from rosetta.instruments.principal import HalfMoments


def fit_rotation(fitted: HalfMoments) -> torch.Tensor:
    """Return Q, shape (m_B, D_A), fitted on a half of the samples."""
    scale = _reciprocal(fitted.deviation_a)
    tall, small = torch.linalg.qr(fitted.a_with_pb * scale[:, None])
    # A with P_B = tall · small, so P_B with A = smallᵀ tallᵀ; only a small matrix is decomposed.
    u, _, v = torch.linalg.svd(small.T, full_matrices=False)
    rotation: torch.Tensor = u @ v @ tall.T
    return rotation


def rotated_correlations(rotation: torch.Tensor, judged: HalfMoments) -> torch.Tensor:
    """Return r of A's neurons with the rotated coordinates on a half, shape (D_A, D_A).

    It is -inf where a neuron of A is dead, or a coordinate has no variance.
    """
    variance = (rotation * (judged.bb @ rotation)).sum(dim=0).clamp_min(0)
    of_b = variance.sqrt()
    r = judged.a_with_pb @ rotation
    r.mul_(_reciprocal(judged.deviation_a)[:, None]).mul_(_reciprocal(of_b)).clamp_(-1.0, 1.0)
    r[judged.deviation_a == 0] = -torch.inf
    r[:, of_b == 0] = -torch.inf
    return r


def procrustes_matches(fitted: HalfMoments, judged: HalfMoments, k: int) -> Replicate:
    """Return mutual k-nearest neighbours of A's neurons and rotated coordinates (`v`)."""
    return mutual_nearest(rotated_correlations(fit_rotation(fitted), judged), k)


def _reciprocal(deviation: torch.Tensor) -> torch.Tensor:
    return torch.where(deviation > 0, 1 / deviation, 0.0)
