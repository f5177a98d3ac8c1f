"""Texts from records: local jsonl (compressed or not) and parquet files, and Hugging Face datasets."""

from __future__ import annotations

import codecs
import io
import itertools
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from rosetta.config import FilesSource, HubSource
from rosetta.corpus.documents import Text, hash64
from rosetta.errors import CorpusError

SUFFIXES = (".jsonl", ".jsonl.zst", ".jsonl.gz", ".parquet")
COMPRESSIONS = {".zst": "zstd", ".gz": "gzip"}
MAX_RECORD_BYTES = 2**28  # a line may unfold from a few compressed bytes, so what one can take is bounded


class Keys(NamedTuple):
    """What messages name as the culprit: keys of the configuration, or options of a command."""

    path: str
    text: str
    domain: str


def keys_of(section: str) -> Keys:
    """Return the keys of a source in the configuration."""
    return Keys(f"{section}.path", f"{section}.text", f"{section}.domain")


CORPUS_KEYS = keys_of("corpus.source")


def file_texts(source: FilesSource, keys: Keys = CORPUS_KEYS) -> Iterator[Text]:
    """Yield the texts of a local file or of all readable files in a folder, in the order of their names."""
    for path in source_files(source.path, keys.path):
        yield from record_texts(_records(path), str(path), source.text, source.domain, keys)


def hub_texts(source: HubSource, keys: Keys = CORPUS_KEYS) -> Iterator[Text]:
    """Yield the texts of a Hugging Face dataset, streamed.

    Raises
    ------
    CorpusError
        If the dataset cannot be opened, or lacks the text or domain column.
    """
    from datasets import load_dataset

    place = f"{source.id}@{source.revision or 'main'}:{source.split}"
    try:
        dataset = load_dataset(
            source.id, name=source.name, revision=source.revision, split=source.split, streaming=True
        )
        yield from record_texts(dataset, place, source.text, source.domain, keys)
    except CorpusError:
        raise
    except Exception as error:  # `datasets` raises many kinds, the network's among them
        reason = " ".join(str(error).split())[:300]
        raise CorpusError(
            f"{keys.path.removesuffix('path')}id: cannot read the dataset {place} ({type(error).__name__}: {reason}). "
            "Check id, revision, split and the network, or give a local folder."
        ) from None


def source_files(path: str, key: str = CORPUS_KEYS.path) -> list[Path]:
    """Return the files that a `files` source reads.

    Raises
    ------
    CorpusError
        If the path does not exist, or holds no file of a known format.
    """
    root = Path(path)
    if not root.exists():
        raise CorpusError(f"{key}: {path} does not exist. Give a file or folder of {_known()}.")
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    usable = [p for p in files if p.name.endswith(SUFFIXES)]
    if not usable:
        raise CorpusError(f"{key}: {path} holds no {_known()} file. Convert the text to one of them.")
    return usable


def check_files(source: FilesSource, min_bytes: int, keys: Keys = CORPUS_KEYS) -> None:
    """Read a `files` source up to its first usable document, so that a wrong column is found before any work.

    Raises
    ------
    CorpusError
        If there is no record at all or the columns are not there.
    """
    if not any(len(text.text.strip().encode("utf-8", "replace")) >= min_bytes for text in file_texts(source, keys)):
        lower = ", or lower corpus.min_document_bytes" if min_bytes > 1 else ""
        raise CorpusError(
            f"{keys.path}: {source.path} holds no document of at least {min_bytes} bytes. Give files with text{lower}."
        )


def _known() -> str:
    return ", ".join(SUFFIXES)


def record_texts(
    records: Iterable[Any], place: str, text: str, domain: str | None, keys: Keys = CORPUS_KEYS
) -> Iterator[Text]:
    """Yield the texts of records; a record whose text is null has an empty one, so that it is counted as dropped.

    Raises
    ------
    CorpusError
        If a record lacks the text or domain column, or holds something else than text, or than a label; `place` is
        named.
    """
    for number, record in enumerate(records):
        content = _field(record, text, keys.text, place, number)
        content = "" if content is None else content
        if not isinstance(content, str):
            raise CorpusError(
                f"{keys.text}: column {text!r} of {place} holds {type(content).__name__} in record "
                f"{number}, not text. Name a text column."
            )
        label = None if domain is None else _field(record, domain, keys.domain, place, number)
        if not isinstance(label, str | int | float | None):
            raise CorpusError(
                f"{keys.domain}: column {domain!r} of {place} holds {type(label).__name__} in record "
                f"{number}, not a label. Name a column of labels."
            )
        # The text names its own source: a renamed file or an inserted record moves no document to another split.
        source = f"{hash64(content):016x}" if content else ""
        yield Text(content, "" if label is None else str(label), source)


def _field(record: Any, column: str, key: str, place: str, number: int) -> Any:
    value = record
    for part in column.split("."):
        if not isinstance(value, dict) or part not in value:
            has = ", ".join(_columns(record)) if isinstance(record, dict) else type(record).__name__
            raise CorpusError(f"{key}: no column {column!r} in record {number} of {place}; it has: {has}.")
        value = value[part]
    return value


def _columns(record: dict[Any, Any]) -> Iterator[str]:
    """Yield the columns of a record, those of a record in it with a dot, as a configuration names them."""
    for name, value in record.items():
        yield from (f"{name}.{inner}" for inner in value) if isinstance(value, dict) and value else (str(name),)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is read into a message that names it.

    Raises
    ------
    CorpusError
        If the file cannot be opened, or its content is not what its suffix says.
    """
    try:
        yield
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise CorpusError(f"{path}: cannot be read ({error}). Check that its content fits its suffix.") from None


def _records(path: Path) -> Iterator[Any]:
    with reading(path):
        if path.suffix == ".parquet":
            yield from _parquet_records(path)
        else:
            with pa.OSFile(str(path)) as file:
                yield from json_records(path, file)


def _parquet_records(path: Path) -> Iterator[Any]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024):
            yield from batch.to_pylist()


def json_records(path: Path, file: pa.NativeFile) -> Iterator[Any]:
    """Yield the records of an open jsonl file, compressed or not.

    Raises
    ------
    CorpusError
        If a line is not JSON in UTF-8, or longer than `MAX_RECORD_BYTES`.
    """
    # Arrow's stream, unlike others, tells a truncated archive from a whole one.
    stream = pa.CompressedInputStream(file, COMPRESSIONS[path.suffix]) if path.suffix in COMPRESSIONS else file
    lines = io.BufferedReader(stream)
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
            try:
                yield json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                raise CorpusError(f"{path}:{number}: not UTF-8 ({error}). Convert the file to UTF-8.") from None
            except (ValueError, RecursionError) as error:
                raise CorpusError(f"{path}:{number}: not JSON ({error}). Each line must be one record.") from None
