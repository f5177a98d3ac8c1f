"""What models of images are trained to make small."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from rosetta.models.pmf.model import PmfModel
from rosetta.models.zoo.meanflow_loss import mean_flow_errors, weighted


def generator_loss(model: PmfModel, pixels: Tensor, labels: Tensor) -> tuple[Tensor, float]:
    """Return the pixel MeanFlow loss, and what tells how far a training is: the mean squared error
    of a velocity, per value of a pixel. The loss itself, in which each image weighs as much as any
    other, stays just below 1.
    """
    errors = mean_flow_errors(model, pixels, labels, torch.default_generator)
    return weighted(errors), float(errors.detach().mean()) / pixels[0].numel()


def classifier_loss(model: Any, pixels: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of the labels, nats per image."""
    return functional.cross_entropy(model(pixel_values=pixels).logits, labels)


def autoencoder_loss(model: Any, pixels: Tensor, noise: Tensor | None = None) -> Tensor:
    """Return the mean squared error of the hidden patches' normalised pixels (He et al. 2021).

    `noise` (n_images, n_patches) says which patches are hidden: those of the largest values; None
    draws it.
    """
    return model(pixel_values=pixels, noise=noise).loss


def contrastive_loss(model: Any, pixels: Tensor, token_ids: Tensor) -> Tensor:
    """Return the CLIP loss (Radford et al. 2021): nats to tell an image's caption in its batch, and
    a caption's image, halved. Other images with an equal caption are left out of each sum: they
    are no wrong answers.
    """
    logits = model(input_ids=token_ids, pixel_values=pixels).logits_per_image
    same = (token_ids[:, None] == token_ids[None]).all(-1)
    itself = torch.eye(len(same), dtype=torch.bool, device=same.device)
    logits = logits.masked_fill(same & ~itself, -torch.inf)
    answers = torch.arange(len(logits), device=logits.device)
    of_images = functional.cross_entropy(logits, answers)
    return (of_images + functional.cross_entropy(logits.mT, answers)) / 2
