"""Small pictures inside pages."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
from PIL import Image

SIDE = 96  # pixels, at most
_QUALITY = 80


def thumbnail(pixels: np.ndarray) -> str:
    """Return an image as the address of an `img`, with all its bytes: WebP, at most `SIDE` wide.

    An image that is no larger keeps every pixel.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
    """
    picture = Image.fromarray(pixels)
    small = max(picture.size) <= SIDE
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    kept = BytesIO()
    picture.save(kept, "webp", **({"lossless": True} if small else {"quality": _QUALITY}))
    return "data:image/webp;base64," + base64.b64encode(kept.getvalue()).decode("ascii")
