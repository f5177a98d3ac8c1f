"""One pass over a model's stores of images: each neuron's distribution, firing and top images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from rosetta.activations.store import Store
from rosetta.analysis.class_purity import chance_purity, class_purity
from rosetta.analysis.columns import (
    IMAGE_NEURON_COLUMNS,
    MONOSEMANTICITY_COLUMNS,
    TOP_IMAGE_COLUMNS,
)
from rosetta.analysis.monosemanticity import SimilaritySums
from rosetta.analysis.neuron_blocks import (
    Distribution,
    NeuronBlock,
    TopList,
    firing_thresholds,
    kept_in,
    passes,
    read_blocks,
)
from rosetta.analysis.neuron_maps import SCORES, grid_of
from rosetta.analysis.sample_classes import classes_of
from rosetta.config.neurons import ImageScore
from rosetta.errors import StoreError
from rosetta.progress import bar


@dataclass(frozen=True)
class ProfileSettings:
    """What is looked for.

    Attributes
    ----------
    n_images : int
        Top images kept per neuron; all, if there are fewer.
    score : {'mean', 'max'}
        What an image's value is: the mean over all cells of the model's grid, or the highest.
    firing_std : float or None
        A neuron fires at a cell where its value exceeds its mean by this many standard deviations;
        if None, where its value is positive.
    """

    n_images: int = 20
    score: ImageScore = "mean"
    firing_std: float | None = None


@dataclass(frozen=True)
class ImageProfiles:
    """What the pass finds.

    Attributes
    ----------
    neurons : DataFrame
        `IMAGE_NEURON_COLUMNS`: as of text, with cells for tokens and classes for domains.
        `domain_purity` is the share of the commonest class among the top images, NaN of a dead
        neuron.
    top_images : DataFrame
        `TOP_IMAGE_COLUMNS`, ordered by neuron and rank. `image` is the number of the image in the
        order of the stores, `map` the activations on the cells of the model's grid, row by row.
    monosemanticity : DataFrame
        `MONOSEMANTICITY_COLUMNS`, the neurons once per encoder. `mean_similarity` is the mean over
        all pairs of images: the score of a neuron that tells no image from another.
    classes : list of str
        In the order of `domain_firing`.
    class_images : list of int
        Images of each class.
    chance_purity : float
        What `domain_purity` would be on average if the top images were drawn at random.
    """

    neurons: pd.DataFrame
    top_images: pd.DataFrame
    monosemanticity: pd.DataFrame
    classes: list[str]
    class_images: list[int]
    chance_purity: float


def profile_on_images(
    stores: Sequence[Store],
    images: pd.DataFrame,
    settings: ProfileSettings | None = None,
    embeddings: Mapping[str, np.ndarray] | None = None,
    label: str = "",
) -> ImageProfiles:
    """Profile all neurons of a model that sees images, or makes them.

    Of images of equal value the first comes first. What is held of a block of neurons does not grow
    with the number of images.

    Parameters
    ----------
    stores : sequence of Store
        Shard stores of the model, in order.
    images : DataFrame
        The images that it is shown or makes: id, domain (their class).
    settings : ProfileSettings, optional
        What is looked for.
    embeddings : mapping of str to ndarray, each of shape (n_images, d), optional
        By encoder, vectors of the images in the order of the stores.
    label : str
        Name on the progress bar.

    Raises
    ------
    StoreError
        If the stores are of no images, hold one that is not among `images`, or an encoder has
        another number of them.
    """
    settings, embeddings = settings or ProfileSettings(), embeddings or {}
    n_cells = int(np.prod(grid_of(stores)))
    shown = _Shown.of(stores, images, embeddings)
    totals = np.bincount(shown.of_image, minlength=len(shown.classes))
    n_top = min(settings.n_images, len(shown.ids))
    thresholds = firing_thresholds(stores, settings.firing_std)
    tables: list[_Tables] = []
    of_stores = passes(stores)
    for some in bar(of_stores, total=len(of_stores), label=label, unit="pass"):
        found = {
            block: _TopImages(shown, thresholds[block.layer, block.units], n_top, n_cells)
            for block in some
        }
        score = SCORES[settings.score]
        for store in stores:
            for _, _, parts in read_blocks(store, some):
                for block, part in parts:
                    found[block].add(part.float().numpy(), score)
        tables += [one.tables(block, totals * n_cells) for block, one in found.items()]
    return ImageProfiles(
        pd.concat([one.neurons for one in tables], ignore_index=True)[IMAGE_NEURON_COLUMNS],
        pd.concat([one.top_images for one in tables], ignore_index=True)[TOP_IMAGE_COLUMNS],
        _by_encoder([one.monosemanticity for one in tables], list(embeddings)),
        shown.classes,
        totals.tolist(),
        chance_purity(totals.tolist(), n_top),
    )


@dataclass(frozen=True)
class _Shown:
    """The images of stores, in their order."""

    ids: np.ndarray
    classes: list[str]
    of_image: np.ndarray
    embeddings: Mapping[str, np.ndarray]

    @classmethod
    def of(
        cls,
        stores: Sequence[Store],
        images: pd.DataFrame,
        embeddings: Mapping[str, np.ndarray],
    ) -> _Shown:
        ids = np.concatenate([store.read("image_ids") for store in stores])
        for encoder, vectors in embeddings.items():
            if len(vectors) != len(ids):
                raise StoreError(
                    f"{stores[0].path.parent}: holds {len(ids)} images, and {encoder} was shown "
                    f"{len(vectors)}. Show it those of the stores."
                )
        return cls(ids, *classes_of(ids, images, "image"), embeddings)


@dataclass(frozen=True)
class _Tables:
    """What is found of a block."""

    neurons: pd.DataFrame
    top_images: pd.DataFrame
    monosemanticity: list[pd.DataFrame] = field(default_factory=list)


class _TopImages:
    """What has been seen of a block of units: distribution, similarities and the top images."""

    def __init__(self, shown: _Shown, thresholds: np.ndarray, n_top: int, n_cells: int) -> None:
        n_units = len(thresholds)
        self._shown, self._n_seen = shown, 0
        self._distribution = Distribution(thresholds, len(shown.classes))
        self._top = TopList(n_top, n_units, np.float64)
        self._image = np.full((n_top, n_units), -1, dtype=np.int64)
        self._maps = np.empty((n_top, n_units, n_cells), dtype=np.float32)
        # A chunk may end within an image: its rows wait for the next chunk.
        self._rest = np.empty((0, n_units), dtype=np.float32)
        self._similarities = {
            encoder: SimilaritySums(n_units, vectors.shape[1])
            for encoder, vectors in shown.embeddings.items()
        }

    def add(self, rows: np.ndarray, score: Callable[[np.ndarray], np.ndarray]) -> None:
        """Add the values (n_rows, n_units) of successive cells."""
        rows = np.concatenate([self._rest, rows]) if len(self._rest) else rows
        n_cells = self._maps.shape[2]
        n_whole = len(rows) // n_cells
        self._rest = rows[n_whole * n_cells :].copy()  # a view would keep all of `rows`
        if not n_whole:
            return
        rows = rows[: n_whole * n_cells]
        seen = slice(self._n_seen, self._n_seen + n_whole)
        self._distribution.add(rows, np.repeat(self._shown.of_image[seen], n_cells))
        images = rows.reshape(n_whole, n_cells, -1)
        values = score(images)
        for encoder, sums in self._similarities.items():
            sums.add(values, self._shown.embeddings[encoder][seen])
        self._insert(values, images)
        self._n_seen = seen.stop

    def _insert(self, values: np.ndarray, images: np.ndarray) -> None:
        n = len(self._image)
        units, order = self._top.insert(values)
        image = kept_in(self._image, units, order)
        maps = kept_in(self._maps, units, order)
        rank, column = np.nonzero(order >= n)
        new = order[rank, column] - n
        image[rank, column] = self._n_seen + new
        maps[rank, column] = images[new, :, units[column]]
        self._image[:, units], self._maps[:, units] = image, maps

    def tables(self, block: NeuronBlock, totals: np.ndarray) -> _Tables:
        """Return what was found, with so many cells of each class."""
        statistics = self._distribution.columns(totals)
        purity = class_purity(self._shown.of_image[self._image], len(self._shown.classes))
        dead = np.asarray(statistics["activation_variance"]) == 0
        statistics["domain_purity"] = np.where(dead, np.nan, purity)
        names = block.names
        similar = [
            pd.DataFrame(
                {
                    **names,
                    "encoder": encoder,
                    "monosemanticity": sums.scores(),
                    "mean_similarity": sums.mean_similarity(),
                }
            )
            for encoder, sums in self._similarities.items()
        ]
        return _Tables(pd.DataFrame({**names, **statistics}), self._table(names), similar)

    def _table(self, names: dict[str, object]) -> pd.DataFrame:
        n_top, n_units = self._image.shape
        image = self._image.T.ravel()
        return pd.DataFrame(
            {
                "layer": names["layer"],
                "unit": np.repeat(np.asarray(names["unit"]), n_top),
                "rank": np.tile(np.arange(1, n_top + 1, dtype=np.int16), n_units),
                "image": image,
                "image_id": self._shown.ids[image],
                "domain": pd.Categorical.from_codes(
                    self._shown.of_image[image], self._shown.classes
                ),
                "score": self._top.value.T.ravel(),
                "map": list(self._maps.swapaxes(0, 1).reshape(len(image), -1)),
            }
        )


def _by_encoder(of_blocks: list[list[pd.DataFrame]], encoders: list[str]) -> pd.DataFrame:
    """Return the tables of all blocks and encoders as one, encoder after encoder."""
    if not encoders:
        return pd.DataFrame(columns=MONOSEMANTICITY_COLUMNS)
    parts = [part for of_encoder in zip(*of_blocks, strict=True) for part in of_encoder]
    return pd.concat(parts, ignore_index=True)[MONOSEMANTICITY_COLUMNS]
