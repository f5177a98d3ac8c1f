"""Opening files of lines: plain, gzip or zstd, told by the suffix whatever its case."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import zstandard

from rosetta.errors import CorpusError

LINES = (".jsonl", ".ndjson", ".json")
COMPRESSIONS = {".zst": "zstd", ".gz": "gzip"}
CHUNK = 8_192  # packed bytes at a time; zstd unpacks these to 256 MiB at most
LONGEST_WINDOW = 31  # the largest that zstd knows: 2 GiB


def format_of(path: Path) -> str | None:
    """Return a file's format: `parquet`, or lines in `plain`, `zstd` or `gzip`; else None."""
    name = path.name.lower()
    if name.endswith(".parquet"):
        return "parquet"
    compression = COMPRESSIONS.get(Path(name).suffix)
    inner = name.rpartition(".")[0] if compression else name
    return (compression or "plain") if inner.endswith(LINES) else None


def open_lines(path: Path, file: pa.NativeFile, zstd_long: int) -> io.BufferedReader:
    """Return the unpacked content of an open file of lines.

    Parameters
    ----------
    path : Path
        Its name tells the compression.
    file : NativeFile
        The file itself; its position tells how much of it was read.
    zstd_long : int
        Base-2 logarithm of the largest zstd window that is allowed, which is about the memory for
        unpacking.
    """
    kind = format_of(path)
    if kind == "gzip":
        file = _Archive(file, lambda: zlib.decompressobj(wbits=31), padding=b"\0")
    elif kind == "zstd":
        file = _Archive(
            file, zstandard.ZstdDecompressor(max_window_size=2**zstd_long).decompressobj
        )
    return io.BufferedReader(file)


class _Archive(io.RawIOBase):
    """The content of an archive of one part (zstd: frame; gzip: member) or several.

    Other streams fall short: Arrow's know no long windows and no padding, that of `zstandard` takes
    a truncated archive for a whole one, that of `gzip` tells too late.

    Parameters
    ----------
    file : NativeFile
        The archive.
    begin : callable
        Returns a decompressor of one part, as those of `zlib`.
    padding : bytes
        What may stand behind a part.
    """

    def __init__(self, file: pa.NativeFile, begin: Callable[[], Any], padding: bytes = b"") -> None:
        self._file, self._begin, self._padding = file, begin, padding
        self._part: Any = None  # the decompressor of the one that is not at its end
        self._packed, self._unpacked = b"", memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: memoryview) -> int:
        n = 0
        while n < len(target) and (
            self._unpacked or self._read_on()
        ):  # so a truncated small file is found at once
            piece = self._unpacked[: len(target) - n]
            target[n : n + len(piece)] = piece
            self._unpacked = self._unpacked[len(piece) :]
            n += len(piece)
        return n

    def _read_on(self) -> bool:
        """Unpack until something comes out; return whether anything did before the end."""
        while not self._unpacked:
            packed = self._packed or self._file.read(CHUNK)
            if not packed:
                if self._part is not None:
                    raise EOFError("Truncated archive")
                return False
            if self._part is None:
                packed = packed.lstrip(self._padding) if self._padding else packed
                self._part = self._begin() if packed else None
            if self._part is not None:
                self._unpacked = memoryview(self._part.decompress(packed))
                packed = self._part.unused_data
                if self._part.eof:
                    self._part = None
            self._packed = packed
        return True


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
    except zstandard.ZstdError as error:
        if "too much memory" in str(error):
            raise CorpusError(
                f"{path}: was made with a long window (zstd --long), longer than `zstd_long` of "
                "the source allows. "
                f"Raise it ({LONGEST_WINDOW} reads all, and may take 2 GiB of memory), or pack "
                "the file without --long."
            ) from None
        raise _unreadable(path, error) from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> CorpusError:
    return CorpusError(f"{path}: cannot be read ({error}). Check that its content fits its suffix.")
