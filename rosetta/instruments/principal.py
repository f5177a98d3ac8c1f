"""Principal components of a model's neurons, and the sums of a pair in them.

Neurons are scaled to unit variance first, so that each counts the same, as under Pearson r. The
components are of one model alone, over all positions: they know nothing of the other model, so a
fit in them on one half of the samples can be judged on the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh

from rosetta.correlation.sums import ColumnSums
from rosetta.correlation.tiles import reduced
from rosetta.instruments.sums import BlockSums


@dataclass(frozen=True)
class Components:
    """The leading principal components of a model.

    Attributes
    ----------
    basis : Tensor of float64, shape (D, m)
        From activations, shifted by their means, to components; 0 for dead neurons.
    share : float
        Share of the variance of the scaled neurons that they hold.
    """

    basis: torch.Tensor
    share: float

    @property
    def n(self) -> int:
        """Their number m."""
        return int(self.basis.shape[1])


def components(
    within: torch.Tensor, columns: list[ColumnSums], n: int, variance: float, most: int
) -> Components:
    """Return the fewest components that hold a share of the variance, or as many as there may be.

    Parameters
    ----------
    within : Tensor, shape (n_blocks, D, D)
        Sums of products (`BlockSums.within_a`).
    columns : list of ColumnSums
        Sums of the neurons, by block.
    n : int
        Positions.
    variance : float
        The share that they are to hold.
    most : int
        Their greatest number.
    """
    of = reduced(ColumnSums.joined(columns), n)
    scale = torch.where(of.dead, 0.0, of.scale)
    r = within.sum(dim=0, dtype=torch.float64)
    r.addr_(of.total, of.total, alpha=-1.0 / n).mul_(scale[:, None]).mul_(scale)
    alive, width = int((~of.dead).sum()), len(scale)
    kept = max(min(most, alive), 1)
    values, vectors = eigh(
        r.numpy(), subset_by_index=[width - kept, width - 1], overwrite_a=True, check_finite=False
    )
    values, vectors = values[::-1].clip(0), vectors[:, ::-1]
    held = np.cumsum(values) / max(alive, 1)
    m = min(int(np.searchsorted(held, variance * (1 - 1e-12))) + 1, kept)
    # Rounding leaves components of no variance beside those of neurons that are copies.
    m = max(min(m, int((values > 1e-9 * values[0]).sum())), 1)
    basis = torch.from_numpy(np.ascontiguousarray(vectors[:, :m])) * scale[:, None]
    return Components(basis, float(held[m - 1]))


@dataclass(frozen=True)
class HalfMoments:
    """Centred sums over the positions of a half, in components and between them and neurons.

    Attributes
    ----------
    aa, bb, ab : Tensor of float64, shapes (m_A, m_A), (m_B, m_B), (m_A, m_B)
        Of components.
    a_with_pa, b_with_pb, a_with_pb : Tensor of float64
        Of neurons with components, shapes (D_A, m_A), (D_B, m_B), (D_A, m_B).
    deviation_a, deviation_b : Tensor of float64, shape (D,)
        √Σ(x − x̄)² of the neurons; 0 for dead ones.
    """

    aa: torch.Tensor
    bb: torch.Tensor
    ab: torch.Tensor
    a_with_pa: torch.Tensor
    b_with_pb: torch.Tensor
    a_with_pb: torch.Tensor
    deviation_a: torch.Tensor
    deviation_b: torch.Tensor


class ProjectedSums:
    """The sums of every block, of neurons with components: what is small of them.

    Parameters
    ----------
    sums : BlockSums
        With those within the models.
    of_a, of_b : Components
        Of both models.
    """

    def __init__(self, sums: BlockSums, of_a: Components, of_b: Components) -> None:
        assert sums.within_a is not None
        assert sums.within_b is not None
        self.of_a, self.of_b = of_a, of_b
        self._sums = sums
        self._a_with_pa = _times(sums.within_a, of_a.basis)
        self._b_with_pb = _times(sums.within_b, of_b.basis)
        self._a_with_pb = _times(sums.cross, of_b.basis)

    def half(self, half: np.ndarray) -> HalfMoments:
        """Return the moments over the blocks of a half, bool of shape (n_blocks,)."""
        inside = np.flatnonzero(half)
        n = int(self._sums.lengths[half].sum())
        a, b = (
            ColumnSums.joined([columns[i] for i in inside])
            for columns in (self._sums.columns_a, self._sums.columns_b)
        )
        basis_a, basis_b = self.of_a.basis, self.of_b.basis
        mean_pa, mean_pb = a.total @ basis_a / n, b.total @ basis_b / n
        index = torch.from_numpy(inside)
        a_with_pa = self._a_with_pa[index].sum(dim=0) - torch.outer(a.total, mean_pa)
        b_with_pb = self._b_with_pb[index].sum(dim=0) - torch.outer(b.total, mean_pb)
        a_with_pb = self._a_with_pb[index].sum(dim=0) - torch.outer(a.total, mean_pb)
        return HalfMoments(
            aa=basis_a.T @ a_with_pa,
            bb=basis_b.T @ b_with_pb,
            ab=basis_a.T @ a_with_pb,
            a_with_pa=a_with_pa,
            b_with_pb=b_with_pb,
            a_with_pb=a_with_pb,
            deviation_a=a.deviation(n),
            deviation_b=b.deviation(n),
        )


def _times(blocks: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    return torch.stack([block.double() @ basis for block in blocks])
