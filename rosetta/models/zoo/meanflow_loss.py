"""The loss that trains a small pMF generator: pixel MeanFlow without guidance.

Geng et al. 2025, "Mean Flows for One-step Generative Modeling" (arXiv 2505.13447), with the image
as what the network predicts, as in Lu et al. 2026 (arXiv 2601.22158).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rosetta.models.pmf.model import PmfModel

WEIGHT_FLOOR = 0.01  # added to an image's error before that divides it


@dataclass(frozen=True)
class FlowTimes:
    """How the times r ≤ t of a batch are drawn.

    Attributes
    ----------
    mean, spread : float
        Of the normal variable whose logistic function is a time.
    share_equal : float
        Share of a batch for which r = t, which is plain flow matching.
    """

    mean: float = 0.8
    spread: float = 0.8
    share_equal: float = 0.5

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return t and r, each (n,); r = t for the last images of a batch."""
        normal = self.mean + self.spread * torch.randn(2, n, generator=generator)
        t, r = normal.sigmoid().sort(dim=0, descending=True).values
        n_apart = n - round(self.share_equal * n)
        return t, torch.cat([r[:n_apart], t[n_apart:]])


def mean_flow_loss(
    model: PmfModel,
    images: Tensor,
    labels: Tensor,
    generator: torch.Generator,
    times: FlowTimes | None = None,
) -> Tensor:
    """Return the loss of a batch, in which each image has about the same weight.

    The squared error of an image is divided by itself plus 0.01, without a gradient through that
    (the papers' p = 1). So the loss is just below 1 throughout a training. What falls is
    `mean_flow_errors`.

    Parameters
    ----------
    model : PmfModel
        The generator.
    images : Tensor, shape (n, 3, S, S)
        In [−1, 1].
    labels : Tensor of int64, shape (n,)
        Classes.
    generator : torch.Generator
        Of times and noise; on the CPU.
    times : FlowTimes, optional
        How times are drawn.

    Returns
    -------
    Tensor, shape ()
    """
    return weighted(mean_flow_errors(model, images, labels, generator, times))


def weighted(errors: Tensor) -> Tensor:
    """Return the mean of errors (n,), each divided by what it is plus 0.01."""
    return (errors / (errors.detach() + WEIGHT_FLOOR)).mean()


def mean_flow_errors(
    model: PmfModel,
    images: Tensor,
    labels: Tensor,
    generator: torch.Generator,
    times: FlowTimes | None = None,
) -> Tensor:
    """Return ‖u + (t − r) du/dt − v‖² of each image, shape (n,), summed over its pixels.

    With noise e, z_t = (1 − t) x + t e and v = e − x. The average velocity between r and t obeys
    u = v − (t − r) du/dt, where du/dt = ∂_z u · v + ∂_t u along the path. That derivative has no
    gradient, and is taken only of images with r < t.

    Parameters and times are those of `mean_flow_loss`.
    """
    t, r = (times or FlowTimes()).draw(len(images), generator)
    noise = torch.randn(images.shape, generator=generator) * model.config.noise_scale
    noise, t, r = (part.to(images) for part in (noise, t, r))
    share = t[:, None, None, None]
    noisy, direct = (1 - share) * images + share * noise, noise - images
    average = model.velocity(noisy, t, t - r, labels)
    apart = r < t
    change = torch.zeros_like(average)
    if apart.any():
        change[apart] = velocity_change(
            model, noisy[apart], direct[apart], t[apart], r[apart], labels[apart]
        )
    compound = average + (t - r)[:, None, None, None] * change
    return (compound - direct).square().flatten(1).sum(1)


@torch.no_grad()
def velocity_change(
    model: PmfModel, noisy: Tensor, direct: Tensor, t: Tensor, r: Tensor, labels: Tensor
) -> Tensor:
    """Return du/dt at a fixed r, along a path whose velocity is `direct`: a forward derivative.

    Parameters
    ----------
    model : PmfModel
        The generator.
    noisy, direct : Tensor, shape (n, 3, S, S)
        z_t and v.
    t, r : Tensor, shape (n,)
        Times.
    labels : Tensor of int64, shape (n,)
        Classes.

    Returns
    -------
    Tensor, shape (n, 3, S, S)
    """

    def velocity(noisy: Tensor, t: Tensor) -> Tensor:
        return model.velocity(noisy, t, t - r, labels)

    _, change = torch.func.jvp(velocity, (noisy, t), (direct, torch.ones_like(t)))
    return change
