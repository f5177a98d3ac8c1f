"""The activations of a model that sees images, at each cell of their grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from rosetta.activations.recorder import NeuronRecorder
from rosetta.errors import ModelError
from rosetta.models.devices import CPU
from rosetta.models.forward_pass import FEWER_IMAGES, forward_pass
from rosetta.models.image_models import ImageModel
from rosetta.models.loading_within_memory import input_device


@torch.inference_mode()
def show_images(
    model: ImageModel, batches: Iterable[np.ndarray], where: torch.device = CPU
) -> Iterator[torch.Tensor]:
    """Yield the activations of successive batches of images, on `where`.

    Cells are in row-major order. The tokens before the patches (class tokens, registers) belong to
    no place of the image and are left out (Dravid 2026, appendix B).

    Parameters
    ----------
    model : ImageModel
        The model.
    batches : iterable of ndarray of uint8, shape (n, height, width, 3)
        Images; each batch is one forward pass.

    Yields
    ------
    Tensor, shape (n_layers, n · H · W, d_mlp)
        In the precision of the forward pass.

    Raises
    ------
    ModelError
        If a batch does not hold such images, the model has another number of tokens per image than
        its prefix and its grid, or the GPU does not hold a batch.
    """
    recorder = NeuronRecorder(model.sites, where)
    device = input_device(model.module)
    for images in batches:
        _check_images(images, model.place)
        if len(images) == 0:
            continue
        shown = f"{model.place}: {len(images)} image(s)"
        with forward_pass(model.module, shown, FEWER_IMAGES, where), recorder.recording():
            model.module(**model.arguments(torch.from_numpy(images).to(device)))
            recorded = recorder.take()
        yield _cells(recorded, len(images), model)


def _check_images(images: np.ndarray, place: str) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ModelError(
            f"{place}: was shown an array of {images.dtype}, shape {images.shape}. Give 8-bit "
            "images, shape (n, height, width, 3)."
        )


def _cells(layers: list[torch.Tensor], n_images: int, model: ImageModel) -> torch.Tensor:
    """Return the rows of cells, (n_layers, n_images · H · W, d_mlp), from those of all tokens."""
    n_tokens, d_mlp = model.n_tokens, model.shape.d_mlp
    cells = layers[0].new_empty((len(layers), n_images, model.n_cells, d_mlp))
    for of_layer, values in zip(cells, layers, strict=True):
        if values.shape != (n_images * n_tokens, d_mlp):
            rows, columns = model.grid
            raise ModelError(
                f"{model.place}: has {len(values)} positions for {n_images} image(s), where "
                f"{model.n_prefix} tokens and {rows} × {columns} patches of each were expected; "
                "the architecture table does not fit it."
            )
        # One copy: a stack of slices would make two, which costs a third of the pass itself.
        of_layer.copy_(values.view(n_images, n_tokens, d_mlp)[:, model.n_prefix :])
    return cells.flatten(1, 2)
