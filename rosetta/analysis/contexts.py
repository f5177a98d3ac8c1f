"""Top contexts: where in the corpus a neuron reads highest, one context per document."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rosetta.activations.folders import open_stores
from rosetta.activations.store import Store

CONTEXT_BYTES = 120  # shown on each side of the token


@dataclass(frozen=True)
class Context:
    """A place where a neuron reads high: `text[byte_start:byte_end]` of a document."""

    document: int
    domain: str
    value: float
    before: str
    token: str
    after: str


def top_contexts(
    folder: Path, neurons: list[tuple[int, int]], documents: pd.DataFrame, n: int
) -> dict[tuple[int, int], list[Context]]:
    """Return the n highest contexts of each neuron, from different documents, highest first.

    A document's context is its highest position (the first one on ties); ties between documents go to the
    earlier one. Positions without bytes take no part.

    Parameters
    ----------
    folder : Path
        Shard stores of the model.
    neurons : list of (layer, unit)
        Which neurons.
    documents : DataFrame
        The match split: id, text, domain.
    n : int
        Contexts per neuron.
    """
    found: dict[tuple[int, int], list[tuple[float, int, int, int]]] = {neuron: [] for neuron in neurons}
    by_id = documents.set_index("id")
    for store in open_stores(folder):
        kept = np.flatnonzero(store.read("byte_end") > store.read("byte_start"))
        index = store.read("document_index")[kept]
        ids, starts, ends = (
            store.read("document_ids"),
            store.read("byte_start")[kept],
            store.read("byte_end")[kept],
        )
        for neuron in found:
            values = _column(store, *neuron)[kept]
            best = _best_per_document(values, index)
            best = best[np.argsort(-values[best], kind="stable")][:n]
            found[neuron] += [(float(values[p]), int(ids[index[p]]), int(starts[p]), int(ends[p])) for p in best]
    return {
        neuron: [_context(by_id, *place) for place in sorted(places, key=lambda place: -place[0])[:n]]
        for neuron, places in found.items()
    }


def describe_matches(
    matches: pd.DataFrame,
    folder_a: Path,
    folder_b: Path,
    documents: pd.DataFrame,
    n_matches: int,
    n_contexts: int,
) -> list[dict]:
    """Return the matches of highest r, each with its numbers and the top contexts of both neurons."""
    best = matches.sort_values("r", ascending=False, kind="stable").head(n_matches)
    contexts = {
        side: top_contexts(folder, _neurons(best, side), documents, n_contexts)
        for side, folder in (("a", folder_a), ("b", folder_b))
    }
    return [
        {
            **{key: value.item() if hasattr(value, "item") else value for key, value in row.items()},
            **{
                f"contexts_{side}": [asdict(c) for c in contexts[side][row[f"layer_{side}"], row[f"unit_{side}"]]]
                for side in "ab"
            },
        }
        for row in best.to_dict("records")
    ]


def _neurons(matches: pd.DataFrame, side: str) -> list[tuple[int, int]]:
    return list(zip(matches[f"layer_{side}"].tolist(), matches[f"unit_{side}"].tolist(), strict=True))


def _column(store: Store, layer: int, unit: int) -> np.ndarray:
    neuron = layer * store.d_mlp + unit
    return np.concatenate([parts[0][1][:, 0].float().numpy() for _, parts in store.chunks(neuron, neuron + 1)])


def _best_per_document(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    order = np.lexsort((np.arange(len(values)), -values, index))
    return order[np.unique(index[order], return_index=True)[1]]


def _context(documents: pd.DataFrame, value: float, document: int, start: int, end: int) -> Context:
    row = documents.loc[np.uint64(document)]
    data = row["text"].encode("utf-8")
    before, token, after = (
        data[max(0, start - CONTEXT_BYTES) : start],
        data[start:end],
        data[end : end + CONTEXT_BYTES],
    )
    return Context(
        document, row["domain"], value, *(part.decode("utf-8", "replace") for part in (before, token, after))
    )
