"""Token ids and byte ranges: which bytes of the document's UTF-8 text each token stands for.

Ranges are summed up from the bytes of the tokens themselves, never from a tokenizer's offset mapping, and are
accepted only if the bytes rebuild the text exactly (method, section 2).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers.pre_tokenizers import ByteLevel

from rosetta.errors import ModelError


@dataclass(frozen=True)
class TokenizedDocument:
    """Tokens of one document.

    Attributes
    ----------
    token_ids, byte_start, byte_end : ndarray of int32, shape (n_tokens,)
        `byte_start == byte_end` for special tokens.
    """

    token_ids: np.ndarray
    byte_start: np.ndarray
    byte_end: np.ndarray

    def head(self, n_tokens: int) -> TokenizedDocument:
        """Return the first `n_tokens` tokens."""
        return TokenizedDocument(self.token_ids[:n_tokens], self.byte_start[:n_tokens], self.byte_end[:n_tokens])


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
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._token_bytes = _token_bytes_function(self._backend, place)
        self._added = {
            id_: _metaspace(token.content) if self._token_bytes is _metaspace else token.content.encode("utf-8")
            for id_, token in self._backend.get_added_tokens_decoder().items()
        }

    def __call__(self, text: str) -> TokenizedDocument:
        """Tokenize a document.

        Raises
        ------
        ModelError
            If the bytes of the tokens do not rebuild the text.
        """
        encoding = self._backend.encode(text)
        special = encoding.special_tokens_mask
        pieces = [
            b"" if is_special else self._bytes_of(id_, token)
            for id_, token, is_special in zip(encoding.ids, encoding.tokens, special, strict=True)
        ]
        data = text.encode("utf-8")
        if not _strip_added_space(pieces, data):
            raise ModelError(self._mismatch(b"".join(pieces), data))
        ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64).astype(np.int32)
        starts = np.concatenate([np.zeros(1, np.int32), ends[:-1]])
        return TokenizedDocument(np.asarray(encoding.ids, np.int32), starts[: len(ends)], ends)

    def _bytes_of(self, id_: int, token: str) -> bytes:
        return self._added[id_] if id_ in self._added else self._token_bytes(token)

    def _mismatch(self, rebuilt: bytes, data: bytes) -> str:
        at = next(
            (i for i, (a, b) in enumerate(zip(rebuilt, data, strict=False)) if a != b),
            min(len(rebuilt), len(data)),
        )
        return (
            f"{self.place}: the bytes of its tokens do not rebuild the text: from byte {at} the tokens read "
            f"{rebuilt[at : at + 24]!r} and the document {data[at : at + 24]!r}. The tokenizer normalises or "
            "drops text; normalise the corpus beforehand or use another model."
        )


def _strip_added_space(pieces: list[bytes], data: bytes) -> bool:
    """Take off the one space that some tokenizers put before a text; tell whether the pieces rebuild it."""
    rebuilt = b"".join(pieces)
    if rebuilt == b" " + data:
        first = next(i for i, piece in enumerate(pieces) if piece)
        pieces[first] = pieces[first][1:]
        return True
    return rebuilt == data


def _token_bytes_function(backend: Any, place: str) -> Callable[[str], bytes]:
    decoder = json.loads(backend.to_str()).get("decoder") or {}
    kinds = {decoder.get("type")} | {part.get("type") for part in decoder.get("decoders", ())}
    if "ByteLevel" in kinds:
        return _byte_level
    if kinds & {"Metaspace", "Replace"}:
        return _metaspace
    raise ModelError(
        f"{place}: tokenizer decoder {decoder.get('type')!r} is not supported. Supported: byte-level BPE and "
        "SentencePiece-style tokenizers (Metaspace, byte fallback)."
    )


def _unicode_to_byte() -> dict[str, int]:
    """Return the alphabet of byte-level BPE: printable bytes stand for themselves, others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(0x100 + i): byte for i, byte in enumerate(others)})
    if set(alphabet) != set(ByteLevel.alphabet()):  # pragma: no cover - guards against a changed library
        raise ModelError("the tokenizers library uses another byte-level alphabet than this version expects")
    return alphabet


_BYTES = _unicode_to_byte()
_FALLBACK = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _byte_level(token: str) -> bytes:
    return bytes(_BYTES[character] for character in token)


def _metaspace(token: str) -> bytes:
    fallback = _FALLBACK.fullmatch(token)
    return bytes([int(fallback[1], 16)]) if fallback else token.replace("▁", " ").encode("utf-8")
