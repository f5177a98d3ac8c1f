"""Architectures of models that see images: one table, keyed by the configuration's `model_type`.

A neuron is one coordinate of the input of a layer's MLP down projection, at one patch of the image.
Of a model with a text tower only the vision tower is loaded. To support another architecture, add
an entry to `ARCHITECTURES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from rosetta.models.architectures.record import Architecture

Pair = tuple[int, int]
Channels = tuple[float, float, float]  # red, green, blue
# Of pixel values from 0 to 1.
IMAGENET: tuple[Channels, Channels] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF: tuple[Channels, Channels] = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
CLIP: tuple[Channels, Channels] = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)


@dataclass(frozen=True)
class Shown:
    """How images lie before a model.

    Attributes
    ----------
    grid : (int, int)
        Rows and columns of patches.
    patch : (int, int)
        Height and width of a patch in pixels.
    native : bool
        Whether the images are of the size that the configuration says.
    """

    grid: Pair
    patch: Pair
    native: bool


def pair(value: Any) -> Pair:
    """Return height and width from a number for both, or from the two."""
    height, width = value if isinstance(value, list | tuple) else (value, value)
    return height, width


def _pixels(pixels: Any, shown: Shown) -> dict[str, Any]:
    return {"pixel_values": pixels}


def _told_to_interpolate(pixels: Any, shown: Shown) -> dict[str, Any]:
    """Position embeddings are interpolated only if the model is told so."""
    return {"pixel_values": pixels} | ({} if shown.native else {"interpolate_pos_encoding": True})


def _in_order(pixels: Any, shown: Shown) -> dict[str, Any]:
    """Patches are sorted by a noise, also when none is masked: it ascends, so all stay in place."""
    noise = pixels.new_ones((len(pixels), math.prod(shown.grid))).float().cumsum(dim=1)
    return _told_to_interpolate(pixels, shown) | {"noise": noise}


def _in_patches(pixels: Any, shown: Shown) -> dict[str, Any]:
    """Patches come as rows of (row, column, channel), with the grid; none is padding."""
    (rows, columns), (height, width) = shown.grid, shown.patch
    cut = pixels.unflatten(3, (columns, width)).unflatten(2, (rows, height))
    patches = cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    return {
        "pixel_values": patches,
        "spatial_shapes": pixels.new_tensor([shown.grid] * len(pixels)).long(),
        "pixel_attention_mask": pixels.new_ones(patches.shape[:2]).long(),
    }


@dataclass(frozen=True)
class ImageArchitecture(Architecture):
    """How to find the neurons of one architecture that sees images, and how to show it images.

    Attributes
    ----------
    gated : tuple of (str, str) or None
        Key of the configuration that makes the MLP a gated one, and the down projection's path
        then; None if it is the same.
    native : callable
        From a configuration to the size of images that it says, in pixels: a number for both, or
        height and width.
    n_prefix : callable
        From a configuration to the number of tokens before the patches: class tokens, registers.
    mean, std : (float, float, float)
        By channel, of pixel values from 0 to 1; what a model is shown that does not say its own.
    inputs : callable
        From pixel values of shape (n, 3, height, width) and how they lie to the arguments of the
        forward pass.
    interpolates : bool
        Whether the position embeddings are fitted to other grids by interpolation; False if
        positions are rotary.
    as_is : bool
        Whether the position embeddings of the native grid are taken as they are, square or not.
    settings : mapping
        What the configuration is set to before the model is made.
    constructed : mapping
        Arguments of the model's constructor.
    origins : tuple of (str, str)
        Regular expressions of where weights are from, and the `hidden_act` that such have.
    """

    part: str = "vision_config"
    loader: str = "AutoModel"
    gated: tuple[str, str] | None = None
    native: Callable[[Any], int | list[int]] = lambda config: config.image_size
    n_prefix: Callable[[Any], int] = lambda config: 1
    mean: Channels = IMAGENET[0]
    std: Channels = IMAGENET[1]
    inputs: Callable[[Any, Shown], dict[str, Any]] = _pixels
    interpolates: bool = True
    as_is: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    constructed: Mapping[str, Any] = field(default_factory=dict)
    origins: tuple[tuple[str, str], ...] = ()

    def projection_of(self, config: Any) -> str | None:
        """Return the path of the down projection in a model of this configuration."""
        if self.gated and getattr(config, self.gated[0]):
            return self.gated[1]
        return self.down_projection

    def loading_options(self, config: Any) -> dict[str, Any]:
        """Return what `loader` is told: the vision tower's configuration, as it is to be."""
        tower = deepcopy(self.described_by(config))
        for name, value in self.settings.items():
            setattr(tower, name, value)
        return {"config": tower, **self.constructed}


def _intermediate_size(config: Any) -> int:
    return int(config.intermediate_size)


def _mlp_ratio(config: Any) -> int:
    return int(config.hidden_size * config.mlp_ratio)


def _swiglu_or_ratio(config: Any) -> int:
    """A gated MLP has two thirds of the width, rounded up to a multiple of 8."""
    width = _mlp_ratio(config)
    return (int(width * 2 / 3) + 7) // 8 * 8 if config.use_swiglu_ffn else width


def _with_registers(config: Any) -> int:
    return 1 + int(config.num_register_tokens)


_MASK_TOKEN = r"(^|\.)mask_token$"  # in place of masked patches, of which there are none
_POOLER = r"^(\w+\.)?pooler\."


def _saved(base: str, *paths: str) -> tuple[str, ...]:
    """Return names in files, with and without the base model's."""
    return tuple(rf"(?:{base}\.)?{path}" for path in paths)


def _old_and_new(base: str) -> tuple[str, ...]:
    """Return the names of a ViT's down projection in files of earlier versions and of this one."""
    return _saved(base, r"encoder\.layer\.{layer}\.output\.dense", r"layers\.{layer}\.mlp\.fc2")


_VIT = ImageArchitecture(
    "layers.{layer}.mlp.fc2",
    _intermediate_size,
    (),
    saved=_old_and_new("vit"),
    leftovers=(_MASK_TOKEN,),
    mean=HALF[0],
    std=HALF[1],
    inputs=_told_to_interpolate,
    as_is=True,
)
_DINOV2 = ImageArchitecture(
    "encoder.layer.{layer}.mlp.fc2",
    _swiglu_or_ratio,
    (),
    gated=("use_swiglu_ffn", "encoder.layer.{layer}.mlp.down_proj"),
    saved=_saved("dinov2", r"encoder\.layer\.{layer}\.mlp\.(?:fc2|weights_out|down_proj)"),
)
_TOWER = ImageArchitecture(
    "encoder.layers.{layer}.mlp.fc2",
    _intermediate_size,
    (),
    saved=_saved("vision_model", r"encoder\.layers\.{layer}\.mlp\.fc2"),
    # The text tower, and what compares the two.
    leftovers=(r"^(text_model|text_projection|visual_projection)\.", r"^logit_(scale|bias)$"),
    inputs=_told_to_interpolate,
    as_is=True,
)
_CLIP = replace(
    _TOWER,
    mean=CLIP[0],
    std=CLIP[1],
    origins=(
        (r"\bopenai(/|--)clip-", "quick_gelu"),
        (r"\blaion(/|--)CLIP-.*(laion2B|DataComp|CommonPool)", "gelu"),
    ),
)
_SIGLIP = replace(_TOWER, mean=HALF[0], std=HALF[1], n_prefix=lambda config: 0)
# Any size: the position embeddings are interpolated to the grid that comes with the patches.
_NAFLEX = replace(
    _SIGLIP,
    native=lambda config: math.isqrt(config.num_patches) * config.patch_size,
    inputs=_in_patches,
)

ARCHITECTURES: dict[str, ImageArchitecture] = {
    "vit": replace(
        _VIT,
        constructed={"add_pooling_layer": False},
        leftovers=(_MASK_TOKEN, _POOLER, r"^decoder\."),
    ),
    "vit_mae": replace(
        _VIT,
        settings={"mask_ratio": 0.0},
        leftovers=(r"^decoder\.",),
        mean=IMAGENET[0],
        std=IMAGENET[1],
        inputs=_in_order,
    ),
    # Its tables of relative positions are fitted to the grid at every size.
    "beit": replace(
        _VIT,
        constructed={"add_pooling_layer": False},
        saved=_old_and_new("beit"),
        leftovers=(_MASK_TOKEN, _POOLER, r"^(lm_head|layernorm)\."),
        inputs=_pixels,
        as_is=False,
    ),
    "ijepa": replace(
        _VIT,
        saved=_old_and_new("ijepa"),
        n_prefix=lambda config: 0,
        mean=IMAGENET[0],
        std=IMAGENET[1],
    ),
    "pixio": replace(
        _VIT,
        d_mlp=_mlp_ratio,
        saved=_old_and_new("pixio"),
        leftovers=(),
        n_prefix=lambda config: config.n_cls_tokens,
        mean=IMAGENET[0],
        std=IMAGENET[1],
        inputs=_pixels,
        as_is=False,
    ),
    "dinov2": _DINOV2,
    "dinov2_with_registers": replace(
        _DINOV2,
        saved=_saved(
            "dinov2_with_registers",
            r"encoder\.layer\.{layer}\.mlp\.(?:fc2|weights_out|down_proj)",
        ),
        n_prefix=_with_registers,
    ),
    # The down projection of plain and gated MLPs, which the original repository calls w3 if gated.
    "dinov3_vit": ImageArchitecture(
        "model.layer.{layer}.mlp.down_proj",
        _intermediate_size,
        (),
        saved=(r"(?:model\.)?layer\.{layer}\.mlp\.down_proj",),
        n_prefix=_with_registers,
        interpolates=False,
    ),
    "clip": _CLIP,
    "clip_vision_model": _CLIP,
    "siglip": _SIGLIP,
    "siglip_vision_model": _SIGLIP,
    "siglip2": _NAFLEX,
    "siglip2_vision_model": _NAFLEX,
    "eva02_enormous": ImageArchitecture(
        "blocks.{layer}.mlp.fc2",
        _intermediate_size,
        (),
        saved=(r"blocks\.{layer}\.mlp\.fc2",),
        mean=CLIP[0],
        std=CLIP[1],
    ),
}
