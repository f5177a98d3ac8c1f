"""Documents: cutting, cleaning, deduplication and the assignment to splits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from rosetta.config import SplitFractions
from rosetta.storage.digests import hash64, name64

CONTEXT_BYTES = 120  # shown on each side of a token


class Text(NamedTuple):
    """A text as a source yields it.

    Attributes
    ----------
    text : str
        The text.
    domain : str
        Its domain label; empty if the source has none.
    source : str
        Where it came from, `#n` behind it for the n-th part. Parts of one source never land in
        different splits.
    """

    text: str
    domain: str
    source: str


class Document(NamedTuple):
    """A piece of a text that the models will see; `id` is a 64-bit hash of the text."""

    id: int
    text: str
    domain: str
    source: str


def cluster_of(source: str) -> str:
    """Return what the texts of a source are parts of: the source without its part's number.

    The parts of a file, `package/path#0`, `package/path#1`, are alike. Whatever takes documents as
    independent (splits, half-samples, halves of the corpus) takes clusters of them, whole.
    """
    return re.sub(r"#\d+$", "", source)


def document_name(document_id: int) -> str:
    """Return the printed form of a document id, 16 hexadecimal digits."""
    return name64(document_id)


def around(text: str, byte_start: int, byte_end: int, n_bytes: int) -> tuple[str, str, str]:
    """Return a token of a text, by its range of UTF-8 bytes, with what stands around it.

    Returns
    -------
    before, token, after : str
        Up to `n_bytes` bytes on each side. A character that is cut reads as U+FFFD.
    """
    data = text.encode("utf-8")
    parts = (
        data[max(0, byte_start - n_bytes) : byte_start],
        data[byte_start:byte_end],
        data[byte_end : byte_end + n_bytes],
    )
    before, token, after = (part.decode("utf-8", "replace") for part in parts)
    return before, token, after


def cut(text: str, max_bytes: int | None) -> Iterator[str]:
    """Cut a text at line ends into pieces of at most `max_bytes` UTF-8 bytes.

    A line that is longer by itself is cut between characters. With `max_bytes` None the text stays
    whole.
    """
    n_bytes = len(
        text.encode("utf-8")
    )  # first, so that a text without UTF-8 form never gets through
    if max_bytes is None or n_bytes <= max_bytes:
        yield text
        return
    piece, size = [], 0
    for line in text.splitlines(keepends=True):
        for part in _cut_line(line, max_bytes):
            length = len(part.encode("utf-8"))
            if size + length > max_bytes:
                yield "".join(piece)
                piece, size = [], 0
            piece.append(part)
            size += length
    if piece:
        yield "".join(piece)


def character_start(data: bytes, at: int) -> int:
    """Return the last byte up to `at` on a character boundary of a UTF-8 text."""
    at = min(at, len(data))
    while at < len(data) and data[at] & 0xC0 == 0x80:
        at -= 1
    return at


def _cut_line(line: str, max_bytes: int) -> Iterator[str]:
    data = line.encode("utf-8")
    while len(data) > max_bytes:
        end = character_start(data, max_bytes)
        yield data[:end].decode("utf-8")
        data = data[end:]
    yield data.decode("utf-8")


@dataclass
class Cleaner:
    """Turns raw texts into accepted documents and counts what it drops.

    A document is dropped if it is too short, if its text was accepted before, or if more than half
    of its informative lines (12 characters or more, case and white space ignored) stand in
    documents accepted before: headers, licences and generated code repeat with small changes, and a
    repeat in another split would be a leak.
    """

    min_bytes: int
    max_bytes: int | None
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("accepted", "unencodable", "short", "duplicate", "near_duplicate"), 0
        )
    )
    _ids: set[int] = field(default_factory=set)
    _lines: set[int] = field(default_factory=set)

    def documents(self, texts: Iterable[Text]) -> Iterator[Document]:
        """Yield the accepted pieces of `texts`, in order."""
        for raw in texts:
            try:
                raw.domain.encode("utf-8")
                pieces = list(cut(raw.text, self.max_bytes))
            except UnicodeEncodeError:  # a lone surrogate has no UTF-8 form
                self.counts["unencodable"] += 1
                continue
            fresh_lines: set[int] = set()
            for piece in pieces:
                verdict, lines = self._judge(piece)
                self.counts[verdict] += 1
                if verdict == "accepted":
                    fresh_lines |= lines
                    document_id = hash64(piece)
                    self._ids.add(document_id)
                    yield Document(document_id, piece, raw.domain, raw.source)
            # Only now: pieces of one text share a split, so repeats among them leak nothing.
            self._lines |= fresh_lines

    def _judge(self, piece: str) -> tuple[str, set[int]]:
        if len(piece.strip().encode("utf-8")) < self.min_bytes:
            return "short", set()
        if hash64(piece) in self._ids:
            return "duplicate", set()
        lines = {hash(line) for line in map(_normalise, piece.splitlines()) if len(line) >= 12}
        if lines and len(lines & self._lines) > len(lines) / 2:
            return "near_duplicate", lines
        return "accepted", lines


def _normalise(line: str) -> str:
    return "".join(line.lower().split())


def split_of(group: str, source: str, fractions: SplitFractions, seed: int) -> str:
    """Return the split of a source's cluster: its hash against cumulated fractions.

    A group is in `pool`, in `heldout`, or in neither. In the latter case its clusters are shared
    out among `train` and `match`. So no cluster is in two splits, and what is chosen on `match`
    meets other groups in `pool`, and others again in `heldout`. The answer depends on nothing else,
    so adding documents moves none of the others; in return a split holds its fraction of the
    groups, not of the bytes.

    Parameters
    ----------
    group : str
        What the source belongs to, for instance a package. The source itself if it belongs to
        nothing.
    source : str
        Source of a document; its part's number counts for nothing.
    fractions : SplitFractions
        Of the groups.
    seed : int
        Of the hashes.
    """
    known = fractions.train + fractions.match
    position = hash64("split", seed, group) / 2**64
    if position < known:
        within = hash64("split of a group", seed, cluster_of(source)) / 2**64
        return "train" if within * known < fractions.train else "match"
    return "pool" if position < known + fractions.pool else "heldout"
