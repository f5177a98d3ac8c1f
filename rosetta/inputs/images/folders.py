"""Images from a folder whose sub-folders are the classes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rosetta.config.images import ImageFolder
from rosetta.errors import ImageSourceError
from rosetta.inputs.images.decoding import MAX_FILE_BYTES, SUFFIXES
from rosetta.inputs.images.sources import SOURCE_KEY, RawImage
from rosetta.inputs.listing import is_left_out, listed
from rosetta.storage.digests import hash64

FORMS = "Give a folder with one sub-folder of image files per class"


class FolderFiles(NamedTuple):
    """The files of a folder of images; hidden ones are in neither list.

    Attributes
    ----------
    images : list of Path
        Files with a suffix of an image.
    left_out : list of Path
        All others, links to folders among them.
    """

    images: list[Path]
    left_out: list[Path]


def folder_files(source: ImageFolder) -> FolderFiles:
    """Return the files of a folder of images in order of name.

    Raises
    ------
    ImageSourceError
        If the folder is not there or has no image, an image lies in no sub-folder, or a sub-folder
        has none.
    """
    root, key = Path(source.path), f"{SOURCE_KEY}.path"
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise ImageSourceError(f"{key}: {root} {what}. {FORMS}.")
    shown = listed(root, key)
    images = [path for path in shown if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not images:
        raise ImageSourceError(
            f"{key}: {root} holds no image file ({', '.join(SUFFIXES)}). {FORMS}."
        )
    for path in images:
        if path.parent == root:
            raise ImageSourceError(
                f"{key}: {path} lies in no sub-folder, so it has no class. Move it into the "
                "sub-folder of its class."
            )
    filled = {class_of(path, root) for path in images}
    for path in shown:
        if path.is_dir() and path.parent == root and path.name not in filled:
            linked = "is a link, which is not followed. Put the folder itself here"
            empty = f"has no image file ({', '.join(SUFFIXES)}). Add images"
            raise ImageSourceError(
                f"{key}: the class {path} {linked if path.is_symlink() else empty}, or remove it."
            )
    read = set(images)
    return FolderFiles(images, [path for path in shown if path not in read and is_left_out(path)])


def folder_images(source: ImageFolder, seed: int) -> Iterator[RawImage]:
    """Yield the images of a folder, in an order drawn with the seed, so that classes mix."""
    root = Path(source.path)
    numbered = list(enumerate(folder_files(source).images))
    names = {path: path.relative_to(root).as_posix() for _, path in numbered}
    for index, path in sorted(numbered, key=lambda pair: hash64("order", seed, names[pair[1]])):
        name = class_of(path, root)
        yield RawImage(_content(path), name, caption_of(name), names[path], index)


def class_of(path: Path, root: Path) -> str:
    """Return the class of a file: the sub-folder of `root` that it lies in, however deep."""
    return path.relative_to(root).parts[0]


def caption_of(class_name: str) -> str:
    """Return the caption of an image without one: the name of its class."""
    return class_name.replace("_", " ")


def _content(path: Path) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1)  # one more is enough to see that it is too large
    except OSError as error:
        raise ImageSourceError(
            f"{path}: cannot be read ({error.strerror}). Check its rights and the disk."
        ) from None
