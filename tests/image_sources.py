"""Images for tests: noise, encoded files, and sets built from a section of the configuration."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from rosetta.config.arguments import checked
from rosetta.config.images import IMAGE_SPLITS, Images
from rosetta.inputs.images.build import build_images
from rosetta.inputs.images.image_sets import ImageSet
from rosetta.run.paths import Paths

SIDE = 8
ALL_TO_MATCH = {"train": 0.0, "match": 1.0, "heldout": 0.0}


def images_of(source: dict, **values) -> Images:
    """Return the section of a source, whose images all go into the split `match`."""
    return checked(Images, {"source": source, "size": SIDE, "splits": ALL_TO_MATCH, **values})


def build(folder: Path, images: Images) -> dict[str, ImageSet]:
    """Build image sets below a folder, and return them by split."""
    paths = Paths(folder)
    build_images(images, paths, {"stage": "images"})
    assert not (folder / "images" / ".building").exists()
    return {split: ImageSet(paths.image_set(split)) for split in IMAGE_SPLITS}


def noise(number: int, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)


def encoded(image: Image.Image | np.ndarray, form: str = "PNG", **options) -> bytes:
    """Return the content of an image file."""
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(
        stream, form, **options
    )
    return stream.getvalue()


def write_folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root
