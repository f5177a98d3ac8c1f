"""Images from records: Parquet files, and Hugging Face datasets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rosetta.config.images import ImageFiles, ImageHub
from rosetta.errors import ImageSourceError, brief
from rosetta.inputs.images.decoding import MAX_FILE_BYTES
from rosetta.inputs.images.folders import caption_of
from rosetta.inputs.images.sources import SOURCE_KEY, RawImage
from rosetta.inputs.listing import listed

Record = dict[str, Any]
_PROTOCOLS = ("hf", "zip", "tar", "gzip")  # nothing is fetched from an address in a record
_ROWS_AT_ONCE = 64  # of a Parquet file; each may hold megabytes


def parquet_files(source: ImageFiles) -> list[Path]:
    """Return the Parquet files of a source in order of name.

    Raises
    ------
    ImageSourceError
        If there is none.
    """
    root, key = Path(source.path), f"{SOURCE_KEY}.path"
    if not root.exists():
        raise ImageSourceError(f"{key}: {root} does not exist. Give a .parquet file or a folder.")
    files = listed(root, key) if root.is_dir() else [root]
    found = [path for path in files if path.is_file() and path.suffix.lower() == ".parquet"]
    if not found:
        raise ImageSourceError(
            f"{key}: {root} holds no .parquet file. Convert the images to Parquet, or use "
            "`kind: folder` for image files."
        )
    return found


def file_images(source: ImageFiles) -> Iterator[RawImage]:
    """Yield the images of Parquet files, file by file."""
    index = 0
    for path in parquet_files(source):
        for raw in record_images(_parquet_records(path, source), str(path), source):
            yield replace(raw, index=index, source=f"{path.name}#{raw.index}")
            index += 1


def hub_images(source: ImageHub) -> Iterator[RawImage]:
    """Yield the images of a Hugging Face dataset, streamed.

    Raises
    ------
    ImageSourceError
        If the dataset cannot be opened or read, or lacks a column.
    """
    place = f"{source.id}@{source.revision or 'main'}:{source.split}"
    try:
        dataset, names = _opened(source)
        yield from record_images(dataset, place, source, names)
    except ImageSourceError:
        raise
    except Exception as error:  # `datasets` raises many kinds, the network's among them
        raise ImageSourceError(
            f"{SOURCE_KEY}.id: cannot read the dataset {place} ({brief(error)}). "
            "Check id, revision, split and the network, or give a local folder."
        ) from None


def record_images(
    records: Iterable[Record],
    place: str,
    columns: ImageFiles | ImageHub,
    names: Sequence[str] | None = None,
) -> Iterator[RawImage]:
    """Yield the images of records.

    Parameters
    ----------
    records : iterable of dict
        By column.
    place : str
        What messages name as the culprit.
    columns : ImageFiles or ImageHub
        Names the columns.
    names : sequence of str, optional
        Names of the classes, where labels are their numbers.

    Raises
    ------
    ImageSourceError
        If a record lacks a column, or holds no class or no image.
    """
    for number, record in enumerate(records):
        _check_columns(record, columns, place)
        where = f"record {number} of {place}"
        content = _content(record[columns.image], f"column {columns.image!r} in {where}")
        name = _class_name(record[columns.label], names, f"column {columns.label!r} in {where}")
        told = record[columns.caption] if columns.caption else None
        if not isinstance(told, str | None):
            raise ImageSourceError(
                f"{SOURCE_KEY}.caption: column {columns.caption!r} in {where} holds "
                f"{type(told).__name__}, not text. Name a column of text."
            )
        caption = caption_of(name) if told is None else told
        yield RawImage(content, name, caption, f"{place}#{number}", number)


def _check_columns(record: Record, columns: ImageFiles | ImageHub, place: str) -> None:
    for key in ("image", "label", "caption"):
        column = getattr(columns, key)
        if column is not None and column not in record:
            raise ImageSourceError(
                f"{SOURCE_KEY}.{key}: no column {column!r} in {place}; it has: "
                f"{', '.join(map(str, record))}. Name one of these."
            )


def _content(value: Any, where: str) -> bytes:
    """Return the content of an image file that a record holds, or names as `datasets` does."""
    if isinstance(value, dict):
        inner, path = value.get("bytes"), value.get("path") or None
        value = path if inner is None else inner
        if inner is None and isinstance(path, str):
            value = _read(path, where)
    if value is None:
        return b""  # rejected as empty, and counted
    if not isinstance(value, bytes):
        raise ImageSourceError(
            f"{SOURCE_KEY}.image: {where} holds {type(value).__name__}, not the bytes of an image "
            "file. Name a column of images."
        )
    return value


def _read(path: str, where: str) -> bytes:
    """Return the content of a file that a record names: on this machine, in the hub, or in an
    archive there, as in `zip://a.png::images.zip`.
    """
    import fsspec

    parts = [part.partition("://") for part in path.split("::")]
    if not all(protocol in _PROTOCOLS for protocol, separator, _ in parts if separator):
        raise ImageSourceError(
            f"{SOURCE_KEY}.image: {where} names {path}, which is neither on this machine nor in "
            "the hub. Download the images first."
        )
    here, remote, _ = parts[-1]
    try:
        if not remote and not Path(here).is_file():
            raise OSError(f"{here} is not a file")  # a pipe would be read for ever
        with fsspec.open(path, "rb") as stream:
            data: bytes = stream.read(MAX_FILE_BYTES + 1)
    except Exception as error:  # each kind of archive has errors of its own
        raise ImageSourceError(
            f"{SOURCE_KEY}.image: {where} names {path}, which cannot be read ({brief(error)}). "
            "Give the file, or its bytes."
        ) from None
    return data


def _class_name(value: Any, names: Sequence[str] | None, where: str) -> str:
    known = isinstance(value, str | int) and not isinstance(value, bool)
    if known and isinstance(value, int):  # `datasets` writes -1 where there is no label
        known = value != -1 if names is None else 0 <= value < len(names)
    if not known or value == "":
        raise ImageSourceError(
            f"{SOURCE_KEY}.label: {where} is {value!r}, not a class. Give every image a class: an "
            "integer or text."
        )
    return names[value] if names is not None and isinstance(value, int) else str(value)


def _parquet_records(path: Path, columns: ImageFiles) -> Iterator[Record]:
    try:
        with pq.ParquetFile(path) as file:
            there = file.schema_arrow.names
            _check_columns(dict.fromkeys(there), columns, str(path))
            read = {columns.image, columns.label, columns.caption}
            wanted = [name for name in there if name in read]
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=wanted):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise ImageSourceError(
            f"{path}: cannot be read ({brief(error)}). Check that it is a Parquet file."
        ) from None


def _opened(source: ImageHub) -> tuple[Iterable[Record], list[str] | None]:
    """Return a dataset as a stream of records with encoded images, and the names of its classes."""
    from datasets import ClassLabel, Image, load_dataset

    dataset = load_dataset(
        source.id,
        name=source.name,
        revision=source.revision,
        split=source.split,
        streaming=True,
    )
    features = dataset.features or {}
    if isinstance(features.get(source.image), Image):
        dataset = dataset.cast_column(source.image, Image(decode=False))
    label = features.get(source.label)
    return dataset, list(label.names) if isinstance(label, ClassLabel) else None
