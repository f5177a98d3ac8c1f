"""Images with labels and captions, as trainings read them, and the order in which they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rosetta.errors import CorpusError
from rosetta.inputs.images.image_sets import ImageSet

# From 8-bit values to -1 … 1, which generators work in, too.
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class LabelledImages:
    """Square images with what is known of each.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (n_images, side, side, 3)
    labels : ndarray of int64, shape (n_images,)
        Class of each, from 0.
    captions : sequence of str
        One per image.
    n_classes : int
    """

    pixels: np.ndarray
    labels: np.ndarray
    captions: Sequence[str]
    n_classes: int

    @classmethod
    def of(cls, images: ImageSet) -> LabelledImages:
        """Return all images of a split; its manifest names the classes."""
        table = images.table
        return cls(
            images.pixels(0, images.n_images),
            table["label"].to_numpy(),
            table["caption"].tolist(),
            len(images.manifest["facts"]["classes"]),
        )

    def __post_init__(self) -> None:
        """Check that there are images, and that all parts fit each other.

        Raises
        ------
        CorpusError
            If not.
        """
        n_images = len(self.pixels)
        if not n_images:
            raise CorpusError("images: there is none to train on. Raise the number of images.")
        if self.pixels.ndim != 4 or self.pixels.shape[1:] != (*[self.pixels.shape[1]] * 2, 3):
            raise CorpusError(f"images: {self.pixels.shape} pixels are not squares of 3 colours.")
        if self.pixels.dtype != np.uint8:
            raise CorpusError(f"images: pixels are {self.pixels.dtype}, not uint8.")
        if len(self.labels) != n_images or len(self.captions) != n_images:
            raise CorpusError(
                f"images: {n_images} images have {len(self.labels)} labels and "
                f"{len(self.captions)} captions. Give one of each per image."
            )
        if self.labels.min() < 0 or self.labels.max() >= self.n_classes:
            raise CorpusError(
                f"images: labels go from {self.labels.min()} to {self.labels.max()}, which are not "
                f"{self.n_classes} classes from 0."
            )


def image_order(n_images: int, n_steps: int, batch_size: int, seed: int) -> Tensor:
    """Return which images each step reads; each pass over all images has an order of its own.

    Returns
    -------
    Tensor of int64, shape (n_steps, batch_size)
    """
    n_read, rng = n_steps * batch_size, np.random.default_rng(seed)
    passes = [rng.permutation(n_images) for _ in range(-(-n_read // n_images))]
    return torch.from_numpy(np.concatenate(passes)[:n_read]).view(n_steps, batch_size)


def input_pixels(pixels: Tensor, image_size: int) -> Tensor:
    """Return what a model of the zoo is shown of 8-bit images.

    The whole image is resized to a square (bicubic, antialiased), never cropped: cells of its grid
    then lie where those of other models do.

    Parameters
    ----------
    pixels : Tensor of uint8, shape (n, side, side, 3)
    image_size : int
        Side of the input.

    Returns
    -------
    Tensor of float32, shape (n, 3, image_size, image_size)
        (value / 255 - MEAN) / STD.
    """
    shown = pixels.permute(0, 3, 1, 2).float() / 255
    if shown.shape[-1] != image_size:
        shown = functional.interpolate(
            shown, size=(image_size, image_size), mode="bicubic", antialias=True
        )
    mean, std = (shown.new_tensor(one)[:, None, None] for one in (MEAN, STD))
    return (shown - mean) / std
