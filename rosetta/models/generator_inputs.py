"""What each generated image is made from: a label, and noise of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rosetta.errors import ModelError
from rosetta.storage.digests import hash64


def balanced_labels(n_images: int, n_classes: int) -> np.ndarray:
    """Return 0, 1, …, n_classes − 1 and over again, int64 (n_images,).

    Each class is then the label of as many images as any other, give or take one.
    """
    return np.arange(n_images, dtype=np.int64) % n_classes


def image_noise(
    seeds: Sequence[int], labels: Sequence[int], shape: tuple[int, ...]
) -> torch.Tensor:
    """Return standard normal noise (n, *shape) whose rows each follow from their seed and label.

    So an image is the same in whatever batch, shard or process it is made. NumPy draws it, on the
    processor, whatever the generator runs on.
    """
    rows = [
        np.random.default_rng(hash64("image", int(seed), int(label))).standard_normal(
            shape, dtype=np.float32
        )
        for seed, label in zip(seeds, labels, strict=True)
    ]
    return torch.from_numpy(np.stack(rows))


def noise_source(seed: int, label: int) -> torch.Generator:
    """Return a stream of random numbers that follows from a seed and a label, on the processor.

    For libraries that draw noise themselves. torch tells streams apart by 32 bits only, so two of
    50,000 images may have one in common.
    """
    return torch.Generator().manual_seed(hash64("image", int(seed), int(label)) % 2**32)


def check_labels(labels: Sequence[int], n_classes: int, place: str) -> None:
    """Check that a generator has the class of every label.

    Raises
    ------
    ModelError
        If it has not.
    """
    wrong = sorted({int(label) for label in labels if not 0 <= label < n_classes})
    if wrong:
        raise ModelError(
            f"{place}: generates classes 0 to {n_classes - 1}, and {wrong[0]} was asked for. Give "
            f"labels of at most {n_classes} classes, or another generator."
        )
