"""Contact sheets: best matches of models that see images, on the images that they fire on."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np

from rosetta.activations.folders import open_stores
from rosetta.analysis.neuron_maps import neuron_maps, top_images
from rosetta.config import PAIR_SEPARATOR, Config
from rosetta.config.names import generator_of_store
from rosetta.inputs.images.image_sets import ImageSet
from rosetta.matching.mutual import MATCH_COLUMNS
from rosetta.report.figures import literal
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.storage.tables import read_parquet

N_IMAGES = 4  # per match
_CELL = 0.62  # inches of a picture
_COLORS = "viridis"


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

    Images are those on which the anchor's neuron has the highest mean over all cells. A map goes
    from the lowest to the highest value of its neuron on the images of its row, and is enlarged
    bilinearly.
    """
    stores = [open_stores(folder) for folder in files.store_folders(config, paths, pair)]
    shapes = [side[0].shape for side in stores]
    matches = read_parquet(paths.matches(pair), MATCH_COLUMNS).nlargest(
        config.report.n_matches, "r"
    )
    shown = _ShownImages.of(config, paths, pair)
    found = []
    for match in matches.to_dict("records"):
        places = [(match[f"layer_{side}"], match[f"unit_{side}"]) for side in "ab"]
        maps = [neuron_maps(side, *place) for side, place in zip(stores, places, strict=True)]
        top = top_images(maps[0], N_IMAGES)
        names = [shape.name(*place) for shape, place in zip(shapes, places, strict=True)]
        title = (
            f"{match['model_a']} {names[0]} and {match['model_b']} {names[1]}, r {match['r']:.2f}"
        )
        found.append(MatchOnImages(title, shown.pixels(top), (maps[0][top], maps[1][top])))
    return _draw(found, pair)


@dataclass(frozen=True)
class _ShownImages:
    """The images that a pair's stores are of, in their order."""

    sets: list[ImageSet]
    n_images: int

    @classmethod
    def of(cls, config: Config, paths: Paths, pair: str) -> _ShownImages:
        anchor, other = config.stores_of(pair)
        generator = anchor if config.is_generator(anchor) else generator_of_store(other)
        n_shards = config.activations.n_shards
        if generator is None:
            sets = [ImageSet(paths.image_set("match"))]
        else:
            sets = [ImageSet(paths.generated(generator, n_shards, i)) for i in range(n_shards)]
        return cls(sets, sum(one.n_images for one in sets))

    def pixels(self, numbers: np.ndarray) -> np.ndarray:
        """Return images by their numbers through all sets, shape (n, size, size, 3)."""
        ends = np.cumsum([one.n_images for one in self.sets])
        found = []
        for number in numbers.tolist():
            which = int(np.searchsorted(ends, number, side="right"))
            place = number - (int(ends[which - 1]) if which else 0)
            found.append(self.sets[which].pixels(place, place + 1)[0])
        return np.stack(found)


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
        limits = [(one.min(), one.max()) for one in match.maps]
        for i, image in enumerate(match.images):
            axes[3 * i].imshow(image)
            for side, (low, high) in enumerate(limits):
                axes[3 * i + 1 + side].imshow(
                    match.maps[side][i], cmap=_COLORS, vmin=low, vmax=high, interpolation="bilinear"
                )
    return figure
