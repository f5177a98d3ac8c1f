"""The documents of the pool: which texts are taken, and how many of the target domain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from rosetta.inputs.text.build import read_split
from rosetta.inputs.text.documents import Document, Text, document_name
from rosetta.run.paths import Paths
from rosetta.storage.digests import hash64


@dataclass
class Fresh:
    """Turns texts into documents of the pool, and counts what it drops.

    A text is dropped if it is blank, has no UTF-8 form (nor its label), was met before, or has one
    of the names `known` (`document_name`): of documents on which the neuron was chosen or
    perplexity is measured, and of the texts that they are pieces of, which are their sources.
    """

    known: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("accepted", "blank", "unencodable", "duplicate", "known"), 0
        )
    )
    _ids: set[int] = field(default_factory=set)

    def documents(self, texts: Iterable[Text]) -> Iterator[Document]:
        """Yield the accepted texts as documents, in order."""
        for text in texts:
            verdict, document_id = self._judge(text)
            self.counts[verdict] += 1
            if verdict == "accepted":
                self._ids.add(document_id)
                yield Document(document_id, text.text, text.domain, text.source)

    def _judge(self, text: Text) -> tuple[str, int]:
        if not text.text.strip():
            return "blank", 0
        try:
            f"{text.text}{text.domain}".encode()
        except UnicodeEncodeError:  # a lone surrogate
            return "unencodable", 0
        document_id = hash64(text.text)
        if document_name(document_id) in self.known:
            return "known", document_id
        return ("duplicate" if document_id in self._ids else "accepted"), document_id


def known_names(paths: Paths) -> set[str]:
    """Return the names of the documents that a run's own pool may not hold.

    And those of the texts that they are pieces of.
    """
    splits = [read_split(paths, split) for split in ("match", "heldout")]
    names: set[str] = set()
    for split in splits:
        names.update(map(document_name, split["id"].tolist()))
        names.update(split["source"].tolist())
    return names


def thinned(documents: pd.DataFrame, target: str, share: float, seed: int) -> pd.DataFrame:
    """Return documents with so few of the target domain left that they are `share` of the bytes.

    Those that stay are the first in the order of a hash of their ids.

    Parameters
    ----------
    documents : DataFrame
        id, text, domain.
    target : str
        The domain.
    share : float
        Its largest share of the bytes.
    seed : int
        Of the hash.
    """
    size = documents["text"].str.encode("utf-8").str.len().to_numpy()
    mine = (documents["domain"] == target).to_numpy()
    allowed = share / (1 - share) * size[~mine].sum()
    rows = np.flatnonzero(mine)
    order = np.argsort(
        [hash64("thin", seed, id_) for id_ in documents["id"].to_numpy()[rows].tolist()]
    )
    kept = rows[order][np.cumsum(size[rows[order]]) <= allowed]
    return documents[~mine | np.isin(np.arange(len(documents)), kept)]
