"""Texts from records: local JSONL and Parquet files, and Hugging Face datasets."""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from rosetta.config import FilesSource, HubSource
from rosetta.errors import CorpusError
from rosetta.inputs.listing import is_left_out, listed
from rosetta.inputs.text.documents import Text
from rosetta.inputs.text.streams import LONGEST_WINDOW, format_of, open_lines, reading
from rosetta.progress import say
from rosetta.storage.digests import hash64

FORMATS = ".jsonl, .ndjson, .json (records, one per line; also .zst, .gz) or .parquet"
MAX_RECORD_BYTES = (
    2**28
)  # a line may unfold from a few compressed bytes, so what one can take is bounded


class Keys(NamedTuple):
    """What messages name as the culprit: keys of the configuration, or options of a command."""

    path: str
    text: str
    domain: str


def keys_of(section: str) -> Keys:
    """Return the keys of a source in the configuration."""
    return Keys(f"{section}.path", f"{section}.text", f"{section}.domain")


CORPUS_KEYS = keys_of("corpus.source")
_UNLABELLED = ", or leave it out for texts without labels"


def file_texts(source: FilesSource, keys: Keys = CORPUS_KEYS) -> Iterator[Text]:
    """Yield the texts of a file, or of a folder's readable files in order of name."""
    for path in source_files(source.path, keys.path):
        yield from record_texts(
            _records(path, source.zstd_long), str(path), source.text, source.domain, keys
        )


def hub_texts(source: HubSource, keys: Keys = CORPUS_KEYS) -> Iterator[Text]:
    """Yield the texts of a Hugging Face dataset, streamed.

    Raises
    ------
    CorpusError
        If the dataset cannot be opened, or lacks the text or domain column.
    """
    place = f"{source.id}@{source.revision or 'main'}:{source.split}"
    try:
        dataset, quoted = _opened(source)
        for text in record_texts(dataset, place, source.text, source.domain, keys):
            yield text._replace(domain=_unquoted(text.domain)) if quoted else text
    except CorpusError:
        raise
    except Exception as error:  # `datasets` raises many kinds, the network's among them
        reason = " ".join(str(error).split())[:300]
        raise CorpusError(
            f"{keys.path.removesuffix('path')}id: cannot read the dataset {place} "
            f"({type(error).__name__}: {reason}). "
            "Check id, revision, split and the network, or give a local folder."
        ) from None


def _opened(source: HubSource) -> tuple[Any, bool]:
    """Return a dataset as a stream of records, and whether its labels are `_quoted`."""
    from datasets import Features, load_dataset

    place = {
        "name": source.name,
        "revision": source.revision,
        "split": source.split,
        "streaming": True,
    }
    dataset = load_dataset(source.id, **place)
    if source.domain is None or dataset.info.builder_name != "json" or dataset.features is None:
        return dataset, False
    features = _quoted(dict(dataset.features), source.domain)
    return load_dataset(source.id, **place, features=Features(features)), features != dict(
        dataset.features
    )


def _quoted(features: dict[str, Any], column: str) -> dict[str, Any]:
    """Return features of JSON files with which `datasets` leaves the strings of a column in quotes.

    Otherwise, wherever it meets nothing but dates in a stretch of a file, it takes them for dates,
    and what had been written is lost. (It leaves the quotes off where a string is JSON itself, as
    `007` is.)
    """
    from datasets import Json

    for name, rest in _names(features, column):
        held = features[name]
        if rest and isinstance(held, dict):
            return {**features, name: _quoted(held, rest)}
        if not rest and re.match(
            r"(large_)?string|timestamp|date|time", getattr(held, "dtype", None) or ""
        ):
            return {**features, name: Json(decode=False)}
    return features


def _unquoted(label: str) -> str:
    if not label.startswith('"'):
        return label
    try:
        return str(json.loads(label))
    except ValueError:
        return label


class SourceFiles(NamedTuple):
    """A folder's files: those read and those left out; hidden files are in neither."""

    read: list[Path]
    left_out: list[Path]


def source_files(path: str, key: str = CORPUS_KEYS.path) -> list[Path]:
    """Return the files that a `files` source reads.

    Raises
    ------
    CorpusError
        If the path does not exist, or holds no file of a known format, or none with records.
    """
    found = _found(path, key)
    if found.read:
        return found.read
    called = next((file for file in found.left_out if format_of(file) and file.is_file()), None)
    if called is not None:
        raise CorpusError(f"{key}: {path} holds no file with records. {_no_records(called)}")
    raise CorpusError(f"{key}: {path} holds no file of {FORMATS}. Convert the text to one of them.")


def left_out(path: str, key: str = CORPUS_KEYS.path) -> list[str]:
    """Return the names of the files in a folder that are not read, and warn of them.

    Raises
    ------
    CorpusError
        If the path does not exist.
    """
    names = [str(file.relative_to(path)) for file in _found(path, key).left_out]
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        say(
            f"warning: {key}: not read in {path}: {', '.join(names[:5])}{more}. Read is what is "
            f"{FORMATS}."
        )
    return names


def _found(path: str, key: str) -> SourceFiles:
    root = Path(path)
    if not root.exists():
        raise CorpusError(f"{key}: {path} does not exist. Give a file or folder of {FORMATS}.")
    if root.is_file():
        return SourceFiles([root] if format_of(root) else [], [])
    shown = listed(root, key)
    usable = [p for p in shown if format_of(p) and p.is_file() and _holds_records(p)]
    read = set(usable)
    return SourceFiles(usable, [p for p in shown if p not in read and is_left_out(p)])


def _holds_records(path: Path) -> bool:
    """Return whether a file may be read: one that is just called JSON need not have one record per
    line.
    """
    if ".json" not in (suffix.lower() for suffix in path.suffixes[-2:]):
        return True
    with reading(path), pa.OSFile(str(path)) as file:
        begins = (
            open_lines(path, file, LONGEST_WINDOW).read(64).removeprefix(codecs.BOM_UTF8).lstrip()
        )
        if not begins.startswith(b"{"):  # a large array need not be read to see that it is one
            return False
    with reading(path), pa.OSFile(str(path)) as file:
        try:
            return isinstance(next(json_records(path, file, LONGEST_WINDOW), None), dict)
        except CorpusError:  # its first line is not JSON
            return False


def _no_records(path: Path) -> str:
    """Return why a file of JSON is not read, as far as its first line tells."""
    with reading(path), pa.OSFile(str(path)) as file:
        try:
            first = next(json_records(path, file, LONGEST_WINDOW), None)
        except CorpusError as error:
            return str(error)
    told = "is empty" if first is None else f"begins with {type(first).__name__}, no record"
    return f"{path}: {told}. Each line must be one record."


def check_files(source: FilesSource, min_bytes: int, keys: Keys = CORPUS_KEYS) -> None:
    """Read a `files` source to its first usable document, to find a wrong column early.

    Raises
    ------
    CorpusError
        If there is no record at all or the columns are not there.
    """
    if not any(
        len(text.text.strip().encode("utf-8", "replace")) >= min_bytes
        for text in file_texts(source, keys)
    ):
        lower = ", or lower corpus.min_document_bytes" if min_bytes > 1 else ""
        raise CorpusError(
            f"{keys.path}: {source.path} holds no document of at least {min_bytes} bytes. Give "
            f"files with text{lower}."
        )


def record_texts(
    records: Iterable[Any], place: str, text: str, domain: str | None, keys: Keys = CORPUS_KEYS
) -> Iterator[Text]:
    """Yield the texts of records; a null text is empty, and counted as dropped.

    Raises
    ------
    CorpusError
        If a record lacks the text or domain column, or holds something else than text, or than a
        label; `place` is named.
    """
    for number, record in enumerate(records):
        content = _field(record, text, keys.text, place, number)
        content = "" if content is None else content
        if not isinstance(content, str):
            raise CorpusError(
                f"{keys.text}: column {text!r} of {place} holds {type(content).__name__} in record "
                f"{number}, not text. Name a text column."
            )
        label = (
            None
            if domain is None
            else _field(record, domain, keys.domain, place, number, _UNLABELLED)
        )
        if not isinstance(label, str | int | float | None):
            raise CorpusError(
                f"{keys.domain}: column {domain!r} of {place} holds {type(label).__name__} in "
                "record "
                f"{number}, not a label. Name a column of labels."
            )
        # The text names its own source: a renamed file or an inserted record moves no document to
        # another split.
        source = f"{hash64(content):016x}" if content else ""
        yield Text(content, "" if label is None else str(label), source)


def _field(record: Any, column: str, key: str, place: str, number: int, more: str = "") -> Any:
    found, value = _lookup(record, column)
    if not found:
        has = ", ".join(_columns(record)) if isinstance(record, dict) else type(record).__name__
        raise CorpusError(
            f"{key}: no column {column!r} in record {number} of {place}; it has: {has}. Name "
            f"one of these{more}."
        )
    return value


def _lookup(record: Any, column: str) -> tuple[bool, Any]:
    """Return whether a record has a column, and its value; a name with dots in it goes before a
    record in a record.
    """
    for name, rest in _names(record, column):
        found, value = _lookup(record[name], rest) if rest else (True, record[name])
        if found:
            return True, value
    return False, None


def _names(record: Any, column: str) -> Iterator[tuple[str, str]]:
    """Yield the keys of a record that a column's name begins with, longest first, each with the
    rest of the name.
    """
    parts = column.split(".") if isinstance(record, dict) else []
    for n in range(len(parts), 0, -1):
        name = ".".join(parts[:n])
        if name in record:
            yield name, ".".join(parts[n:])


def _columns(record: dict[Any, Any]) -> Iterator[str]:
    """Yield the columns of a record, those of a record in it with a dot, as a configuration names
    them.
    """
    for name, value in record.items():
        yield from (
            (f"{name}.{inner}" for inner in value)
            if isinstance(value, dict) and value
            else (str(name),)
        )


def _records(path: Path, zstd_long: int) -> Iterator[Any]:
    with reading(path):
        if format_of(path) == "parquet":
            yield from _parquet_records(path)
        else:
            with pa.OSFile(str(path)) as file:
                yield from json_records(path, file, zstd_long)


def _parquet_records(path: Path) -> Iterator[Any]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024):
            yield from batch.to_pylist()


def json_records(path: Path, file: pa.NativeFile, zstd_long: int) -> Iterator[Any]:
    """Yield the records of an open file of JSON lines, compressed or not.

    Raises
    ------
    CorpusError
        If a line is not JSON in UTF-8, or longer than `MAX_RECORD_BYTES`; or if the file is an
        array.
    """
    lines, begun = open_lines(path, file, zstd_long), False
    for number in itertools.count(1):
        line = lines.readline(MAX_RECORD_BYTES + 1)
        if not line:
            return
        if len(line) > MAX_RECORD_BYTES:
            raise CorpusError(
                f"{path}:{number}: the line is longer than {MAX_RECORD_BYTES:,} bytes. "
                "Cut its text into several records."
            )
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if line.strip():
            if not begun and line.lstrip().startswith(b"["):
                raise CorpusError(
                    f"{path}: is one array, and each line must be one record. Write its records "
                    "line by line, for example with `jq -c '.[]'`, into a file called .jsonl."
                )
            begun = True
            try:
                yield json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                raise CorpusError(
                    f"{path}:{number}: not UTF-8 ({error}). Convert the file to UTF-8."
                ) from None
            except (ValueError, RecursionError) as error:
                raise CorpusError(
                    f"{path}:{number}: not JSON ({error}). Each line must be one record."
                ) from None
