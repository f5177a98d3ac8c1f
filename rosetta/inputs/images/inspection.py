"""What is known of a source of images before it is read: its files, how many images, errors."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from rosetta.config.base import Section
from rosetta.config.images import DigitImages, ImageFiles, ImageFolder, Images, ProceduralImages
from rosetta.inputs.images.folders import folder_files
from rosetta.inputs.images.records import file_images, parquet_files
from rosetta.inputs.images.sources import N_DIGITS


def local_files(source: Section) -> list[Path]:
    """Return the files of a source on this machine, so that editing them rebuilds what is made.

    Raises
    ------
    ImageSourceError
        If there is none where there should be.
    """
    if isinstance(source, ImageFolder):
        return folder_files(source).images
    return parquet_files(source) if isinstance(source, ImageFiles) else []


def check_source(source: Section) -> None:
    """Find what is wrong with a local source early: its files, and the columns of a first record.

    Raises
    ------
    ImageSourceError
        If there is no file, a class has none, or a column is missing.
    """
    local_files(source)
    if isinstance(source, ImageFiles):
        next(file_images(source), None)


def count_images(images: Images) -> int | None:
    """Return the number of images of a source; None if it is not known.

    Of those, duplicates and files that cannot be read are dropped, so this is rather too many.

    Raises
    ------
    ImageSourceError
        If the source is a folder or file that is not there.
    """
    match images.source:
        case ProceduralImages(n_images=n):
            pass
        case DigitImages():
            n = N_DIGITS
        case ImageFolder() as source:
            n = len(folder_files(source).images)
        case ImageFiles() as source:
            n = sum(pq.read_metadata(path).num_rows for path in parquet_files(source))
        case _:
            return images.max_images
    return n if images.max_images is None else min(n, images.max_images)
