"""Small pictures inside pages."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
from PIL import Image

SIDE = 96  # pixels, at most
_QUALITY = 80


def thumbnail(pixels: np.ndarray) -> str:
    """Return an image as the address of an `img`, with all its bytes: that of `thumbnail_file`.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
    """
    return webp_address_of(thumbnail_file(pixels))


def thumbnail_file(pixels: np.ndarray) -> bytes:
    """Return an image as a WebP file, at most `SIDE` wide.

    An image that is no larger keeps every pixel.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width, 3)
    """
    picture = Image.fromarray(pixels)
    small = max(picture.size) <= SIDE
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    return _webp_file(picture, None if small else _QUALITY)


def webp_address(picture: Image.Image, quality: int | None = None) -> str:
    """Return a picture as the address of an `img`, with all its bytes: WebP of a quality of 0 to
    100, or with every pixel kept.
    """
    return webp_address_of(_webp_file(picture, quality))


def webp_address_of(file: bytes) -> str:
    """Return the address of an `img` that holds a WebP file."""
    return "data:image/webp;base64," + base64.b64encode(file).decode("ascii")


def _webp_file(picture: Image.Image, quality: int | None) -> bytes:
    kept = BytesIO()
    how = {"lossless": True} if quality is None else {"quality": quality}
    picture.convert("RGB").save(kept, "webp", **how)
    return kept.getvalue()
