"""The images that stores are of: those of the split `match`, or those that a generator made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rosetta.config import Config
from rosetta.config.names import generator_of_store
from rosetta.inputs.images.image_sets import ImageSet
from rosetta.inputs.images.thumbnails import thumbnail
from rosetta.run.paths import Paths
from rosetta.storage.digests import name64


@dataclass(frozen=True)
class ShownImages:
    """Images in the order of the stores that are of them, whatever sets they lie in.

    Attributes
    ----------
    sets : list of ImageSet
    """

    sets: list[ImageSet]

    @classmethod
    def of(cls, config: Config, paths: Paths, store: str) -> ShownImages:
        """Return the images of stores, by their name.

        Raises
        ------
        StoreError
            If a set is missing or damaged.
        """
        generator = store if config.is_generator(store) else generator_of_store(store)
        n_shards = config.activations.n_shards
        if generator is None:
            return cls([ImageSet(paths.image_set("match"))])
        return cls([ImageSet(paths.generated(generator, n_shards, i)) for i in range(n_shards)])

    @property
    def table(self) -> pd.DataFrame:
        """One row per image, with the columns `image_sets.COLUMNS`."""
        return pd.concat([one.table for one in self.sets], ignore_index=True)

    def described(self, numbers: list[int]) -> list[dict[str, str]]:
        """Return what a page tells of images, by their numbers: `document` (the id), `domain` (the
        class), `text` (the caption, or the class) and `picture` (`thumbnails.thumbnail`).
        """
        rows = self.table.iloc[numbers]
        pixels = self.pixels(np.array(numbers, np.int64)) if numbers else []
        return [
            {
                "document": name64(int(row.id)),
                "domain": str(row.domain),
                "text": str(row.caption or row.domain),
                "picture": thumbnail(image),
            }
            for row, image in zip(rows.itertuples(), pixels, strict=True)
        ]

    def batches(self, n_images: int, size: int) -> Iterator[np.ndarray]:
        """Yield the first `n_images` in order, at most `size` at a time."""
        for one in self.sets:
            end = min(n_images, one.n_images)
            yield from (one.pixels(i, min(i + size, end)) for i in range(0, end, size))
            n_images -= end

    def pixels(self, numbers: np.ndarray) -> np.ndarray:
        """Return images by their numbers through all sets.

        Parameters
        ----------
        numbers : ndarray of int64, shape (n,)

        Returns
        -------
        ndarray of uint8, shape (n, size, size, 3)
        """
        ends = np.cumsum([one.n_images for one in self.sets])
        found = []
        for number in numbers.tolist():
            which = int(np.searchsorted(ends, number, side="right"))
            place = number - (int(ends[which - 1]) if which else 0)
            found.append(self.sets[which].pixels(place, place + 1)[0])
        return np.stack(found)
