"""What the viewer shows of a group of models that see images: its best Rosetta Neurons, the images
that fire them most, and the maps of all models on these.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rosetta.activations.store import Store
from rosetta.analysis.excerpts import shown_anchors
from rosetta.analysis.histograms import sampled_positions, standard_histograms
from rosetta.analysis.neuron_maps import AllRows, grid_of
from rosetta.analysis.points import values_at
from rosetta.analysis.short_numbers import short_number
from rosetta.config import Viewer

ANCHOR = ["layer_anchor", "unit_anchor"]
_PARTNER = ["partner_layer", "partner_unit"]


@dataclass(frozen=True)
class ImageMember:
    """A model of a group.

    Attributes
    ----------
    model, store : str
        Its name, and that of its stores on the group's images, such as `vit-s@pmf-s`.
    stores : sequence of Store
        Its shard stores.
    tops : DataFrame
        `columns.TOP_IMAGE_COLUMNS`.
    partners : DataFrame
        `columns.PARTNER_IMAGE_COLUMNS` of its comparison with the anchor; of the anchor itself, of
        all its comparisons.
    """

    model: str
    store: str
    stores: Sequence[Store]
    tops: pd.DataFrame
    partners: pd.DataFrame


def image_group_excerpts(
    members: pd.DataFrame,
    group: Sequence[ImageMember],
    described: Callable[[list[int]], list[dict[str, Any]]],
    settings: Viewer,
) -> dict[str, Any]:
    """Return the viewer's data of one group, ready for JSON.

    Parameters
    ----------
    members : DataFrame
        Of `contexts.members_of`, with a column `margin`.
    group : sequence of ImageMember
        The group's models, anchor first.
    described : callable
        From numbers of images, in the order of the stores, to what is told of them: `document`,
        `domain`, `text` and `picture`.
    settings : Viewer
        How many neurons, and images of each.

    Returns
    -------
    dict
        As `excerpts.group_excerpts` returns, an image in the place of a text: `models`, names of
        stores; `grids`, rows and columns of their cells; `excerpts`, what `described` returns; and
        `neurons`, whose contexts have in the place of tokens' values the `scores` of all models
        (None where one was not compared on the image) and their `maps`: base64 of bytes, 0 at the
        neuron's lowest and 255 at its highest value among the images shown.
    """
    matches = members[members["model"] != members["model_anchor"]]
    chosen = shown_anchors(matches, settings.n_neurons).assign(neuron=lambda table: table.index)
    best = members.merge(chosen[[*ANCHOR, "neuron"]], on=ANCHOR)
    best = best.sort_values("r", ascending=False, kind="stable")
    best = best.drop_duplicates(["neuron", "model"]).sort_values("neuron", kind="stable")
    places = [best[best["model"] == one.model].reset_index(drop=True) for one in group]
    shown = [
        _maps_of_neuron([place.iloc[neuron] for place in places], group, settings.n_contexts)
        for neuron in range(len(chosen))
    ]
    images = sorted({image for maps in shown for image in maps})
    numbers = {image: number for number, image in enumerate(images)}
    histograms = [_histograms(one, place) for one, place in zip(group, places, strict=True)]
    neurons = []
    for neuron, row in enumerate(chosen.itertuples()):
        partners = [
            {
                "layer": int(place.at[neuron, "layer"]),
                "unit": int(place.at[neuron, "unit"]),
                "r": short_number(place.at[neuron, "r"]),
                "histogram": counted[neuron],
            }
            for place, counted in zip(places, histograms, strict=True)
        ]
        contexts = _encoded(shown[neuron], numbers, len(group))
        told = {"r": short_number(row.r), "margin": short_number(row.margin)}
        neurons.append({**told, "partners": partners, "contexts": contexts})
    return {
        "models": [one.store for one in group],
        "grids": [list(grid_of(one.stores)) for one in group],
        "excerpts": [
            {**one, "byte_start": 0, "tokens": [[]] * len(group)} for one in described(images)
        ],
        "neurons": neurons,
    }


@dataclass
class _Shown:
    """An image of a neuron: each model's rank (0 if it is no top one), score and map if known."""

    ranks: list[int]
    scores: list[float | None]
    maps: list[np.ndarray | None]


def _maps_of_neuron(
    places: list[pd.Series], group: Sequence[ImageMember], n_images: int
) -> dict[int, _Shown]:
    """Return the top images of a neuron and its partners, with all maps on them that are known."""
    n = len(group)
    found: dict[int, _Shown] = {}

    def note(image: int, number: int, score: float, values: np.ndarray, rank: int = 0) -> None:
        one = found.setdefault(image, _Shown([0] * n, [None] * n, [None] * n))
        one.scores[number], one.maps[number] = float(score), values
        one.ranks[number] = rank or one.ranks[number]

    for number, (place, one) in enumerate(zip(places, group, strict=True)):
        tops = _of_neuron(one.tops, ["layer", "unit"], place)
        for row in tops[tops["rank"] <= n_images].itertuples():
            note(int(row.image), number, row.score, row.map, int(row.rank))
    pairs = [(0, other) for other in range(1, n)]
    for own, partner in [*pairs, *((b, a) for a, b in pairs)]:
        table = group[own or partner].partners  # of the comparison of both
        table = table[(table["model"] == group[own].model) & (table["rank"] <= n_images)]
        table = _of_neuron(table, ["layer", "unit"], places[own])
        for row in _of_neuron(table, _PARTNER, places[partner]).itertuples():
            note(int(row.image), partner, row.partner_score, row.partner_map)
    return found


def _of_neuron(table: pd.DataFrame, columns: list[str], place: pd.Series) -> pd.DataFrame:
    layer, unit = (table[name] for name in columns)
    return table[(layer == place["layer"]) & (unit == place["unit"])]


def _encoded(
    shown: dict[int, _Shown], numbers: dict[int, int], n_models: int
) -> list[dict[str, Any]]:
    """Return a neuron's images, each model's maps from its lowest to its highest value on them."""
    limits = []
    for number in range(n_models):
        known = [one.maps[number] for one in shown.values() if one.maps[number] is not None]
        limits.append((min(map(np.min, known)), max(map(np.max, known))) if known else (0.0, 0.0))
    return [
        {
            "excerpt": numbers[image],
            "ranks": one.ranks,
            "scores": [None if score is None else short_number(score) for score in one.scores],
            "maps": [
                None if values is None else _bytes(values, *limit)
                for values, limit in zip(one.maps, limits, strict=True)
            ],
        }
        for image, one in shown.items()
    ]


def _bytes(values: np.ndarray, low: float, high: float) -> str:
    spread = high - low
    shares = (
        (np.asarray(values, np.float64) - low) / spread if spread > 0 else np.zeros(len(values))
    )
    return base64.b64encode(np.rint(255 * shares).astype(np.uint8).tobytes()).decode("ascii")


def _histograms(one: ImageMember, place: pd.DataFrame) -> list[list[int]]:
    """Return the distribution of each neuron's activations over a sample of cells."""
    rows = AllRows.of(one.stores)
    sample = sampled_positions(int(rows.offsets[-1]), len(place))
    layer, unit = (
        np.repeat(place[name].to_numpy(np.int64), len(sample)) for name in ("layer", "unit")
    )
    values = values_at(one.stores, rows, np.tile(sample, len(place)), layer, unit)
    return standard_histograms(values.reshape(len(place), len(sample)))
