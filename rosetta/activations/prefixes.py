"""Prefixes that are tokenized like the whole text, so that long documents are read in part.

Tokens do not depend on what follows a Latin letter and a space, if the tokenizer treats the two
sides apart: no added token has a space after another character, the normaliser changes characters
one by one, and words end before a space, either because the text is split there or because no merge
of a BPE crosses that place. Of a tokenizer of which this is not known, texts are read whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from string import ascii_letters
from typing import Any

from rosetta.activations.canonical import SPACE_MARK

# What a normaliser may be; writing ▁ for spaces is allowed, too.
_NORMALISERS = (
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Lowercase",
    "StripAccents",
    "BertNormalizer",
    "Prepend",
)
# Pre-tokenizers that look at single characters or at words only; the first end a word before a
# space.
_SPLIT_AT_SPACES = ("Whitespace", "WhitespaceSplit", "BertPreTokenizer")
_OTHERS = ("Digits", "Punctuation")
# Of GPT-4 and Llama 3, and of Qwen: no match goes on beyond a letter that a space follows, or looks
# beyond it.
_PATTERNS = tuple(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
    + digits
    + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    for digits in (r"\p{N}{1,3}", r"\p{N}")
)
_CROSSES = re.compile(rf"[^\s{SPACE_MARK}Ġ][\s{SPACE_MARK}Ġ]")
_CUT = re.compile("(?<=[A-Za-z]) ")
_FIRST_CHARACTERS = (
    8  # of a beginning, per token that is wanted; each further beginning is four times as long
)


def beginnings(text: str, n_tokens: int) -> Iterator[str]:
    """Yield ever longer prefixes of a text, up to a letter before a space, to half of the text."""
    wanted = _FIRST_CHARACTERS * n_tokens
    while wanted < len(text) // 2:
        cut = _CUT.search(text, wanted)
        if cut is None:
            return
        yield text[: cut.start()]
        wanted = 4 * cut.start()


def reads_by_words(state: dict[str, Any]) -> bool:
    """Tell whether tokens are known not to depend on what follows a letter and a space.

    Parameters
    ----------
    state : dict
        The content of the tokenizer's `tokenizer.json`.
    """
    pre_tokenizers = _steps(state["pre_tokenizer"], "pretokenizers")
    return (
        not any(_CROSSES.search(token["content"]) for token in state["added_tokens"])
        and all(map(_by_characters, _steps(state["normalizer"], "normalizers")))
        and all(_splits(step) is not None for step in pre_tokenizers)
        and (_split_at_spaces(pre_tokenizers) or _never_merged_across(state["model"]))
    )


def _steps(part: dict[str, Any] | None, name: str) -> list[dict[str, Any]]:
    """Return the steps of a normaliser or pre-tokenizer, of which some are sequences of others."""
    if part is None:
        return []
    return (
        [step for inner in part[name] for step in _steps(inner, name)]
        if part["type"] == "Sequence"
        else [part]
    )


def _by_characters(step: dict[str, Any]) -> bool:
    if step["type"] == "Replace":
        return (step["pattern"], step["content"]) == ({"String": " "}, SPACE_MARK)
    return step["type"] in _NORMALISERS


def _splits(step: dict[str, Any]) -> bool | None:
    """Tell whether a pre-tokenizer ends a word between a letter and a space; None if unknown."""
    kind = step["type"]
    if kind == "ByteLevel":
        return bool(step["use_regex"])
    if kind == "Metaspace":
        return bool(step["split"])
    if kind == "Split":
        if step["pattern"] == {"String": " "}:
            return False  # it may be that the space stays with the word before it
        isolated = step["behavior"] == "Isolated" and not step["invert"]
        return True if step["pattern"].get("Regex") in _PATTERNS and isolated else None
    return kind in _SPLIT_AT_SPACES if kind in (*_SPLIT_AT_SPACES, *_OTHERS) else None


def _split_at_spaces(steps: list[dict[str, Any]]) -> bool:
    """Tell whether words end before spaces while these are still spaces."""
    for step in steps:
        if _splits(step):
            return True
        if step["type"] in ("ByteLevel", "Metaspace"):  # which write them otherwise
            return False
    return False


def _never_merged_across(model: dict[str, Any]) -> bool:
    """Tell whether no merge of a BPE joins a letter, of itself a token, with a space after it."""
    by_place = (
        "ignore_merges",
        "continuing_subword_prefix",
        "end_of_word_suffix",
    )  # what the ends of a word decide
    if model.get("type") != "BPE" or any(map(model.get, by_place)):
        return False
    vocabulary = model["vocab"]
    known = set(ascii_letters) <= set(vocabulary) and not {SPACE_MARK, "Ġ"}.isdisjoint(vocabulary)
    return known and not any(map(_CROSSES.search, vocabulary))
