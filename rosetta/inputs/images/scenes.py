"""Scenes of procedural images: which factors an image has, from its seed and index alone.

An image shows one object or two on a background. Shape and texture of the first object are its
class; all other factors are drawn independently of it and of each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

SHAPES = ("disc", "square", "triangle", "diamond", "ring", "cross", "star", "crescent")
TEXTURES = ("plain", "banded", "striped", "checkered", "dotted", "shaded")
COLOURS = {
    "red": (214, 39, 40),
    "orange": (245, 133, 24),
    "yellow": (240, 218, 60),
    "green": (44, 160, 44),
    "blue": (31, 90, 210),
    "purple": (148, 70, 200),
}
BACKGROUNDS = ("dark", "light", "sloped", "grainy")
SIZES = ("small", "medium", "big")
ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "centre", "right")
# A shape has every second texture, so that each texture is as frequent as any other.
TEXTURES_PER_SHAPE = 3
N_CLASSES = len(SHAPES) * TEXTURES_PER_SHAPE
CLASSES = tuple(
    f"{TEXTURES[2 * (k % TEXTURES_PER_SHAPE) + k // TEXTURES_PER_SHAPE % 2]} "
    f"{SHAPES[k // TEXTURES_PER_SHAPE]}"
    for k in range(N_CLASSES)
)
VOCABULARY = (*SHAPES, *TEXTURES, *COLOURS, *BACKGROUNDS, *SIZES, *ROWS, *COLUMNS, "on", "and")
GRAINS = 8  # the grains of a background lie on a grid of so many per side

# Radius of an object in sides of the image: least and range, of the first and of the second object.
_RADII = {"first": (0.17, 0.15), "second": (0.10, 0.06)}
_N_DRAWS = 16  # numbers that a scene takes; its grains take more


@dataclass(frozen=True)
class Objects:
    """One object of each scene; arrays of shape (n_images,).

    Attributes
    ----------
    shape, texture, colour : ndarray of int8
        Indices into `SHAPES`, `TEXTURES` and `COLOURS`.
    x, y : ndarray of float64
        Centre, in sides of the image from its left and its top.
    radius : ndarray of float64
        In sides of the image.
    """

    shape: np.ndarray
    texture: np.ndarray
    colour: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray

    def part(self, images: slice) -> Objects:
        """Return those of some images."""
        return Objects(**{name: values[images] for name, values in vars(self).items()})

    @property
    def size(self) -> np.ndarray:
        """Index into `SIZES`, int8: thirds of the radii of first objects."""
        least, extent = _RADII["first"]
        return _level((self.radius - least) / extent, len(SIZES))

    @property
    def row(self) -> np.ndarray:
        """Index into `ROWS`, int8: thirds of the image."""
        return _level(self.y, len(ROWS))

    @property
    def column(self) -> np.ndarray:
        """Index into `COLUMNS`, int8: thirds of the image."""
        return _level(self.x, len(COLUMNS))


@dataclass(frozen=True)
class Scenes:
    """What images show.

    Attributes
    ----------
    label : ndarray of int64, shape (n_images,)
        Class of the first object, an index into `CLASSES`.
    first, second : Objects
        The second object, the smaller one, lies in front of the first.
    has_second : ndarray of bool, shape (n_images,)
        Whether the second object is there.
    background : ndarray of int8, shape (n_images,)
        Index into `BACKGROUNDS`.
    grains : ndarray of float64, shape (n_images, GRAINS, GRAINS)
        Brightness of the background's grains, in [0, 1); shown if it is grainy.
    """

    label: np.ndarray
    first: Objects
    second: Objects
    has_second: np.ndarray
    background: np.ndarray
    grains: np.ndarray

    def part(self, images: slice) -> Scenes:
        """Return those of some images."""
        return Scenes(
            self.label[images],
            self.first.part(images),
            self.second.part(images),
            self.has_second[images],
            self.background[images],
            self.grains[images],
        )


def draw_scenes(seed: int, indices: Iterable[int], two_objects: float) -> Scenes:
    """Return the scenes of some images.

    Parameters
    ----------
    seed : int
        Of all images.
    indices : iterable of int
        Which images, from 0 on; the class of image i is ``i % N_CLASSES``.
    two_objects : float
        Share of the images with a second object.
    """
    which = np.asarray(list(indices), dtype=np.uint64)
    drawn = _uniforms(seed, which, _N_DRAWS + GRAINS**2)
    numbers = iter(drawn.T)
    label = (which % np.uint64(N_CLASSES)).astype(np.int64)
    shape = label // TEXTURES_PER_SHAPE
    texture = 2 * (label % TEXTURES_PER_SHAPE) + shape % 2
    has_second = next(numbers) < two_objects
    background = _level(next(numbers), len(BACKGROUNDS))
    first = _objects("first", shape.astype(np.int8), texture.astype(np.int8), numbers)
    other_shape = _level(next(numbers), len(SHAPES))
    other_texture = _level(next(numbers), len(TEXTURES))
    second = _objects("second", other_shape, other_texture, numbers)
    grains = drawn[:, _N_DRAWS:].reshape(-1, GRAINS, GRAINS)
    return Scenes(label, first, second, has_second, background, grains)


def captions(scenes: Scenes) -> list[str]:
    """Return a caption of each scene: 7 or 8 words of `VOCABULARY`.

    ``big red dotted star top left on dark`` with one object, ``red dotted star and blue ring on
    dark`` with two.
    """
    colours = tuple(COLOURS)
    first, second = scenes.first, scenes.second
    size, row, column = first.size, first.row, first.column
    said = []
    for i, both in enumerate(scenes.has_second):
        words = [colours[first.colour[i]], TEXTURES[first.texture[i]], SHAPES[first.shape[i]]]
        if both:
            words += ["and", colours[second.colour[i]], SHAPES[second.shape[i]]]
        else:
            words = [SIZES[size[i]], *words, ROWS[row[i]], COLUMNS[column[i]]]
        said.append(" ".join([*words, "on", BACKGROUNDS[scenes.background[i]]]))
    return said


def _objects(
    which: str, shape: np.ndarray, texture: np.ndarray, numbers: Iterator[np.ndarray]
) -> Objects:
    """Return objects of given shapes and textures; an object lies whole inside of the image."""
    least, extent = _RADII[which]
    radius = least + extent * next(numbers)
    colour = _level(next(numbers), len(COLOURS))
    x, y = (radius + (1 - 2 * radius) * next(numbers) for _ in range(2))
    return Objects(shape, texture, colour, x, y, radius)


def _level(share: np.ndarray, n: int) -> np.ndarray:
    """Return which of n equal parts of [0, 1) a number lies in; the ends take what is outside."""
    return np.clip(share * n, 0, n - 1).astype(np.int8)


def _uniforms(seed: int, which: np.ndarray, n: int) -> np.ndarray:
    """Return n numbers in [0, 1) per image, each a hash of (seed, image, number).

    Hashes, unlike NumPy's generators, need no state per image, and are the same in every version.
    """
    stream = _mix(_mix(np.array([seed], np.uint64)) ^ _mix(which + np.uint64(1)))
    numbers = _mix(stream[:, None] + np.arange(1, n + 1, dtype=np.uint64) * _GOLDEN)
    return (numbers >> np.uint64(11)) * 2.0**-53


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(values: np.ndarray) -> np.ndarray:
    """Return the finaliser of SplitMix64 (Steele et al. 2014), which scatters all 64 bits."""
    values = values + _GOLDEN
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
