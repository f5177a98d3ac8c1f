"""Heat maps: a neuron's values over the cells of a grid as colours, and laid over the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COLORS = "viridis"
OVERLAY = 0.45  # share of the map's colour in an overlay


@dataclass(frozen=True)
class ValueRange:
    """The values that get the first and the last colour of the map.

    Attributes
    ----------
    low, high : float
        In the units of the activations.
    """

    low: float
    high: float

    @classmethod
    def of(cls, maps: np.ndarray) -> ValueRange:
        """Return the range from the lowest to the highest value of some maps."""
        return cls(float(maps.min()), float(maps.max()))

    def shares(self, values: np.ndarray) -> np.ndarray:
        """Return where values lie in the range, from 0 to 1; 0 where all values are equal."""
        width = self.high - self.low
        if width == 0:
            return np.zeros(values.shape)
        return np.clip((values.astype(np.float64) - self.low) / width, 0.0, 1.0)


def enlarged(grid: np.ndarray, side: int) -> np.ndarray:
    """Return values between the centres of a grid's cells, bilinearly.

    Parameters
    ----------
    grid : ndarray, shape (height, width)
        Values of cells.
    side : int
        Pixels of the picture, at least as many as cells on either side.

    Returns
    -------
    ndarray of float32, shape (side, side)
        A pixel beyond the outermost centres has the value of the nearest.
    """
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(grid, dtype=np.float32))
    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR))


def heat_maps(maps: np.ndarray, side: int, values: ValueRange | None = None) -> np.ndarray:
    """Return maps as pictures: values are enlarged bilinearly, then coloured.

    Parameters
    ----------
    maps : ndarray, shape (n, height, width)
        A neuron's activations over the cells of its model's grid.
    side : int
        Pixels of a picture.
    values : ValueRange, optional
        What the colours go from and to; the lowest and highest value of all maps if not given.

    Returns
    -------
    ndarray of uint8, shape (n, side, side, 3)
    """
    import matplotlib

    chosen = ValueRange.of(maps) if values is None else values
    colors = matplotlib.colormaps[COLORS]
    pictures = [colors(chosen.shares(enlarged(one, side)), bytes=True)[..., :3] for one in maps]
    return np.stack(pictures)


def overlays(images: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return images with their heat maps laid over them, `OVERLAY` of the latter.

    Parameters
    ----------
    images, heat : ndarray of uint8, shape (n, side, side, 3)

    Returns
    -------
    ndarray of uint8, shape (n, side, side, 3)
    """
    mixed = (1 - OVERLAY) * images.astype(np.float64) + OVERLAY * heat.astype(np.float64)
    return np.rint(mixed).astype(np.uint8)
