"""Decoding image files into 8-bit RGB squares: each is converted by a rule, or rejected by one.

docs/images.md has the rules as a table.
"""

from __future__ import annotations

import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

# What is tried on a file, whatever its name; of other formats some start programs, or are rare.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = (
    *(".bmp", ".gif", ".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".pbm"),
    *(".tif", ".tiff", ".webp"),
)
MAX_FILE_BYTES = 2**28  # of an encoded image
PAPER = (255, 255, 255)  # what shows through transparent pixels
FAR_FROM_SQUARE = 2  # the ratio of sides above which it is counted
REASONS = {
    "empty": "the file has no byte",
    "too_large": f"the file has more than {MAX_FILE_BYTES:,} bytes",
    "unidentified": f"no image of a format that is read ({', '.join(FORMATS)})",
    "too_many_pixels": "more pixels than images.max_pixels: a decompression bomb",
    "damaged": "truncated or damaged",
    "other_mode": "values without a known range (32 bits, floats), or another colour space",
}
CONVERSIONS = {
    "frames": "several frames: the first is taken",
    "rotated": "turned as its EXIF orientation says",
    "sixteen_bit": "the upper 8 of 16 bits",
    "grey": "grey: three equal channels",
    "palette": "colours of a palette",
    "cmyk": "CMYK, by Pillow's formula, without colour profile",
    "alpha": "transparent: laid on white",
    "far_from_square": f"one side is more than {FAR_FROM_SQUARE} times the other: squeezed",
}
_ORIENTATION = 0x0112  # EXIF's tag; 1 is upright


class RejectedImage(Exception):
    """An image that has no 8-bit RGB form by the rules; the argument is one of `REASONS`."""


class Decoded(NamedTuple):
    """A decoded image.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (size, size, 3)
    conversions : tuple of str
        Which rules were applied (`CONVERSIONS`).
    """

    pixels: np.ndarray
    conversions: tuple[str, ...]


def decode(data: bytes, size: int, max_pixels: int) -> Decoded:
    """Decode an image file and resize it, whole, to a square.

    Parameters
    ----------
    data : bytes
        Content of the file.
    size : int
        Side of the square in pixels.
    max_pixels : int
        An image with more is rejected before it is decoded.

    Raises
    ------
    RejectedImage
        If a rule rejects it.
    """
    if not data:
        raise RejectedImage("empty")
    if len(data) > MAX_FILE_BYTES:
        raise RejectedImage("too_large")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, and of bombs, which are rejected below
        image = _opened(data)
        if image.width * image.height > max_pixels:
            raise RejectedImage("too_many_pixels")
        try:
            rgb, conversions = _to_rgb(image)
        except RejectedImage:
            raise
        except Exception:  # decoders meet a damaged file with errors of any kind
            raise RejectedImage("damaged") from None
    if max(rgb.size) > FAR_FROM_SQUARE * min(rgb.size):
        conversions.append("far_from_square")
    return Decoded(to_square(rgb, size), tuple(conversions))


def to_square(image: Image.Image, size: int) -> np.ndarray:
    """Return an RGB image resized to a square, bicubic with antialias; nothing is cropped.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3)
    """
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def _opened(data: bytes) -> ImageFile.ImageFile:
    """Return an image of which only the header is read."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise RejectedImage("unidentified") from None
    except Image.DecompressionBombError:
        raise RejectedImage("too_many_pixels") from None
    except Exception:  # as in `decode`
        raise RejectedImage("damaged") from None


def _to_rgb(file: ImageFile.ImageFile) -> tuple[Image.Image, list[str]]:
    """Return the first frame as RGB, upright and opaque, and which rules that took."""
    applied = []
    if getattr(file, "is_animated", False):
        applied.append("frames")
        file.seek(0)
    wide = any(";16" in str(tile.args) for tile in file.tile)  # gone when the file is loaded
    file.load()
    image: Image.Image = file
    if _is_turned(image):
        applied.append("rotated")
        image = ImageOps.exif_transpose(image)
    if wide:
        applied.append("sixteen_bit")
    if image.mode.startswith("I;16"):
        image = _upper_bits(image)
    if image.mode not in _MODES:
        raise RejectedImage("other_mode")
    if rule := _MODES[image.mode]:
        applied.append(rule)
    if image.has_transparency_data:
        applied.append("alpha")
        paper = Image.new("RGBA", image.size, (*PAPER, 255))
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return image.convert("RGB"), applied


def _is_turned(image: Image.Image) -> bool:
    try:
        return image.getexif().get(_ORIENTATION, 1) in range(2, 9)
    except Exception:  # damaged metadata says nothing about the pixels
        return False


def _upper_bits(image: Image.Image) -> Image.Image:
    """Return 16-bit grey in 8 bits, as Pillow reads 16-bit colour, and transparent where it was."""
    values = np.asarray(image)
    grey = Image.fromarray((values >> 8).astype(np.uint8))
    if (key := image.info.get("transparency")) is not None:
        grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return grey


# Which rule is counted, if any, by Pillow's name of how pixels are held.
_MODES: dict[str, str | None] = {
    **dict.fromkeys(("RGB", "RGBA", "YCbCr"), None),
    **dict.fromkeys(("1", "L", "LA"), "grey"),
    **dict.fromkeys(("P", "PA"), "palette"),
    "CMYK": "cmyk",
}
