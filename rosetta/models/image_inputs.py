"""How a model is shown images: their size, the grid of its patches, and the scale of its pixels.

A model's own image processor is not run. It may crop, and then cells of two models no longer lie at
the same place; only what it says of sizes and scales is read.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, TypeGuard

from rosetta.errors import ModelError
from rosetta.models.architectures import generators
from rosetta.models.architectures.images import (
    ARCHITECTURES,
    Channels,
    ImageArchitecture,
    Pair,
    pair,
)
from rosetta.models.source_files import source_json
from rosetta.models.sources import ModelSource

PROCESSOR, OF_ALL = "preprocessor_config.json", "processor_config.json"
_WHOLE_SCALE = 1 / 255


@dataclass(frozen=True)
class ImageInput:
    """How a model is shown images.

    Attributes
    ----------
    input_size : (int, int)
        Height and width in pixels to which whole images are resized.
    mean, std : (float, float, float)
        By channel, of pixel values from 0 to 1.
    grid : (int, int)
        Rows and columns of patches.
    n_prefix : int
        Tokens before the patches.
    """

    input_size: Pair
    mean: Channels
    std: Channels
    grid: Pair
    n_prefix: int

    @property
    def facts(self) -> dict[str, Any]:
        """What a model's manifest keeps of it."""
        return {
            "input_size": list(self.input_size),
            "mean": list(self.mean),
            "std": list(self.std),
            "grid": list(self.grid),
            "n_prefix": self.n_prefix,
        }


def image_input(source: ModelSource, config: Any, image_size: int | None = None) -> ImageInput:
    """Return how a model is shown images.

    The size is `image_size`; else what `preprocessor_config.json` says: `crop_size` if it crops,
    `size` if not; else `image_size` of the configuration. A size that is read from files is lowered
    to whole patches, so that the patches cover the image.

    Parameters
    ----------
    source : ModelSource
        The model.
    config : PreTrainedConfig
        The model's, or its vision tower's.
    image_size : int or None
        Height and width in pixels, whatever the files say.

    Raises
    ------
    ModelError
        If it is a generator, the files say no sizes or scales, the weights need another activation
        than the configuration says, or positions are not known at that size.
    """
    if config.model_type in generators.ARCHITECTURES:
        raise ModelError(
            f"{source.place}: {config.model_type} makes images and is not shown any. Give a model "
            "that sees images."
        )
    architecture = ARCHITECTURES[config.model_type]
    tower = architecture.described_by(config)
    _check_configuration(source, architecture, tower)
    told = _processor(source)
    native, patch = pair(architecture.native(tower)), pair(tower.patch_size)
    size = _size(told, source.place) or native
    if image_size is not None:
        size = (image_size, image_size)
    grid = (size[0] // patch[0], size[1] // patch[1])
    whole = (grid[0] * patch[0], grid[1] * patch[1])
    if min(grid) < 1 or (image_size is not None and whole != size):
        raise ModelError(
            f"{source.place}: images of {size[0]} × {size[1]} pixels are no whole number of its "
            f"patches of {patch[0]} × {patch[1]}. Give a multiple of them."
        )
    _check_positions(architecture, native, patch, whole, source.place)
    mean, std = _scale(told, architecture, source.place)
    return ImageInput(whole, mean, std, grid, architecture.n_prefix(tower))


def native_size(config: Any) -> Pair:
    """Return the size of images, height and width in pixels, that a configuration says."""
    architecture = ARCHITECTURES[config.model_type]
    return pair(architecture.native(architecture.described_by(config)))


def _check_configuration(source: ModelSource, architecture: ImageArchitecture, tower: Any) -> None:
    """Check that a tower sees colours, and has the activation that its weights were trained with.

    Two activations that are almost alike, GELU and QuickGELU, give wrong neurons without an error.
    What can be told of them is the activation of models whose owner used only one: by the hub's id,
    in the source or in `_name_or_path` of an older config.json.
    """
    if tower.num_channels != 3:
        raise ModelError(
            f"{source.place}: sees images of {tower.num_channels} channels, not of red, green and "
            "blue. Give a model that sees colours."
        )
    if not architecture.origins:
        return
    told = _json(source, "config.json").get("_name_or_path")
    for origin in (source.location, str(told)):
        for pattern, activation in architecture.origins:
            if re.search(pattern, origin) and tower.hidden_act != activation:
                raise ModelError(
                    f"{source.place}: its weights are from {origin} and were trained with "
                    f"{activation}; config.json says hidden_act {tower.hidden_act}, with which its "
                    f"neurons would be others. Set hidden_act of vision_config to {activation}."
                )


def _check_positions(
    architecture: ImageArchitecture, native: Pair, patch: Pair, size: Pair, place: str
) -> None:
    """Check that a model knows the positions of its patches.

    Tables of positions do not say what grid they are of, and the library takes them for square when
    it interpolates.
    """
    if not architecture.interpolates or (architecture.as_is and size == native):
        return
    rows, columns = native[0] // patch[0], native[1] // patch[1]
    if rows != columns or patch[0] != patch[1]:
        raise ModelError(
            f"{place}: its positions are known on a grid of {rows} × {columns} patches of "
            f"{patch[0]} × {patch[1]} pixels, and only those of square patches on a square grid "
            f"can be used for images of {size[0]} × {size[1]}. Give a model of square images."
        )


def _processor(source: ModelSource) -> dict[str, Any]:
    """Return what a model's files say of its image processor; nothing if they do not."""
    told = _json(source, PROCESSOR) or _json(source, OF_ALL).get("image_processor")
    return told if isinstance(told, dict) else {}


def _json(source: ModelSource, name: str) -> dict[str, Any]:
    try:
        return source_json(source, name)
    except (ValueError, OSError) as error:
        raise ModelError(f"{source.place}: {name} cannot be read ({error}).") from None


def _size(told: dict[str, Any], place: str) -> Pair | None:
    """Return height and width that an image processor says, or None if it does not."""
    crops = told.get("do_center_crop") is not False and told.get("crop_size") is not None
    key = "crop_size" if crops else "size"
    said = told.get(key)
    if said is None:
        return None
    if isinstance(said, dict):
        short = said.get("shortest_edge")
        found = (said.get("height", short), said.get("width", short))
    elif isinstance(said, list) and len(said) != 2:
        found = (None, None)
    else:
        found = pair(said)
    height, width = found
    if not (_is_count(height) and _is_count(width)):
        raise ModelError(
            f"{place}: {PROCESSOR} gives {said!r} as {key}. Give its height and width in pixels."
        )
    return height, width


def _is_count(said: Any) -> TypeGuard[int]:
    return isinstance(said, int) and not isinstance(said, bool) and said > 0


def _scale(
    told: dict[str, Any], architecture: ImageArchitecture, place: str
) -> tuple[Channels, Channels]:
    """Return mean and standard deviation of pixel values from 0 to 1."""
    factor = told.get("rescale_factor", _WHOLE_SCALE)
    usual = isinstance(factor, float | int) and math.isclose(factor, _WHOLE_SCALE, rel_tol=1e-4)
    if told.get("do_rescale") is False or not usual:
        raise ModelError(
            f"{place}: {PROCESSOR} does not bring pixel values to a scale of 0 to 1 first "
            "(do_rescale, rescale_factor), which other models of the architecture do. Correct it."
        )
    if told.get("do_normalize") is False:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    mean = _channels(told.get("image_mean", architecture.mean), "image_mean", place)
    std = _channels(told.get("image_std", architecture.std), "image_std", place)
    if min(std) <= 0:
        raise ModelError(f"{place}: {PROCESSOR} gives {list(std)} as image_std. Correct it.")
    return mean, std


def _channels(said: Any, key: str, place: str) -> Channels:
    numbers = said if isinstance(said, list | tuple) and len(said) == 3 else (None,)
    if not all(isinstance(value, float | int) and math.isfinite(value) for value in numbers):
        raise ModelError(f"{place}: {PROCESSOR} gives {said!r} as {key}. Give three numbers.")
    red, green, blue = map(float, numbers)
    return red, green, blue
