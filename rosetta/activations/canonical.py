"""The text as a tokenizer's tokens spell it, and where each of its bytes comes from.

Normalisers (NFC, NFKC, lower case, …) change a text before it is cut into tokens. What they make is
followed back to the text through small parts of it, user-perceived characters where that is
possible, and only if these parts give together what the normaliser makes of the whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

from rosetta.errors import ModelError

SPACE_MARK = "▁"  # what SentencePiece writes for a space
# Parts that a normaliser may treat one by one, from fine to coarse.
_PARTS = (r"\X", r"\s+|\X", r"\s+|\S+")


class UntracedText(ModelError):
    """A text that the tokens of a tokenizer cannot be traced back to."""


@dataclass(frozen=True)
class CanonicalText:
    """What the tokens of a text spell out.

    Attributes
    ----------
    data : bytes
        The canonical text in UTF-8.
    origin : ndarray of int64, shape (len(data) + 1,), or None
        For a boundary before each byte, and the end, where it lies in the bytes of the text; None
        if the two are equal. What was changed as one is never cut: a boundary inside it lies at its
        start, so that it belongs to the token that ends it. What was dropped belongs to the token
        after it.
    """

    data: bytes
    origin: np.ndarray | None

    def place(self, boundaries: np.ndarray) -> np.ndarray:
        """Return where boundaries in the canonical text lie in the text, int32."""
        return (boundaries if self.origin is None else self.origin[boundaries]).astype(np.int32)


class Canonical:
    """Turns texts into what a tokenizer's tokens spell.

    Parameters
    ----------
    backend : tokenizers.Tokenizer
        The tokenizer.
    spaces : {'kept', 'marked', 'dropped'}
        Whether tokens spell white space as it is, as ▁ (which then cannot be told from a space), or
        not at all.
    place : str
        What messages name as the culprit.
    """

    def __init__(self, backend: Tokenizer, spaces: str, place: str) -> None:
        self._normalise = _normaliser(backend, marked=spaces == "marked")
        self._spaces = spaces
        self._place = place

    def string(self, text: str) -> str:
        """Return the canonical form of a text or a part of it."""
        changed = self._normalise(text)
        if self._spaces == "marked":
            return changed.replace(SPACE_MARK, " ")
        return "".join(changed.split()) if self._spaces == "dropped" else changed

    def text(self, text: str) -> CanonicalText:
        """Return the canonical form of a text with the origin of its bytes.

        Raises
        ------
        UntracedText
            If the normaliser does something to the whole text that it does not do to its parts.
        """
        whole = self.string(text)
        if whole == text:
            return CanonicalText(text.encode("utf-8"), None)
        form = cache(self.string)
        for pattern in _PARTS:
            parts = [part for part, _ in _splitter(pattern)(text)]
            forms = [form(part) for part in parts]
            if "".join(forms) == whole:
                return CanonicalText(whole.encode("utf-8"), _origin(parts, forms))
        raise UntracedText(
            f"{self._place}: its tokenizer's normaliser changes "
            f"{_beginning_of_change(text, whole)} in a way that "
            "cannot be traced back to the text. Normalise the corpus beforehand or use another "
            "model."
        )


def _origin(parts: list[str], forms: list[str]) -> np.ndarray:
    origin, at, end = [], 0, 0  # `end`: of the last part that is still there
    for part, form in zip(parts, forms, strict=True):
        length = len(part.encode("utf-8"))
        kept = len(form.encode("utf-8"))
        if kept:
            inside = at + np.arange(kept) if form == part else np.full(kept, at)
            inside[0] = end
            origin.append(inside)
            end = at + length
        at += length
    return np.concatenate([*origin, [end]]).astype(np.int64)


def _beginning_of_change(text: str, whole: str) -> str:
    at = next(
        (i for i, (a, b) in enumerate(zip(text, whole, strict=False)) if a != b),
        min(len(text), len(whole)),
    )
    return f"{text[at : at + 12]!r} (byte {len(text[:at].encode('utf-8'))})"


@cache
def _splitter(pattern: str) -> Callable[[str], list[Any]]:
    return pre_tokenizers.Split(Regex(pattern), behavior="isolated").pre_tokenize_str


def _normaliser(backend: Tokenizer, *, marked: bool) -> Callable[[str], str]:
    """Return the tokenizer's normaliser, without steps that mark spaces if they are `marked`."""
    normaliser = backend.normalizer
    if normaliser is None:
        return str
    steps = list(normaliser) if isinstance(normaliser, normalizers.Sequence) else [normaliser]
    if marked:
        steps = [step for step in steps if not _writes_marks(json.loads(step.__getstate__()))]
    return normalizers.Sequence(steps).normalize_str


def _writes_marks(step: dict[str, Any]) -> bool:
    return step["type"] == "Prepend" or (
        step["type"] == "Replace"
        and (step["pattern"], step["content"]) == ({"String": " "}, SPACE_MARK)
    )
