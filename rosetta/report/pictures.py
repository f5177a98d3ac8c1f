"""Pictures inside a page: as WebP, which keeps every pixel of a figure in half the bytes of PNG."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

from PIL import Image

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
        kept = BytesIO()
        how = {"quality": QUALITY} if photograph else {"lossless": True}
        picture.convert("RGB").save(kept, "webp", **how)
    return "data:image/webp;base64," + base64.b64encode(kept.getvalue()).decode("ascii")
