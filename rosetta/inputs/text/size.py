"""How much text a source holds, estimated without reading all of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from rosetta.config import Corpus, EnvironmentSource, FilesSource
from rosetta.inputs.text.environment import SECTION
from rosetta.inputs.text.records import json_records, record_texts, source_files
from rosetta.inputs.text.streams import format_of, reading

# How much is read to tell how much of jsonl files is text: so many bytes, as they lie on disk, of
# about so many files.
SAMPLE = 4_000_000
SAMPLED_FILES = 16


class CorpusSize(NamedTuple):
    """Size of a corpus.

    Attributes
    ----------
    n_documents : float or None
        Number of documents; None if it is not known.
    document_bytes : float or None
        Mean length of a document in UTF-8 bytes; None if it is not known.
    """

    n_documents: float | None
    document_bytes: float | None

    @property
    def n_bytes(self) -> float | None:
        """Bytes of all documents; None if they are not known."""
        if self.n_documents is None or self.document_bytes is None:
            return None
        return self.n_documents * self.document_bytes


def estimate_size(corpus: Corpus) -> CorpusSize:
    """Estimate a corpus before it is built, from its configuration and, of local files, a sample.

    What deduplication will drop is not known, so this is rather too much. The size of a hub
    dataset, or of files that are not there, is not known: only `max_documents` and
    `max_document_bytes` tell something about it.

    Raises
    ------
    CorpusError
        If a local file cannot be read.
    """
    whole = _source_size(corpus)
    document_bytes = _least(whole.document_bytes, corpus.max_document_bytes)
    n_documents = None
    if whole.n_bytes is not None and document_bytes is not None:
        n_documents = whole.n_bytes / max(document_bytes, 1)
    return CorpusSize(_least(n_documents, corpus.max_documents), document_bytes)


def sampled_size(match: CorpusSize, corpus: Corpus) -> CorpusSize:
    """Return the size of the match split once its sequences are drawn, given that of its documents.

    What is too short is known on average only, so this too is rather too much.
    """
    sampling = corpus.sampling
    if sampling is None:
        return match
    n, width = match.n_documents, sampling.window_bytes
    if width is None:
        return CorpusSize(_least(n, sampling.max_sequences), match.document_bytes)
    if sampling.windows == "all":
        n = (
            None
            if match.n_bytes is None
            else match.n_bytes / width + (n or 0) * (sampling.short == "keep")
        )
    elif sampling.short == "skip" and match.n_bytes is not None:
        n = _least(n, match.n_bytes / width)
    drawn = width if sampling.short == "skip" else _least(match.document_bytes, width)
    return CorpusSize(_least(n, sampling.max_sequences), drawn)


def _least(*values: float | None) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _source_size(corpus: Corpus) -> CorpusSize:
    source = corpus.source
    if isinstance(source, EnvironmentSource):
        return CorpusSize(source.bytes_per_domain * len(source.domains) / SECTION, SECTION)
    if not isinstance(source, FilesSource) or not Path(source.path).exists():
        return CorpusSize(None, None)
    files = source_files(source.path)
    by_format = {
        kind: [path for path in files if format_of(path) == kind] for kind in map(format_of, files)
    }
    kinds = [
        _parquet_size(paths, source.text) if kind == "parquet" else _json_size(paths, source)
        for kind, paths in by_format.items()
    ]
    n_texts = sum(n for n, _ in kinds)
    return CorpusSize(n_texts, sum(n_bytes for _, n_bytes in kinds) / max(n_texts, 1))


def _parquet_size(paths: list[Path], column: str) -> tuple[float, float]:
    """Return rows, and bytes of the text column before compression, from the metadata of the
    files.
    """
    n_rows, n_bytes = 0, 0
    for path in paths:
        with reading(path):
            metadata = pq.read_metadata(path)
        n_rows += metadata.num_rows
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
        n_bytes += sum(
            chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema == column
        )
    return n_rows, n_bytes


def _json_size(paths: list[Path], source: FilesSource) -> tuple[float, float]:
    """Return the number of texts and their bytes, extrapolated from the beginnings of some of the
    files.
    """
    samples = [_json_sample(path, source) for path in paths[:: max(1, len(paths) // SAMPLED_FILES)]]
    n_texts, n_bytes, read = (sum(sample[i] for sample in samples) for i in range(3))
    scale = sum(path.stat().st_size for path in paths) / max(read, 1)
    return n_texts * scale, n_bytes * scale


def _json_sample(path: Path, source: FilesSource) -> tuple[int, int, int]:
    """Return the number of texts at the beginning of a file, their bytes, and the bytes of the file
    that hold them.
    """
    n_texts, n_bytes, read = 0, 0, 0
    with reading(path), pa.OSFile(str(path)) as file:
        for text in record_texts(
            json_records(path, file, source.zstd_long), str(path), source.text, None
        ):
            if read and file.tell() > max(read, SAMPLE):  # the next block has begun
                return n_texts, n_bytes, read
            n_texts, n_bytes, read = (
                n_texts + 1,
                n_bytes + len(text.text.encode("utf-8", "replace")),
                file.tell(),
            )
    return n_texts, n_bytes, path.stat().st_size
