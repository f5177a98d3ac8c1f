"""Drawing the sequences that models read from the match split (method, section 4).

What is drawn follows from the documents, the settings and their seed: neither the order of the
source nor how the work is cut later has a part in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from rosetta.config import Sampling
from rosetta.errors import CorpusError
from rosetta.inputs.text.documents import Document, character_start
from rosetta.storage.digests import hash64


class Sample(NamedTuple):
    """Sequences that were drawn.

    Attributes
    ----------
    documents : list of Document
        Each sequence is a document of its own, with the source and domain of the one that it is
        from.
    counts : dict
        What was drawn, and what was not: documents with too few bytes, and what would have been
        drawn but has too few tokens (short) or the text of another (duplicate).
    lacking : dict of str to int
        Domains that had fewer sequences than their share, and how many they had.
    """

    documents: list[Document]
    counts: dict[str, int]
    lacking: dict[str, int]


def draw_sequences(
    documents: list[Document], settings: Sampling, long_enough: Callable[[str], bool] | None = None
) -> Sample:
    """Draw sequences uniformly, without replacement, from all of the documents'.

    Parameters
    ----------
    documents : list of Document
        With distinct ids, in any order.
    settings : Sampling
        What a sequence is, and how many are drawn from which domains.
    long_enough : callable, optional
        Whether a text has as many tokens as a sequence needs; all have if not given. Asked only of
        what is drawn.

    Raises
    ------
    CorpusError
        If a domain is asked for that no document has, there are more domains than sequences to
        share among them, or none is long enough.
    """
    domains = _domains(documents, settings)
    share = _share(settings, domains)
    counts = Counter(dict.fromkeys(("drawn", "short", "duplicate"), 0))
    drawn: dict[str, list[Document]] = {domain: [] for domain in domains}
    ids: set[int] = set()
    places: list[tuple[Document, int]] = []
    for document in documents:
        if document.domain in drawn:
            n = _n_places(document, settings)
            counts["short"] += n == 0
            places += [(document, number) for number in range(n)]
    for _, _, number, document in sorted(
        (hash64("sample", settings.seed, document.id, number), document.id, number, document)
        for document, number in places
    ):
        if settings.max_sequences is not None and counts["drawn"] >= settings.max_sequences:
            break
        if share is not None and len(drawn[document.domain]) >= share:
            continue
        text = _sequence(document, number, settings)
        verdict = (
            "short"
            if long_enough and not long_enough(text)
            else "duplicate"
            if hash64(text) in ids
            else "drawn"
        )
        counts[verdict] += 1
        if verdict == "drawn":
            ids.add(hash64(text))
            drawn[document.domain].append(document._replace(id=hash64(text), text=text))
    if not counts["drawn"]:
        raise CorpusError(
            "corpus.sampling: no document of the match split gives a sequence "
            f"({dict(counts)}). {_how_to_fix(settings)}, or "
            "give longer documents."
        )
    return _shared_out(drawn, counts, settings, share)


def _how_to_fix(settings: Sampling) -> str:
    if settings.tokenizer is None:
        return "Lower sampling.window_bytes, set sampling.short to keep"
    other = (
        "; change sampling.window_bytes, if it is too small for so many or too large for "
        "the documents"
    )
    tokens = (
        "Lower activations.sequence_length, the tokens that a sequence has under sampling.tokenizer"
    )
    return tokens if settings.window_bytes is None else tokens + other


def _domains(documents: list[Document], settings: Sampling) -> list[str]:
    present = sorted({document.domain for document in documents})
    wanted = present if settings.domains is None else list(dict.fromkeys(settings.domains))
    absent = [domain for domain in wanted if domain not in present]
    if absent:
        raise CorpusError(
            "corpus.sampling.domains: no document of the match split is of "
            f"{', '.join(map(repr, absent))}. "
            f"It has {', '.join(map(repr, present))}."
        )
    return wanted


def _share(settings: Sampling, domains: list[str]) -> int | None:
    """Return the number of sequences of each domain; None if it has no limit, or is not known
    beforehand.
    """
    if settings.shares == "proportional" or settings.max_sequences is None:
        return None
    if settings.max_sequences < len(domains):
        raise CorpusError(
            f"corpus.sampling.max_sequences: {settings.max_sequences} cannot be shared among "
            f"{len(domains)} domains. "
            "Raise it, or name fewer sampling.domains."
        )
    return settings.max_sequences // len(domains)


def _shared_out(
    drawn: dict[str, list[Document]], counts: Counter, settings: Sampling, share: int | None
) -> Sample:
    """Return the sample; with equal shares of no given size, as many of every domain as the
    smallest has.
    """
    lacking = {
        domain: len(found)
        for domain, found in drawn.items()
        if share is not None and len(found) < share
    }
    if settings.shares == "equal" and share is None:
        if empty := [domain for domain, found in drawn.items() if not found]:
            raise CorpusError(
                f"corpus.sampling.shares: is equal, but {', '.join(map(repr, empty))} gives no "
                "sequence. "
                "Set max_sequences, or name the other domains in sampling.domains."
            )
        share = min(map(len, drawn.values()))
        drawn = {domain: found[:share] for domain, found in drawn.items()}
        counts["drawn"] = share * len(drawn)
    return Sample(
        [document for found in drawn.values() for document in found], dict(counts), lacking
    )


def _n_places(document: Document, settings: Sampling) -> int:
    """Return how many sequences may be taken from a document."""
    if settings.window_bytes is None:
        return 1
    whole, rest = divmod(len(document.text.encode("utf-8")), settings.window_bytes)
    n = whole + (settings.short == "keep" and rest > 0)
    return n if settings.windows == "all" else min(n, 1)


def _sequence(document: Document, number: int, settings: Sampling) -> str:
    """Return a sequence of a document; where a boundary would cut a character, it lies before that
    character.
    """
    width = settings.window_bytes
    if width is None:
        return document.text
    data = document.text.encode("utf-8")
    start = number * width
    if settings.windows == "random":
        start = hash64("window", settings.seed, document.id) % max(len(data) - width + 1, 1)
    return data[character_start(data, start) : character_start(data, start + width)].decode("utf-8")
