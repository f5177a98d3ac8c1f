"""What the viewer shows of a group: its best Rosetta Neurons and texts around their contexts."""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rosetta.analysis.contexts import Reader
from rosetta.analysis.histograms import sampled_positions, standard_histograms
from rosetta.analysis.points import covering_tokens, expand, values_at
from rosetta.analysis.short_numbers import short_number
from rosetta.config import Viewer
from rosetta.inputs.text.documents import document_name

ANCHOR = ["layer_anchor", "unit_anchor"]


def group_excerpts(
    members: pd.DataFrame,
    models: tuple[str, ...],
    readers: dict[str, Reader],
    documents: pd.DataFrame,
    settings: Viewer,
) -> dict[str, Any]:
    """Return the viewer's data of one group, ready for JSON.

    Parameters
    ----------
    members : DataFrame
        Of `contexts.members_of`, with a column `margin`.
    models : tuple of str
        The group's models, anchor first.
    readers : dict of str to Reader
        By model.
    documents : DataFrame
        The match split: id, text, domain.
    settings : Viewer
        How many neurons and contexts, and how much text.

    Returns
    -------
    dict
        `models`; `excerpts`: document, domain, byte_start, text, and for every model the lengths of
        its tokens in UTF-16 units from the start of the text; `neurons`, highest r first (r and
        margin are the lowest of its matches): for every model the partner of highest r with its
        `scale` and `histogram` (`histograms.standard_histograms`), and the contexts, each with its
        excerpt, its rank for every model (0 if not among that model's), and for every model the
        values of its tokens as base64 of bytes: 128 + 127 · value / scale.
    """
    matches = members[members["model"] != members["model_anchor"]]
    chosen = shown_anchors(matches, settings.n_neurons)
    chosen = chosen.assign(neuron=chosen.index)
    if not len(chosen):
        return {"models": list(models), "excerpts": [], "neurons": []}
    best = members.merge(chosen[[*ANCHOR, "neuron"]], on=ANCHOR).sort_values(
        "r", ascending=False, kind="stable"
    )
    best = best.drop_duplicates(["neuron", "model"]).sort_values("neuron", kind="stable")
    partners = [best[best["model"] == model].reset_index(drop=True) for model in models]
    shown, excerpts = _shown_contexts(partners, models, readers, documents, settings)
    tokens, values, scales, histograms = [], [], [], []
    for model, partner in zip(models, partners, strict=True):
        ranges = _token_ranges(readers[model], excerpts)
        tokens.append(_token_lengths(readers[model], excerpts, *ranges))
        encoded, scale, histogram = _values(readers[model], partner, shown, *ranges)
        values.append(encoded)
        scales.append(scale)
        histograms.append(histogram)
    return {
        "models": list(models),
        "excerpts": [
            {**excerpt.described(), "tokens": [lengths[i] for lengths in tokens]}
            for i, excerpt in enumerate(excerpts)
        ],
        "neurons": _neurons(chosen, partners, scales, histograms, shown, values),
    }


@dataclass(frozen=True)
class _Excerpt:
    """A piece of a document, cut between characters."""

    document: int
    domain: str
    byte_start: int
    data: bytes

    @property
    def byte_end(self) -> int:
        return self.byte_start + len(self.data)

    def described(self) -> dict[str, Any]:
        place = {
            "document": document_name(self.document),
            "domain": self.domain,
            "byte_start": self.byte_start,
        }
        return {**place, "text": self.data.decode("utf-8")}

    def utf16_offsets(self) -> np.ndarray:
        """Return the UTF-16 offset of every byte boundary; inside a character, its end's offset."""
        data = np.frombuffer(self.data, dtype=np.uint8)
        # A character counts where it begins: one unit, or two for a character of four bytes.
        units = np.where((data & 0xC0) == 0x80, 0, np.where(data >= 0xF0, 2, 1))
        return np.concatenate([[0], np.cumsum(units)])


def shown_anchors(matches: pd.DataFrame, n_neurons: int) -> pd.DataFrame:
    """Return the anchor neurons of a group that are shown, highest r first.

    Parameters
    ----------
    matches : DataFrame
        Of the group's Rosetta Neurons: `layer_anchor`, `unit_anchor`, `r`, and `margin` if known.
    n_neurons : int
        How many are shown at most.

    Returns
    -------
    DataFrame
        The columns of `matches` that are named: r and margin are the lowest of a neuron's matches.
    """
    known = [name for name in ("r", "margin") if name in matches]
    lowest = matches.groupby(ANCHOR, as_index=False)[known].min()
    return lowest.sort_values("r", ascending=False, kind="stable", ignore_index=True).head(
        n_neurons
    )


def _shown_contexts(
    partners: list[pd.DataFrame],
    models: tuple[str, ...],
    readers: dict[str, Reader],
    documents: pd.DataFrame,
    settings: Viewer,
) -> tuple[pd.DataFrame, list[_Excerpt]]:
    """Return the contexts (neuron, excerpt, and a column of ranks per model) and the excerpts that
    they name.
    """
    parts = []
    for number, (model, partner) in enumerate(zip(models, partners, strict=True)):
        contexts = readers[model].contexts
        kept = contexts[contexts["rank"] <= settings.n_contexts]
        parts.append(
            partner[["neuron", "layer", "unit"]]
            .merge(kept, on=["layer", "unit"])
            .assign(model=number)
        )
    contexts = pd.concat(parts, ignore_index=True)
    texts = documents.set_index("id")
    numbers: dict[tuple[int, int, int], int] = {}
    excerpts: list[_Excerpt] = []
    column = []
    for document, start, end in zip(
        contexts["document"], contexts["byte_start"], contexts["byte_end"], strict=True
    ):
        data = texts.at[document, "text"].encode("utf-8")
        low, high = _window(data, start, end, settings.context_bytes)
        if (document, low, high) not in numbers:
            numbers[document, low, high] = len(excerpts)
            excerpts.append(
                _Excerpt(int(document), texts.at[document, "domain"], low, data[low:high])
            )
        column.append(numbers[document, low, high])
    contexts["excerpt"] = column
    ranks = contexts.pivot_table(
        index=["neuron", "excerpt"], columns="model", values="rank", aggfunc="min", fill_value=0
    )
    ranks = ranks.reindex(columns=range(len(models)), fill_value=0)
    return ranks.reset_index(), excerpts


def _window(data: bytes, start: int, end: int, context_bytes: int) -> tuple[int, int]:
    """Return the bytes to show around a token, cut between characters; a short document is shown
    whole.
    """
    if len(data) <= 4 * context_bytes:
        return 0, len(data)
    low, high = max(0, start - context_bytes), min(len(data), end + context_bytes)
    while data[low] & 0xC0 == 0x80:
        low -= 1
    while high < len(data) and data[high] & 0xC0 == 0x80:
        high += 1
    return low, high


def _token_ranges(reader: Reader, excerpts: list[_Excerpt]) -> tuple[np.ndarray, np.ndarray]:
    document = reader.positions.index_of(
        np.array([excerpt.document for excerpt in excerpts], dtype=np.uint64)
    )
    starts = np.array([excerpt.byte_start for excerpt in excerpts])
    return covering_tokens(
        reader.positions, document, starts, np.array([excerpt.byte_end for excerpt in excerpts])
    )


def _token_lengths(
    reader: Reader, excerpts: list[_Excerpt], first: np.ndarray, last: np.ndarray
) -> list[list[int]]:
    lengths = []
    for excerpt, low, high in zip(excerpts, first, last, strict=True):
        ends = (
            np.minimum(reader.positions.byte_end[low:high], excerpt.byte_end) - excerpt.byte_start
        )
        lengths.append(np.diff(excerpt.utf16_offsets()[ends], prepend=0).tolist())
    return lengths


def _values(
    reader: Reader, partner: pd.DataFrame, shown: pd.DataFrame, first: np.ndarray, last: np.ndarray
) -> tuple[list[str], np.ndarray, list[list[int]]]:
    """Return the encoded values of every context's tokens, and the scale and the histogram of every
    neuron.

    All are read at once, because every reading of a live store runs the model.
    """
    excerpt, neuron = shown["excerpt"].to_numpy(), shown["neuron"].to_numpy()
    members, offsets = expand(first[excerpt], last[excerpt])
    sample = sampled_positions(len(reader.positions), len(partner))
    owner = np.repeat(neuron, np.diff(offsets))
    owners = np.concatenate([owner, np.repeat(np.arange(len(partner)), len(sample))])
    position = np.concatenate([members, np.tile(sample, len(partner))])
    layer, unit = partner["layer"].to_numpy(np.int64), partner["unit"].to_numpy(np.int64)
    read = values_at(reader.stores, reader.positions, position, layer[owners], unit[owners])
    values, sampled = read[: len(members)], read[len(members) :]
    scale = np.zeros(len(partner), dtype=np.float32)
    np.maximum.at(scale, owner, np.abs(values))
    shares = np.divide(values, scale[owner], out=np.zeros_like(values), where=scale[owner] > 0)
    codes = (128 + np.rint(127 * shares)).astype(np.uint8).tobytes()
    encoded = [
        base64.b64encode(codes[low:high]).decode("ascii")
        for low, high in itertools.pairwise(offsets)
    ]
    return encoded, scale, standard_histograms(sampled.reshape(len(partner), len(sample)))


def _neurons(
    chosen: pd.DataFrame,
    partners: list[pd.DataFrame],
    scales: list[np.ndarray],
    histograms: list[list[list[int]]],
    shown: pd.DataFrame,
    values: list[list[str]],
) -> list[dict[str, Any]]:
    neurons = [
        {
            "r": short_number(row.r),
            "margin": short_number(row.margin),
            "partners": [],
            "contexts": [],
        }
        for row in chosen.itertuples()
    ]
    for partner, scale, counted in zip(partners, scales, histograms, strict=True):
        for row, top, counts in zip(partner.itertuples(), scale, counted, strict=True):
            place = {
                "layer": int(row.layer),
                "unit": int(row.unit),
                "r": short_number(row.r),
                "scale": short_number(top),
                "histogram": counts,
            }
            neurons[row.neuron]["partners"].append(place)
    for i, row in enumerate(shown.to_numpy().tolist()):
        neuron, excerpt, *ranks = row
        context = {"excerpt": excerpt, "ranks": ranks, "values": [encoded[i] for encoded in values]}
        neurons[neuron]["contexts"].append(context)
    return neurons
