"""Drawing scenes: pixels with soft edges, and maps that tell which factor is where.

Lengths are sides of the image, so a scene looks alike at any size. A pixel stands for its centre:
pixel j of S lies at (j + 1/2) / S. Computed in float64, so that machines whose sines differ in the
last bit draw the same 8-bit pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rosetta.inputs.images.scenes import (
    BACKGROUNDS,
    COLOURS,
    GRAINS,
    SHAPES,
    TEXTURES,
    Objects,
    Scenes,
)

DARKEST = 0.3  # brightness of the dark parts of a texture
_WAVES = 7.0  # stripes, checks and dots per side of an image
_STEEP = 2.0  # how fast a texture changes between dark and bright
_STAR_INNER = 0.45  # radius of a star's inner corners; that of its points is 1


def draw(scenes: Scenes, size: int) -> np.ndarray:
    """Return the images of scenes.

    Parameters
    ----------
    scenes : Scenes
        What they show.
    size : int
        Side in pixels.

    Returns
    -------
    ndarray of uint8, shape (n_images, size, size, 3)
    """
    canvas = np.repeat(_backgrounds(scenes, size)[..., None], 3, axis=-1)
    shown = np.ones(len(scenes.label), bool)
    for objects, there in ((scenes.first, shown), (scenes.second, scenes.has_second)):
        which = np.flatnonzero(there)
        covered = _coverage(objects, which, size)[..., None]
        bright = _brightness(objects, which, size)[..., None]
        colour = np.array(list(COLOURS.values()))[objects.colour[which]]
        canvas[which] += covered * (bright * colour[:, None, None] - canvas[which])
    return np.rint(canvas).astype(np.uint8)


def factor_maps(scenes: Scenes, size: int) -> dict[str, np.ndarray]:
    """Return which factors each pixel shows: the truth about what a neuron may fire on.

    A pixel belongs to an object that covers half of it or more; to the second, which lies in front,
    if both do.

    Returns
    -------
    dict of str to ndarray of int8, each of shape (n_images, size, size)
        `object`: 1 or 2 for the first or second object, 0 for the background. `shape`, `texture`,
        `colour`, `size`, `row`, `column`: index of what the pixel's object has, -1 on the
        background. `background`: its index, -1 on an object.
    """
    n, everything = len(scenes.label), np.arange(len(scenes.label))
    second = _coverage(scenes.second, everything, size) >= 0.5
    second &= scenes.has_second[:, None, None]
    first = (_coverage(scenes.first, everything, size) >= 0.5) & ~second
    maps = {"object": np.select([first, second], [1, 2], 0).astype(np.int8)}
    for factor in ("shape", "texture", "colour", "size", "row", "column"):
        values = (
            getattr(objects, factor)[:, None, None] for objects in (scenes.first, scenes.second)
        )
        maps[factor] = np.select([first, second], list(values), np.int8(-1))
    background = np.broadcast_to(scenes.background[:, None, None], (n, size, size))
    maps["background"] = np.where(first | second, np.int8(-1), background)
    return maps


def _centres(size: int) -> np.ndarray:
    return (np.arange(size) + 0.5) / size


def _local(objects: Objects, which: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances of columns and of rows from the objects' centres.

    Shapes are (n, 1, size) and (n, size, 1), which broadcast to pixels.
    """
    centres = _centres(size)
    x = centres - objects.x[which, None]
    y = centres - objects.y[which, None]
    return x[:, None, :], y[:, :, None]


def _coverage(objects: Objects, which: np.ndarray, size: int) -> np.ndarray:
    """Return the share of each pixel that an object covers, (n, size, size).

    It falls from 1 to 0 within the pixel's width around the edge.
    """
    covered = np.empty((len(which), size, size))
    x, y = _local(objects, which, size)
    radius = objects.radius[which, None, None]
    for number, name in enumerate(SHAPES):
        of = objects.shape[which] == number
        if of.any():
            outside = _EDGES[name](x[of] / radius[of], y[of] / radius[of]) * radius[of]
            covered[of] = np.clip(0.5 - outside * size, 0, 1)
    return covered


def _brightness(objects: Objects, which: np.ndarray, size: int) -> np.ndarray:
    """Return how bright an object's texture is at each pixel, (n, size, size), `DARKEST` to 1."""
    shades = np.empty((len(which), size, size))
    x, y = _local(objects, which, size)
    for number, name in enumerate(TEXTURES):
        of = objects.texture[which] == number
        if of.any():
            shades[of] = np.clip(
                _SHADES[name](x[of], y[of], objects.radius[which][of, None, None]), 0, 1
            )
    return DARKEST + (1 - DARKEST) * shades


def _backgrounds(scenes: Scenes, size: int) -> np.ndarray:
    """Return the grey levels of the backgrounds, (n, size, size)."""
    grey = np.empty((len(scenes.label), size, size))
    cell = np.minimum((_centres(size) * GRAINS).astype(int), GRAINS - 1)
    slope = (40 + 170 * _centres(size))[:, None]
    kinds = scenes.background
    levels: dict[str, float | np.ndarray] = {"dark": 30, "light": 225, "sloped": slope}
    for name, values in levels.items():
        grey[kinds == BACKGROUNDS.index(name)] = values
    grainy = kinds == BACKGROUNDS.index("grainy")
    grey[grainy] = 70 + 110 * scenes.grains[grainy][:, cell][:, :, cell]
    return grey


def _box(x: np.ndarray, y: np.ndarray, half_x: float, half_y: float) -> np.ndarray:
    return np.maximum(np.abs(x) - half_x, np.abs(y) - half_y)


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the distance from the line through a point of the star and its next inner corner."""
    turn = 2 * np.pi / 5
    distance, angle = np.hypot(x, y), np.arctan2(x, -y)
    folded = np.abs((angle + turn / 2) % turn - turn / 2)  # 0 at a point, turn / 2 at a corner
    along, across = distance * np.cos(folded), distance * np.sin(folded)
    corner = np.array([np.cos(turn / 2), np.sin(turn / 2)]) * _STAR_INNER
    edge = corner - (1.0, 0.0)
    return ((along - 1) * -edge[1] + across * edge[0]) / -np.hypot(*edge)


# Distance from the edge of each shape of radius 1, positive outside; y grows downwards.
_EDGES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "disc": lambda x, y: np.hypot(x, y) - 1,
    "square": lambda x, y: _box(x, y, 0.8, 0.8),
    "triangle": lambda x, y: np.maximum(y - 0.6, np.abs(x) * 0.8575 - y * 0.5145 - 0.5145),
    "diamond": lambda x, y: (np.abs(x) + np.abs(y) - 1) / np.sqrt(2),
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.75) - 0.25,
    "cross": lambda x, y: np.minimum(_box(x, y, 1.0, 0.33), _box(x, y, 0.33, 1.0)),
    "star": _star,
    "crescent": lambda x, y: np.maximum(np.hypot(x, y) - 1, 0.75 - np.hypot(x - 0.5, y)),
}


def _wave(along: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * _WAVES * along)


def _dots(x: np.ndarray, y: np.ndarray, _radius: np.ndarray) -> np.ndarray:
    quarter = 0.25 / _WAVES  # so that a dot lies on the object's centre
    return 0.5 + _STEEP * (_wave(x + quarter) + _wave(y + quarter) - 0.6)


# Brightness of each texture from 0 to 1, beyond which it is cut; x, y from the object's centre.
_SHADES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "plain": lambda x, y, radius: np.ones(1),
    "banded": lambda x, y, radius: 0.5 + _STEEP * _wave(y),
    "striped": lambda x, y, radius: 0.5 + _STEEP * _wave(x),
    "checkered": lambda x, y, radius: 0.5 + 2 * _STEEP * _wave(x / 2) * _wave(y / 2),
    "dotted": _dots,
    "shaded": lambda x, y, radius: 0.5 + 0.5 * x / radius,
}
