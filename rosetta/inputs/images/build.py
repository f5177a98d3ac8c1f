"""Building the image sets of a run: read, decode and split a source."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, assert_never

import numpy as np
import pandas as pd

from rosetta.config.images import (
    IMAGE_SPLITS,
    DigitImages,
    ImageFiles,
    ImageFolder,
    ImageHub,
    Images,
    ImageSplits,
    ProceduralImages,
)
from rosetta.errors import ImageSourceError
from rosetta.inputs.images.folders import folder_files, folder_images
from rosetta.inputs.images.gathering import ACCEPTED, Gathering
from rosetta.inputs.images.image_sets import write_image_set
from rosetta.inputs.images.records import file_images, hub_images
from rosetta.inputs.images.scenes import CLASSES
from rosetta.inputs.images.sources import SOURCE_KEY, RawImage, digit_images, procedural_images
from rosetta.progress import bar, say
from rosetta.run.paths import Paths
from rosetta.storage.atomic import scratch_folder
from rosetta.storage.digests import hash64

_BATCH_BYTES = 2**24  # of pixels that are copied together


def source_images(images: Images) -> Iterator[RawImage]:
    """Yield the images of the configured source."""
    match images.source:
        case ProceduralImages() as source:
            return procedural_images(source, images.seed, images.size)
        case DigitImages():
            return digit_images(images.size)
        case ImageFolder() as source:
            return folder_images(source, images.seed)
        case ImageFiles() as source:
            return file_images(source)
        case ImageHub() as source:
            return hub_images(source)
        case other:
            assert_never(other)


def build_images(images: Images, paths: Paths, made_by: dict[str, Any]) -> None:
    """Write the image set of every split, ordered by id.

    Ids are hashes of the pixels, so the order is a random permutation that depends on nothing else,
    and the first n images of a split are a random sample of it.

    Parameters
    ----------
    images : Images
        The section of the configuration.
    paths : Paths
        The run's; `image_set` of every split is written.
    made_by : dict
        What the images depend on, for the manifests.

    Raises
    ------
    ImageSourceError
        If the source has no usable image, a class has none, or none lands in the match split.
    """
    facts: dict[str, Any] = {
        "source": images.source.model_dump(mode="json"),
        "seed": images.seed,
    }
    if isinstance(images.source, ImageFolder):
        facts["left_out"] = _left_out(images.source)
    with scratch_folder(paths.image_set("match").with_name(".building")) as folder:
        gathering = Gathering(folder / "pixels", images.size, images.max_pixels)
        raw = bar(source_images(images), total=images.max_images, label="images", unit="image")
        gathering.gather(raw, images.max_images)
        say(f"images: {gathering.counts}; converted: {gathering.converted}")
        _check_classes(gathering)
        facts |= {
            "counts": gathering.counts,
            "converted": gathering.converted,
            "of_several_classes": len(gathering.of_several_classes),
        }
        _write_splits(images, paths, gathering, made_by=made_by, facts=facts)


def class_order(names: Collection[str], images: Images) -> tuple[str, ...]:
    """Return the classes in the order of their labels.

    Drawn images have their own order; other classes are ordered by number if all are integers, and
    by name otherwise.
    """
    if isinstance(images.source, ProceduralImages):
        return CLASSES
    if all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def split_of(group: str, fractions: ImageSplits, seed: int) -> str:
    """Return the split of a group of images: its hash against cumulated fractions.

    The answer depends on nothing else, so adding images moves none of the others; in return a split
    holds its fraction of the groups only roughly.

    Parameters
    ----------
    group : str
        What goes into one split as a whole; of most sources, an image's id.
    fractions : ImageSplits
        Of the groups.
    seed : int
        Of the hashes.
    """
    position = hash64("split", seed, group) / 2**64
    if position < fractions.train:
        return "train"
    return "match" if position < fractions.train + fractions.match else "heldout"


def _write_splits(
    images: Images,
    paths: Paths,
    gathering: Gathering,
    *,
    made_by: dict[str, Any],
    facts: dict[str, Any],
) -> None:
    classes = class_order(gathering.classes, images)
    table, pixels = _table(gathering, classes), gathering.pixels()
    splits = np.array([split_of(group, images.splits, images.seed) for group in table["group"]])
    if not (splits == "match").any():
        raise ImageSourceError(
            "images.splits.match: no image landed in this split. Raise it or give more images."
        )
    for split in IMAGE_SPLITS:
        rows = table[splits == split]
        counted = rows["domain"].value_counts()
        n_per_class = {name: int(counted.get(name, 0)) for name in classes}
        _tell(split, n_per_class)
        write_image_set(
            paths.image_set(split),
            rows,
            _batches(pixels, rows["position"].to_numpy()),
            made_by=made_by,
            facts=facts
            | {"split": split, "classes": list(classes), "images_per_class": n_per_class},
        )


def _table(gathering: Gathering, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return the kept images in the order of their ids, with the groups that decide their split.

    `position` is where the pixels of an image lie in the file of the gathering.
    """
    label = {name: number for number, name in enumerate(classes)}
    rows = [
        {
            "id": image_id,
            "label": label[kept.class_name],
            "domain": kept.class_name,
            "caption": kept.caption,
            "source": kept.source,
            "index": kept.index,
            "group": kept.group or f"{image_id:016x}",
            "position": position,
        }
        for position, (image_id, kept) in enumerate(gathering.kept.items())
    ]
    table = pd.DataFrame(rows).astype({"id": np.uint64})
    return table.sort_values("id", ignore_index=True)


def _batches(pixels: np.ndarray, positions: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the images at some positions in batches; one batch without images if there is none."""
    n = max(1, _BATCH_BYTES // pixels[:1].nbytes)
    for low in range(0, max(1, len(positions)), n):
        yield np.asarray(pixels[positions[low : low + n]])


def _check_classes(gathering: Gathering) -> None:
    rejected = {reason: n for reason, n in gathering.counts.items() if n and reason != ACCEPTED}
    if not gathering.kept:
        raise ImageSourceError(
            f"{SOURCE_KEY}: holds no usable image (rejected: {rejected or 'none'}). Give another "
            "source; docs/images.md says what is rejected."
        )
    lacking = sorted(gathering.classes - {kept.class_name for kept in gathering.kept.values()})
    if lacking:
        raise ImageSourceError(
            f"{SOURCE_KEY}: no image of the class {lacking[0]!r} was accepted (rejected: "
            f"{rejected}). Give it images that can be read, or remove the class."
        )


def _tell(split: str, n_per_class: dict[str, int]) -> None:
    say(f"{split}: {sum(n_per_class.values())} images of {len(n_per_class)} classes")
    lacking = [name for name, n in n_per_class.items() if not n]
    if lacking and len(lacking) < len(n_per_class):
        say(
            f"warning: images.splits.{split}: has no image of {len(lacking)} classes, such as "
            f"{lacking[0]!r}. Raise it or give more images."
        )


def _left_out(source: ImageFolder) -> list[str]:
    """Return the names of the files of a folder that are not read, and warn of them."""
    names = [str(path.relative_to(source.path)) for path in folder_files(source).left_out]
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        say(
            f"warning: {SOURCE_KEY}.path: not read in {source.path}: {', '.join(names[:5])}{more}. "
            "Read are files with the suffix of an image; links to folders are not followed."
        )
    return names
