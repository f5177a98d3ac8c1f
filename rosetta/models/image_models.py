"""Loaded models that see images, and how images are laid before them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch.nn import functional

from rosetta.models.architectures.images import ARCHITECTURES, Channels, Pair, Shown, pair
from rosetta.models.devices import CPU
from rosetta.models.image_inputs import ImageInput, image_input, native_size
from rosetta.models.loading import Where, load_config_of, load_model
from rosetta.models.neuron_counts import recorded_shape
from rosetta.models.neurons import NeuronShape
from rosetta.models.recorded import recorded_sites
from rosetta.models.sites import Site
from rosetta.models.sources import ModelSource


@dataclass(frozen=True)
class ImageModel:
    """A loaded model that sees images.

    Attributes
    ----------
    module : PreTrainedModel
        In evaluation mode; of a model with a text tower the vision tower alone.
    config : PreTrainedConfig
        The module's.
    place : str
        What messages name as the culprit.
    input_size : (int, int)
        Height and width in pixels to which whole images are resized.
    mean, std : (float, float, float)
        By channel, of pixel values from 0 to 1.
    grid : (int, int)
        Rows and columns of patches, H and W.
    n_prefix : int
        Tokens before the patches, which are no cells of an image.
    shape : NeuronShape
        Its neurons, or what is recorded in their place (`rosetta.models.recorded`).
    sites : list of list of Site
        Where they are, by layer.
    """

    module: Any
    config: Any
    place: str
    input_size: Pair
    mean: Channels
    std: Channels
    grid: Pair
    n_prefix: int
    shape: NeuronShape
    sites: list[list[Site]]

    @property
    def n_cells(self) -> int:
        """Patches of an image, H·W."""
        return self.grid[0] * self.grid[1]

    @property
    def n_tokens(self) -> int:
        """Positions that the model has per image, its prefix included."""
        return self.n_prefix + self.n_cells

    @cached_property
    def _shown(self) -> Shown:
        native = self.input_size == native_size(self.config)
        return Shown(self.grid, pair(self.config.patch_size), native)

    def arguments(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the arguments of the module's forward pass over images.

        Images of another size are resized whole, without a crop, so that each cell stays where it
        is in the image (method, section 2).

        Parameters
        ----------
        images : Tensor of uint8, shape (n, height, width, 3)
            Red, green, blue; on the device of the model.
        """
        pixels = images.permute(0, 3, 1, 2).float() / 255
        if tuple(pixels.shape[2:]) != self.input_size:
            pixels = functional.interpolate(
                pixels, self.input_size, mode="bicubic", align_corners=False, antialias=True
            )
        mean, std = (pixels.new_tensor(scale).view(3, 1, 1) for scale in (self.mean, self.std))
        pixels = ((pixels - mean) / std).to(self.module.dtype)
        return ARCHITECTURES[self.config.model_type].inputs(pixels, self._shown)


def load_image_model(
    source: ModelSource, image_size: int | None = None, where: Where = CPU
) -> ImageModel:
    """Load a model that sees images, from safetensors or a seed, ready to be shown them.

    Nothing of an image is masked (ViT-MAE). That the weights were trained with the activation of
    the configuration can be told only where their origin is named: models of `openai/clip-…` need
    QuickGELU, those of `laion/CLIP-…` plain GELU.

    Parameters
    ----------
    source : ModelSource
        The model; with `untrained_seed` one of random weights.
    image_size : int or None
        Height and width in pixels of what it is shown; None for the model's own.
    where : device, or dict of {int or 'cpu': int}
        As `rosetta.models.loading.load_model` takes it.

    Raises
    ------
    ModelError
        If it cannot be loaded, weights do not fit it, or it cannot be shown images of that size.
    """
    shown = image_input(source, load_config_of(source), image_size)
    return image_model(load_model(source, where), shown, source)


def image_model(module: Any, shown: ImageInput, source: ModelSource) -> ImageModel:
    """Return a loaded vision tower with what is known of how it is shown images."""
    return ImageModel(
        module,
        module.config,
        source.place,
        **vars(shown),
        shape=recorded_shape(source.recorded, module.config, source.place),
        sites=recorded_sites(source.recorded, module, source.place),
    )
