"""What a model makes of whole images: a vector each."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from rosetta.models.image_models import ImageModel
from rosetta.models.loading_within_memory import input_device


@torch.inference_mode()
def embed_images(model: ImageModel, batches: Iterable[np.ndarray]) -> np.ndarray:
    """Return the mean over its patches of a model's last hidden states, for each image.

    Every architecture has these; class tokens and poolers only some, and of different meaning.

    Parameters
    ----------
    model : ImageModel
        The model.
    batches : iterable of ndarray of uint8, shape (n, height, width, 3)
        Images; each batch is one forward pass.

    Returns
    -------
    ndarray of float32, shape (n_images, d_model)
    """
    device = input_device(model.module)
    patches = slice(model.n_prefix, model.n_tokens)
    found = [
        model.module(**model.arguments(torch.from_numpy(images).to(device)))
        .last_hidden_state[:, patches]
        .float()
        .mean(dim=1)
        .cpu()
        for images in batches
    ]
    return torch.cat(found).numpy()
