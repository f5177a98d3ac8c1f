"""One pass over a model's stores: each neuron's distribution, firing and top contexts.

Neurons are taken in blocks of units; a block streams over all positions, so every chunk of a store
is read once and memory does not grow with the number of positions or layers. Of a live store all
blocks are filled at once, because every reading runs the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.special import rel_entr

from rosetta.activations.store import CHUNK_UNITS, Store
from rosetta.analysis.columns import CONTEXT_COLUMNS, NEURON_COLUMNS
from rosetta.analysis.token_positions import TokenPositions, runs_the_model
from rosetta.errors import StoreError
from rosetta.inputs.text.documents import document_name
from rosetta.moments import HigherMoments, Moments
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
    domains, of_document = _domains(positions, documents)
    totals = np.bincount(of_document[positions.document], minlength=len(domains))
    thresholds = _thresholds(stores, positions, firing_std)
    neurons, contexts = [], []
    places = _places(stores[0].n_layers, stores[0].d_mlp)
    passes = [places] if any(map(runs_the_model, stores)) else [[place] for place in places]
    for some in bar(passes, total=len(passes), label=label, unit="pass"):
        blocks = {
            place: _Block(thresholds[place.layer, place.units], len(domains), n_contexts)
            for place in some
        }
        _fill(blocks, stores, positions, of_document)
        for place, block in blocks.items():
            block.close()
            units = np.arange(place.units.start, place.units.stop, dtype=np.int32)
            names = {"layer": np.int32(place.layer), "unit": units}
            neurons.append(pd.DataFrame({**names, **_statistics(block, totals)}))
            contexts.append(_contexts(block, names, positions, domains, of_document))
    return Profiles(
        pd.concat(neurons, ignore_index=True)[NEURON_COLUMNS],
        pd.concat(contexts, ignore_index=True)[CONTEXT_COLUMNS],
        domains,
        totals.tolist(),
    )


def _domains(positions: TokenPositions, documents: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """Return the domains of the corpus, and the number of the domain of each document of the
    stores.
    """
    domains = sorted(documents["domain"].unique())
    number = {domain: i for i, domain in enumerate(domains)}
    by_id = dict(
        zip(documents["id"].tolist(), documents["domain"].map(number).tolist(), strict=True)
    )
    missing = set(positions.document_ids.tolist()) - by_id.keys()
    if missing:
        raise StoreError(
            f"the stores hold document {document_name(min(missing))}, which the corpus lacks. "
            "Capture the model again."
        )
    return domains, np.array(
        [by_id[id_] for id_ in positions.document_ids.tolist()], dtype=np.int64
    )


def _thresholds(
    stores: list[Store | LiveStore], positions: TokenPositions, firing_std: float | None
) -> np.ndarray:
    shape = (stores[0].n_layers, stores[0].d_mlp)
    if firing_std is None:
        return np.zeros(shape)
    of_shards = [_moments(store, rows) for store, rows in zip(stores, positions.rows, strict=True)]
    moments = reduce(Moments.merge, of_shards)
    return (moments.mean + firing_std * moments.std).reshape(shape)


def _moments(store: Store | LiveStore, rows: np.ndarray) -> Moments:
    """Return the moments of all neurons over the rows with bytes; of a live store by a pass of
    their own.
    """
    if not runs_the_model(store):
        return store.moments()
    moments = Moments.zeros(
        (store.n_layers * store.d_mlp,)
    )  # those that it tells are of its first batch only
    for start, parts in store.chunks(0, store.n_layers * store.d_mlp):
        low, high = np.searchsorted(rows, [start, start + len(parts[0][1])])
        values = [part[rows[low:high] - start].float().numpy() for _, part in parts]
        moments = moments.merge(Moments.of(np.concatenate(values, axis=1)))
    return moments


class _Place(NamedTuple):
    """A block's neurons: some units of one layer, and where they begin in the flat order of all
    neurons.
    """

    layer: int
    low: int
    high: int
    first: int

    @property
    def units(self) -> slice:
        return slice(self.low, self.high)


def _places(n_layers: int, d_mlp: int) -> list[_Place]:
    return [
        _Place(layer, low, min(low + CHUNK_UNITS, d_mlp), layer * d_mlp + low)
        for layer in range(n_layers)
        for low in range(0, d_mlp, CHUNK_UNITS)
    ]


def _fill(
    blocks: dict[_Place, _Block],
    stores: list[Store | LiveStore],
    positions: TokenPositions,
    of_document: np.ndarray,
) -> None:
    """Stream the activations of successive places, at the positions with bytes, into their
    blocks.
    """
    places = list(blocks)
    low, high = places[0].first, places[-1].first + places[-1].high - places[-1].low
    for store, rows, offset in zip(stores, positions.rows, positions.offsets, strict=False):
        for start, parts in store.chunks(low, high):
            bounds = np.searchsorted(rows, [start, start + len(parts[0][1])])
            if bounds[0] == bounds[1]:
                continue
            kept = rows[bounds[0] : bounds[1]] - start
            first = int(offset + bounds[0])
            document = positions.document[first : first + len(kept)]
            for place, values in _cut(places, low, parts):
                values = values.float().numpy()
                values = values if len(kept) == len(values) else values[kept]
                blocks[place].add(values, first, document, of_document[document])


def _cut(
    places: list[_Place], low: int, parts: list[tuple[int, torch.Tensor]]
) -> Iterator[tuple[_Place, torch.Tensor]]:
    """Yield the columns of each place in the parts, one per layer, of a chunk that begins with
    neuron `low`.
    """
    for offset, values in parts:
        for place in places:
            column = place.first - low - offset
            if 0 <= column < values.shape[1]:
                yield place, values[:, column : column + place.high - place.low]


class _Block:
    """What has been seen of a block of units: moments, firing by domain, and the top contexts."""

    def __init__(self, thresholds: np.ndarray, n_domains: int, n_contexts: int) -> None:
        n_units = len(thresholds)
        self.moments = HigherMoments.zeros((n_units,))
        self.firing = np.zeros((n_domains, n_units), dtype=np.int64)
        self.top_value = np.full((n_contexts, n_units), -np.inf, dtype=np.float32)
        self.top_position = np.full((n_contexts, n_units), -1, dtype=np.int64)
        self._thresholds = thresholds
        # The last document of a chunk may go on in the next one: its best place is offered when it
        # has ended.
        self._open: tuple[int, np.ndarray, np.ndarray] | None = None

    def add(self, values: np.ndarray, start: int, document: np.ndarray, domain: np.ndarray) -> None:
        """Add the rows of successive positions, `start` being the first one's number."""
        self.moments = self.moments.merge(HigherMoments.of(values))
        members = (np.arange(len(self.firing))[:, None] == domain).astype(np.float32)
        self.firing += (members @ (values > self._thresholds).astype(np.float32)).astype(np.int64)
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

        On ties those that are in the top already go first, then the earlier document: both came
        before in the corpus.
        """
        units = np.flatnonzero((values > self.top_value[-1]).any(axis=0))
        n = len(self.top_value)
        value = np.concatenate([self.top_value[:, units], values[:, units]])
        order = np.argsort(-value, axis=0, kind="stable")[:n]
        position = np.take_along_axis(self.top_position[:, units], np.minimum(order, n - 1), axis=0)
        for document in np.unique(order[order >= n]) - n:
            rank, column = np.nonzero(order == n + document)
            position[rank, column] = place(int(document), units[column])
        self.top_value[:, units] = np.take_along_axis(value, order, axis=0)
        self.top_position[:, units] = position


def _statistics(block: _Block, totals: np.ndarray) -> dict[str, object]:
    moments, firing = block.moments, block.firing
    return {
        "activation_mean": moments.mean,
        "activation_variance": moments.variance,
        "activation_skewness": moments.skewness,
        "activation_kurtosis": moments.excess_kurtosis,
        "fraction_active": firing.sum(axis=0) / totals.sum(),
        "domain_information": mutual_information(firing, totals),
        "domain_firing": list((firing / np.maximum(totals, 1)[:, None]).T.astype(np.float32)),
    }


def mutual_information(firing: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return the mutual information, in bits, between firing and domain: the plug-in estimate from
    counts.

    I(F; D) = Σ p(f, d) log2 [p(f, d) / (p(f) p(d))]. On N independent positions it is biased
    upwards by about (n_domains − 1) / (2 N ln 2).

    Parameters
    ----------
    firing : ndarray of int, shape (n_domains, n_units)
        Positions of each domain at which each unit fires.
    totals : ndarray of int, shape (n_domains,)
        Positions of each domain.
    """
    n = totals.sum()
    joint = np.stack([firing, totals[:, None] - firing]) / n
    independent = joint.sum(axis=1, keepdims=True) * (totals / n)[None, :, None]
    return rel_entr(joint, independent).sum(axis=(0, 1)) / np.log(2)


def _contexts(
    block: _Block,
    names: dict[str, object],
    positions: TokenPositions,
    domains: list[str],
    of_document: np.ndarray,
) -> pd.DataFrame:
    unit, rank = np.nonzero(block.top_position.T >= 0)
    position = block.top_position.T[unit, rank]
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
            "value": block.top_value.T[unit, rank],
        }
    )
