"""Token ids and byte ranges: which bytes of the document's UTF-8 text each token stands for.

Ranges are summed up from the bytes of the tokens themselves, not from a tokenizer's offset mapping,
and are accepted only if the bytes rebuild the text exactly (method, section 2): as it is, or as its
normaliser makes it, from where they are followed back (`rosetta.activations.canonical`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Encoding, Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

from rosetta.activations.canonical import SPACE_MARK, Canonical, UntracedText
from rosetta.activations.prefixes import beginnings, reads_by_words
from rosetta.errors import ModelError
from rosetta.models.tokenizers import plain_backend


@dataclass(frozen=True)
class TokenizedDocument:
    """Tokens of one document.

    Attributes
    ----------
    token_ids, byte_start, byte_end : ndarray of int32, shape (n_tokens,)
        `byte_start == byte_end` for tokens that end no byte: special ones, and those that end
        inside a character that the normaliser has changed.
    """

    token_ids: np.ndarray
    byte_start: np.ndarray
    byte_end: np.ndarray

    def head(self, n_tokens: int) -> TokenizedDocument:
        """Return the first `n_tokens` tokens."""
        return TokenizedDocument(
            self.token_ids[:n_tokens], self.byte_start[:n_tokens], self.byte_end[:n_tokens]
        )


NOTHING = TokenizedDocument(*(np.empty(0, np.int32) for _ in range(3)))


class ByteTokenizer:
    """A fast tokenizer together with the bytes of every token.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerFast
        The tokenizer.
    place : str
        What messages name as the culprit.

    Raises
    ------
    ModelError
        If the tokenizer's decoder is of a kind whose token bytes are not known.
    """

    def __init__(self, tokenizer: Any, place: str) -> None:
        self.place = place
        self._backend = plain_backend(tokenizer)
        state = json.loads(self._backend.to_str())
        self._kind = _kind(state["decoder"] or {}, place)
        self._canonical = Canonical(self._backend, self._kind.spaces, place)
        added = self._backend.get_added_tokens_decoder()
        self._added = {id_: self._bytes_of(token.content) for id_, token in added.items()}
        # What these stand for is in the text alone: the library says where.
        self._unspelled = {id_ for id_, token in added.items() if token.lstrip or token.rstrip}
        unknown = _unknown_id(self._backend, state["model"])
        self._unspelled |= set() if unknown is None else {unknown}
        # The last token of a beginning may go on, if it takes up spaces; what the template adds
        # comes after it.
        self._beyond = (
            1 + self._backend.num_special_tokens_to_add(False) if reads_by_words(state) else None
        )

    def __call__(self, text: str) -> TokenizedDocument:
        """Tokenize a document.

        Raises
        ------
        UntracedText
            If the bytes of the tokens do not rebuild the text.
        """
        encoding = self._backend.encode(text)
        canonical = self._canonical.text(text)
        pieces = self._pieces(encoding, text)
        if b"".join(pieces) != canonical.data:
            fitted = _fit(pieces, list(map(self._bytes_of, encoding.tokens)), canonical.data)
            if fitted is None:
                raise UntracedText(self._mismatch(b"".join(pieces), canonical.data))
            pieces = fitted
        bounds = canonical.place(np.cumsum([0, *map(len, pieces)], dtype=np.int64))
        return TokenizedDocument(np.asarray(encoding.ids, np.int32), bounds[:-1], bounds[1:])

    def first(self, text: str, n_tokens: int) -> TokenizedDocument:
        """Return the first tokens of a document as of the whole, reading no more than needed.

        Raises
        ------
        UntracedText
            If the bytes of what was read do not rebuild it.
        """
        if self._beyond is not None:
            for beginning in beginnings(text, n_tokens):
                found = self(beginning)
                if len(found.token_ids) >= n_tokens + self._beyond:
                    return found.head(n_tokens)
        return self(text).head(n_tokens)

    def _pieces(self, encoding: Encoding, text: str) -> list[bytes]:
        """Return what each token spells."""
        added, spelled, unspelled = self._added, self._kind.spelled, self._unspelled
        ids, tokens, special = encoding.ids, encoding.tokens, encoding.special_tokens_mask
        pieces = [
            b"" if is_special else added[id_] if id_ in added else spelled(token)
            for id_, token, is_special in zip(ids, tokens, special, strict=True)
        ]
        if not unspelled.isdisjoint(ids):
            offsets = encoding.offsets
            for i, id_ in enumerate(ids):
                if id_ in unspelled and not special[i]:
                    pieces[i] = self._bytes_of(text[slice(*offsets[i])])
        return pieces

    def _bytes_of(self, text: str) -> bytes:
        return self._canonical.string(text).encode("utf-8")

    def _mismatch(self, rebuilt: bytes, data: bytes) -> str:
        at = next(
            (i for i, (a, b) in enumerate(zip(rebuilt, data, strict=False)) if a != b),
            min(len(rebuilt), len(data)),
        )
        return (
            f"{self.place}: the bytes of its tokens do not rebuild the text: from byte {at} the "
            "tokens read "
            f"{rebuilt[at : at + 24]!r} and the document {data[at : at + 24]!r}. The tokenizer "
            "changes or "
            "drops text; normalise the corpus beforehand or use another model."
        )


def _fit(pieces: list[bytes], literal: list[bytes], data: bytes) -> list[bytes] | None:
    """Return pieces that rebuild the data, or None.

    A piece may be spelled as its token is written (`literal`) instead, like `<0x41>` where that
    stands in the text, or begin with a space that the tokenizer put before a text or a part of it.
    It works from the end, so that of several spaces the first is the one that was added.
    """
    end, fitted = len(data), []
    for piece, written in zip(reversed(pieces), reversed(literal), strict=True):
        fits = next((form for form in _forms(piece, written) if data.endswith(form, 0, end)), None)
        if fits is None:
            return None
        fitted.append(fits)
        end -= len(fits)
    return None if end else fitted[::-1]


def _forms(piece: bytes, written: bytes) -> Iterator[bytes]:
    yield piece
    if piece.startswith(b" "):
        yield piece[1:]
    if piece:
        yield written


class _Kind(NamedTuple):
    """A kind of tokenizer: what a token spells, and what becomes of white space (`Canonical`)."""

    spelled: Callable[[str], bytes]
    spaces: str


def _kind(decoder: dict[str, Any], place: str) -> _Kind:
    parts = [decoder, *decoder.get("decoders", ())]
    kinds = {part.get("type") for part in parts}
    if "ByteLevel" in kinds:
        return _Kind(_byte_level, "kept")
    if kinds & {"Metaspace", "Replace"}:
        return _Kind(_metaspace, "marked")
    if "WordPiece" in kinds:
        prefix = next(part["prefix"] for part in parts if part.get("type") == "WordPiece")
        return _Kind(lambda token: token.removeprefix(prefix).encode("utf-8"), "dropped")
    raise ModelError(
        f"{place}: tokenizer decoder {decoder.get('type')!r} is not supported. Supported: "
        "byte-level BPE, "
        "SentencePiece-style tokenizers (Metaspace, byte fallback) and WordPiece. Use another "
        "model."
    )


def _unknown_id(backend: Tokenizer, model: dict[str, Any]) -> int | None:
    """Return the id of the token for what is not in the vocabulary, if there is one."""
    if model.get("unk_token") is not None:
        return backend.token_to_id(model["unk_token"])
    return model.get("unk_id")


def _unicode_to_byte() -> dict[str, int]:
    """Return the alphabet of byte-level BPE: printable bytes are themselves, others from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(0x100 + i): byte for i, byte in enumerate(others)})
    if set(alphabet) != set(
        ByteLevel.alphabet()
    ):  # pragma: no cover - guards against a changed library
        raise ModelError(
            "the tokenizers library uses another byte-level alphabet than this version expects"
        )
    return alphabet


_BYTES = _unicode_to_byte()
_FALLBACK = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _byte_level(token: str) -> bytes:
    return bytes(_BYTES[character] for character in token)


def _metaspace(token: str) -> bytes:
    fallback = _FALLBACK.fullmatch(token)
    return (
        bytes([int(fallback[1], 16)])
        if fallback
        else token.replace(SPACE_MARK, " ").encode("utf-8")
    )
