"""Pictures inside a page: as WebP, which keeps every pixel of a figure in half the bytes of PNG."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import Image

from rosetta.inputs.images.thumbnails import webp_address
from rosetta.storage.digests import read_bytes

QUALITY = 75  # of photographs, whose every pixel nobody needs


def embedded(path: Path, *, photograph: bool = False) -> str:
    """Return a picture as the address of an `img`, with all its bytes.

    Parameters
    ----------
    path : Path
        A picture that Pillow reads, with its digest beside it.
    photograph : bool
        Whether it holds photographs; a figure keeps every pixel.

    Raises
    ------
    StoreError
        If the file is damaged.
    """
    with Image.open(BytesIO(read_bytes(path))) as picture:
        return webp_address(picture, QUALITY if photograph else None)
