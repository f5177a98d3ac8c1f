"""Captions as word ids, for the text tower of a contrastive model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

FILE = "caption_vocabulary.json"
# A caption is its words, the end, and padding. transformers reads a CLIP caption at its end, and
# has another meaning for an end of id 2.
PADDING_ID, END_ID, UNKNOWN_ID = 0, 1, 2
N_SPECIAL = 3
MOST_TOKENS = 77  # of a caption, as CLIP has: memory grows with their square


@dataclass(frozen=True)
class CaptionVocabulary:
    """The words of the training captions.

    Attributes
    ----------
    words : tuple of str
        In alphabetical order; word i has id i + 3.
    n_tokens : int
        Of the longest caption, with its end, but at most `MOST_TOKENS`; longer ones are cut.
    """

    words: tuple[str, ...]
    n_tokens: int

    @classmethod
    def of(cls, captions: Iterable[str]) -> CaptionVocabulary:
        """Return the vocabulary of captions: all words, in lower case."""
        split = [_words(caption) for caption in set(captions)]
        words = sorted({word for one in split for word in one})
        longest = 1 + max(map(len, split), default=0)
        return cls(tuple(words), min(longest, MOST_TOKENS))

    @classmethod
    def load(cls, folder: Path) -> CaptionVocabulary:
        """Return the vocabulary that a model's folder holds."""
        saved = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return cls(tuple(saved["words"]), saved["n_tokens"])

    @property
    def size(self) -> int:
        """Number of ids."""
        return N_SPECIAL + len(self.words)

    def ids(self, captions: Sequence[str]) -> Tensor:
        """Return the word ids of captions, shape (n_captions, n_tokens)."""
        known = {word: N_SPECIAL + index for index, word in enumerate(self.words)}
        found = torch.full((len(captions), self.n_tokens), PADDING_ID)
        for row, caption in zip(found, captions, strict=True):
            ids = [known.get(word, UNKNOWN_ID) for word in _words(caption)]
            ids = [*ids[: self.n_tokens - 1], END_ID]
            row[: len(ids)] = torch.tensor(ids)
        return found

    def save(self, folder: Path) -> None:
        """Write the vocabulary into a model's folder."""
        text = json.dumps({"words": self.words, "n_tokens": self.n_tokens}, ensure_ascii=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")


def _words(caption: str) -> list[str]:
    return caption.lower().split()
