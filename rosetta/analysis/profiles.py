"""One pass over a model's stores: each neuron's distribution, firing and top contexts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rosetta.activations.store import Store
from rosetta.analysis.columns import CONTEXT_COLUMNS, NEURON_COLUMNS
from rosetta.analysis.neuron_blocks import (
    Distribution,
    NeuronBlock,
    TopList,
    firing_thresholds,
    kept_in,
    passes,
    read_blocks,
)
from rosetta.analysis.sample_classes import classes_of
from rosetta.analysis.token_positions import TokenPositions
from rosetta.progress import bar

if TYPE_CHECKING:
    from rosetta.activations.live import LiveStore


@dataclass(frozen=True)
class Profiles:
    """What the pass finds.

    Attributes
    ----------
    neurons : DataFrame
        `NEURON_COLUMNS`, one row per neuron. `activation_kurtosis` is excess; skewness and kurtosis
        of a dead neuron are NaN. `domain_information` is the mutual information, in bits, between
        firing and the domain of the position's document. `domain_firing` lists the share of each
        domain's positions at which the neuron fires.
    contexts : DataFrame
        `CONTEXT_COLUMNS`, ordered by neuron and rank: the places where each neuron reads highest.
    domains : list of str
        The domains, in the order of `domain_firing`.
    domain_tokens : list of int
        Positions in each domain.
    """

    neurons: pd.DataFrame
    contexts: pd.DataFrame
    domains: list[str]
    domain_tokens: list[int]


def profile_neurons(
    stores: list[Store | LiveStore],
    documents: pd.DataFrame,
    n_contexts: int,
    firing_std: float | None = None,
    label: str = "",
) -> Profiles:
    """Profile all neurons of a model.

    A document's context is its highest position (the first one on ties), and ties between documents
    go to the earlier one, so the n contexts of a neuron come from n documents. Positions without
    bytes are excluded.

    Parameters
    ----------
    stores : list of Store
        Shard stores of the model, in order.
    documents : DataFrame
        The match split: id, domain.
    n_contexts : int
        Contexts kept per neuron.
    firing_std : float, optional
        A neuron fires where its value exceeds its mean by this many standard deviations; if None,
        where its value is positive.
    label : str
        Name on the progress bar.

    Raises
    ------
    StoreError
        If the stores hold a document that is not among `documents`.
    """
    positions = TokenPositions.of(stores)
    domains, of_document = classes_of(positions.document_ids, documents)
    totals = np.bincount(of_document[positions.document], minlength=len(domains))
    thresholds = firing_thresholds(stores, firing_std)
    neurons, contexts = [], []
    of_stores = passes(stores)
    for some in bar(of_stores, total=len(of_stores), label=label, unit="pass"):
        found = {
            block: _Contexts(thresholds[block.layer, block.units], len(domains), n_contexts)
            for block in some
        }
        _fill(found, stores, positions, of_document)
        for block, one in found.items():
            one.close()
            statistics = one.distribution.columns(totals)
            neurons.append(pd.DataFrame({**block.names, **statistics}))
            contexts.append(_table(one, block.names, positions, domains, of_document))
    return Profiles(
        pd.concat(neurons, ignore_index=True)[NEURON_COLUMNS],
        pd.concat(contexts, ignore_index=True)[CONTEXT_COLUMNS],
        domains,
        totals.tolist(),
    )


def _fill(
    found: dict[NeuronBlock, _Contexts],
    stores: list[Store | LiveStore],
    positions: TokenPositions,
    of_document: np.ndarray,
) -> None:
    """Stream the activations of successive blocks, at the positions with bytes, into what is found
    of them.
    """
    for store, rows, offset in zip(stores, positions.rows, positions.offsets, strict=False):
        for start, n_rows, parts in read_blocks(store, list(found)):
            bounds = np.searchsorted(rows, [start, start + n_rows])
            if bounds[0] == bounds[1]:
                continue
            kept = rows[bounds[0] : bounds[1]] - start
            first = int(offset + bounds[0])
            document = positions.document[first : first + len(kept)]
            for block, part in parts:
                values = part.float().numpy()
                values = values if len(kept) == len(values) else values[kept]
                found[block].add(values, first, document, of_document[document])


class _Contexts:
    """What has been seen of a block of units: its distribution, and the top contexts."""

    def __init__(self, thresholds: np.ndarray, n_domains: int, n_contexts: int) -> None:
        self.distribution = Distribution(thresholds, n_domains)
        self.top = TopList(n_contexts, len(thresholds), np.float32)
        self.position = np.full(self.top.value.shape, -1, dtype=np.int64)
        # The last document of a chunk may go on in the next one: its best place is offered when it
        # has ended.
        self._open: tuple[int, np.ndarray, np.ndarray] | None = None

    def add(self, values: np.ndarray, start: int, document: np.ndarray, domain: np.ndarray) -> None:
        """Add the rows of successive positions, `start` being the first one's number."""
        self.distribution.add(values, domain)
        bounds = np.concatenate([[0], np.flatnonzero(np.diff(document)) + 1, [len(document)]])
        self._extend_open(int(document[0]), values[: bounds[1]], start)
        if len(bounds) > 2:
            self.close()
            inner = bounds[1:-1]
            if len(inner) > 1:
                self._insert_documents(values, start, inner)
            self._extend_open(int(document[-1]), values[inner[-1] :], start + int(inner[-1]))

    def close(self) -> None:
        """Offer the document that is open."""
        if self._open is not None:
            _, value, position = self._open
            self._insert(value[None], lambda _document, units: position[units])
            self._open = None

    def _extend_open(self, document: int, values: np.ndarray, start: int) -> None:
        value, position = values.max(axis=0), start + values.argmax(axis=0)
        if self._open is not None and self._open[0] != document:
            self.close()
        if self._open is not None:
            _, before, earlier = self._open
            value, position = np.maximum(before, value), np.where(value > before, position, earlier)
        self._open = document, value, position

    def _insert_documents(self, values: np.ndarray, start: int, bounds: np.ndarray) -> None:
        """Offer the documents that begin and end in a chunk, given the rows between which they
        lie.
        """
        highest = np.maximum.reduceat(values[: bounds[-1]], bounds[:-1], axis=0)

        def first_place(document: int, units: np.ndarray) -> np.ndarray:
            low, high = bounds[document], bounds[document + 1]
            return start + low + values[low:high, units].argmax(axis=0)

        self._insert(highest, first_place)

    def _insert(self, values: np.ndarray, place: Callable[[int, np.ndarray], np.ndarray]) -> None:
        """Merge documents' highest values (n_documents, n_units) into the top; look up places of
        those that enter.
        """
        n = len(self.position)
        units, order = self.top.insert(values)
        position = kept_in(self.position, units, order)
        for document in np.unique(order[order >= n]) - n:
            rank, column = np.nonzero(order == n + document)
            position[rank, column] = place(int(document), units[column])
        self.position[:, units] = position


def _table(
    found: _Contexts,
    names: dict[str, object],
    positions: TokenPositions,
    domains: list[str],
    of_document: np.ndarray,
) -> pd.DataFrame:
    unit, rank = np.nonzero(found.position.T >= 0)
    position = found.position.T[unit, rank]
    document = positions.document[position]
    return pd.DataFrame(
        {
            "layer": names["layer"],
            "unit": names["unit"][unit],
            "rank": (rank + 1).astype(np.int16),
            "document": positions.document_ids[document],
            "domain": pd.Categorical.from_codes(of_document[document], domains),
            "byte_start": positions.byte_start[position],
            "byte_end": positions.byte_end[position],
            "value": found.top.value.T[unit, rank],
        }
    )
