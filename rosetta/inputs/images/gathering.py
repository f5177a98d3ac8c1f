"""Gathering the images of a source: decoded, resized, deduplicated, counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rosetta.inputs.images.decoding import CONVERSIONS, REASONS, RejectedImage, decode
from rosetta.inputs.images.image_sets import image_ids
from rosetta.inputs.images.sources import RawImage

# Beside the reasons to reject: what becomes of an image.
ACCEPTED, DUPLICATE = "accepted", "duplicate"


@dataclass(frozen=True, order=True)
class Kept:
    """What is known of an accepted image, in the order of its class and its source."""

    class_name: str
    source: str
    caption: str
    index: int
    group: str


class Gathering:
    """Writes the pixels of distinct images to a file, one after the other, and counts the rest.

    Of images with the same pixels, the one whose class and source come first is kept, so that the
    order of reading does not matter.

    Parameters
    ----------
    path : Path
        The file of pixels.
    size : int
        Side of the images in pixels.
    max_pixels : int
        See `rosetta.inputs.images.decoding.decode`.

    Attributes
    ----------
    counts : dict of str to int
        Images by what became of them: accepted, a duplicate, or why they were rejected.
    converted : dict of str to int
        Accepted images and duplicates by the rules that were applied.
    kept : dict of int to Kept
        By id, in the order of the file.
    classes : set of str
        Of all images that were read, also of rejected ones.
    of_several_classes : set of int
        Ids of images that more than one class has.
    """

    def __init__(self, path: Path, size: int, max_pixels: int) -> None:
        self.path, self.size, self.max_pixels = path, size, max_pixels
        self.counts = dict.fromkeys((ACCEPTED, DUPLICATE, *REASONS), 0)
        self.converted = dict.fromkeys(CONVERSIONS, 0)
        self.kept: dict[int, Kept] = {}
        self.classes: set[str] = set()
        self.of_several_classes: set[int] = set()

    def gather(self, images: Iterable[RawImage], limit: int | None) -> None:
        """Read images until there are none, or `limit` distinct ones are accepted."""
        with open(self.path, "wb") as file:
            for raw in images:
                self.classes.add(raw.class_name)
                pixels = self._pixels(raw)
                if pixels is not None and self._is_new(raw, int(image_ids(pixels[None])[0])):
                    file.write(pixels.tobytes())
                if limit is not None and len(self.kept) >= limit:
                    return

    def pixels(self) -> np.ndarray:
        """Return the pixels of the kept images, uint8 (n, size, size, 3), read as they are used."""
        shape = (len(self.kept), self.size, self.size, 3)
        return np.memmap(self.path, np.uint8, mode="r", shape=shape)

    def _pixels(self, raw: RawImage) -> np.ndarray | None:
        """Return the pixels of an image; None if it is rejected, which is counted."""
        if isinstance(raw.content, np.ndarray):
            return raw.content
        try:
            decoded = decode(raw.content, self.size, self.max_pixels)
        except RejectedImage as rejected:
            self.counts[str(rejected)] += 1
            return None
        for rule in decoded.conversions:
            self.converted[rule] += 1
        return decoded.pixels

    def _is_new(self, raw: RawImage, image_id: int) -> bool:
        found = Kept(raw.class_name, raw.source, raw.caption, raw.index, raw.group)
        other = self.kept.get(image_id)
        self.counts[ACCEPTED if other is None else DUPLICATE] += 1
        if other is not None and other.class_name != found.class_name:
            self.of_several_classes.add(image_id)
        self.kept[image_id] = found if other is None else min(found, other)
        return other is None
