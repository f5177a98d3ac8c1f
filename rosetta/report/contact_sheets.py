"""Contact sheets: best matches of models that see images, on the images that they fire on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from rosetta.activations.captured import read_held
from rosetta.analysis.columns import PARTNER_IMAGE_COLUMNS
from rosetta.analysis.image_tables import read_image_table
from rosetta.config import PAIR_SEPARATOR, Config
from rosetta.config.names import model_of_store
from rosetta.drawing.heat_maps import heat_maps
from rosetta.inputs.images.shown_images import ShownImages
from rosetta.matching.mutual import MATCH_COLUMNS
from rosetta.report.figures import literal
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_parquet

N_IMAGES = 4  # per match
_CELL = 0.62  # inches of a picture
_SIDE = 128  # pixels of a map


@dataclass(frozen=True)
class MatchOnImages:
    """A match, and what both of its neurons do on the images that the anchor's fires on most.

    Attributes
    ----------
    title : str
        Names of the neurons, and their correlation.
    images : ndarray of uint8, shape (n, size, size, 3)
    maps : tuple of ndarray, each of shape (n, height, width)
        Of the anchor's neuron, and of its partner.
    """

    title: str
    images: np.ndarray
    maps: tuple[np.ndarray, np.ndarray]


def draw_contact_sheet(config: Config, paths: Paths, pair: str) -> plt.Figure:
    """Draw the best matches of a pair, a row each: images, and the maps of both neurons.

    Images are the top ones of the anchor's neuron (`selectivity.image_score`). A map goes
    from the lowest to the highest value of its neuron on the images of its row, and is enlarged
    bilinearly.
    """
    plt.rcdefaults()  # what a process has drawn before must not show
    stores = config.stores_of(pair)
    matches = read_parquet(paths.matches(pair), MATCH_COLUMNS).nlargest(
        config.report.n_matches, "r"
    )
    shown = ShownImages.of(config, paths, stores[0])
    maps = _Maps.of(config, paths, pair)
    found = []
    for match in matches.to_dict("records"):
        names = [f"L{match[f'layer_{side}']}/U{match[f'unit_{side}']}" for side in "ab"]
        title = (
            f"{match['model_a']} {names[0]} and {match['model_b']} {names[1]}, r {match['r']:.2f}"
        )
        images, of_both = maps.of_match(match)
        found.append(MatchOnImages(title, shown.pixels(images), of_both))
    return _draw(found, pair)


@dataclass(frozen=True)
class _Maps:
    """The maps of a pair's anchor on its top images, and of its partners on the same.

    Attributes
    ----------
    own, partners : DataFrame
        `columns.TOP_IMAGE_COLUMNS` and `columns.PARTNER_IMAGE_COLUMNS`, in the order of ranks.
    grids : tuple of (int, int)
        Rows and columns of cells of both models.
    """

    own: pd.DataFrame
    partners: pd.DataFrame
    grids: tuple[tuple[int, int], tuple[int, int]]

    @classmethod
    def of(cls, config: Config, paths: Paths, pair: str) -> _Maps:
        stores = config.stores_of(pair)
        own = read_image_table(paths, "top_images", stores[0])
        partners = read_parquet(paths.partner_images(pair), PARTNER_IMAGE_COLUMNS)
        partners = partners[partners["model"] == pair.split(PAIR_SEPARATOR)[0]]
        own, partners = (part[part["rank"] <= N_IMAGES] for part in (own, partners))
        first, second = (read_held(paths.captured(model_of_store(name)), name) for name in stores)
        return cls(own, partners, (first.grid, second.grid))

    def of_match(self, match: dict[str, Any]) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Return numbers of images (n,), and both maps, each (n, height, width)."""
        layer, unit = match["layer_a"], match["unit_a"]
        own = self.own[(self.own["layer"] == layer) & (self.own["unit"] == unit)]
        partners = self.partners[
            (self.partners["layer"] == layer)
            & (self.partners["unit"] == unit)
            & (self.partners["partner_layer"] == match["layer_b"])
            & (self.partners["partner_unit"] == match["unit_b"])
        ]
        anchor, partner = (
            np.stack(list(maps)).reshape(-1, *grid)
            for maps, grid in zip((own["map"], partners["partner_map"]), self.grids, strict=True)
        )
        return own["image"].to_numpy(), (anchor, partner)


def _draw(matches: list[MatchOnImages], pair: str) -> plt.Figure:
    """Draw rows of triples: an image, the anchor's map, its partner's."""
    rows = max(1, len(matches))
    size = (_CELL * 3.1 * N_IMAGES, (_CELL + 0.28) * rows + 0.4)
    figure = plt.figure(figsize=size, layout="constrained")
    anchor, other = pair.split(PAIR_SEPARATOR)
    told = f"image, map of {literal(anchor)}, map of {literal(other)}"
    figure.suptitle(told if matches else f"{told}: there is no match", fontsize=10)
    for part, match in zip(np.atleast_1d(figure.subfigures(rows)), matches, strict=False):
        part.suptitle(literal(match.title), fontsize=9, x=0.01, ha="left")
        axes = part.subplots(1, 3 * N_IMAGES, gridspec_kw={"wspace": 0.02})
        for panel in axes:
            panel.set_axis_off()
        heat = [heat_maps(one, _SIDE) for one in match.maps]
        for i, image in enumerate(match.images):
            axes[3 * i].imshow(image)
            for side, of_side in enumerate(heat):
                axes[3 * i + 1 + side].imshow(of_side[i])
    return figure
