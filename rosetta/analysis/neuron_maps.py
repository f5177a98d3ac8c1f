"""What a neuron does on images: maps of its activations over the cells of its model's grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rosetta.activations.reader import StoreReader, runs_the_model
from rosetta.activations.store import CHUNK_UNITS, Store
from rosetta.analysis.columns import PARTNER_IMAGE_COLUMNS
from rosetta.analysis.points import groups_of, values_at
from rosetta.config.neurons import ImageScore
from rosetta.errors import StoreError

# How the value of an image follows from its cells, (n_images, n_cells, n_units).
SCORES: dict[ImageScore, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda cells: cells.mean(axis=1, dtype=np.float64),
    "max": lambda cells: cells.max(axis=1).astype(np.float64),
}


def grid_of(stores: Sequence[StoreReader]) -> tuple[int, int]:
    """Return the rows and columns of cells per image, H and W.

    Raises
    ------
    StoreError
        If the stores are not of images.
    """
    if stores[0].modality != "images":
        raise StoreError(f"{stores[0].path}: holds no images, so its neurons have no maps.")
    height, width = stores[0].manifest["holds"]["grid"]
    return height, width


def neuron_maps(stores: Sequence[StoreReader], layer: int, unit: int) -> np.ndarray:
    """Return a neuron's activations on the images of shard stores.

    Parameters
    ----------
    stores : sequence of StoreReader
        Shard stores of one model that sees images, in order.
    layer, unit : int
        The neuron.

    Returns
    -------
    ndarray of float32, shape (n_images, height, width)
        On the cells of the model's own grid.

    Raises
    ------
    StoreError
        If the stores are not of images.
    """
    grid = grid_of(stores)
    flat = layer * stores[0].d_mlp + unit
    rows = [
        parts[0][1][:, 0].float().numpy()
        for store in stores
        for _, parts in store.chunks(flat, flat + 1)
    ]
    return np.concatenate(rows).reshape(-1, *grid)


def top_images(maps: np.ndarray, n: int) -> np.ndarray:
    """Return the images with the highest mean over all cells, the highest first.

    Of equal means the first image comes first.

    Parameters
    ----------
    maps : ndarray, shape (n_images, height, width)
        `neuron_maps`.
    n : int
        How many.

    Returns
    -------
    ndarray of int64, shape (n,)
        Their numbers.
    """
    scores = maps.mean(axis=(1, 2), dtype=np.float64)
    order: np.ndarray = np.argsort(-scores, kind="stable")[:n]
    return order


def image_scores(
    stores: Sequence[StoreReader],
    layer: np.ndarray,
    unit: np.ndarray,
    score: ImageScore = "mean",
) -> np.ndarray:
    """Return the values of some neurons on each image: over all cells, the mean or the highest.

    Only chunks that hold such a neuron are read, each of them once.

    Parameters
    ----------
    stores : sequence of StoreReader
        Shard stores of one model that sees images, in order.
    layer, unit : ndarray of int, shape (n,)
        The neurons.
    score : {'mean', 'max'}
        What an image's value is.

    Returns
    -------
    ndarray of float64, shape (n, n_images)
        Images in the order of the stores.

    Raises
    ------
    StoreError
        If the stores are not of images.
    """
    height, width = grid_of(stores)
    n_cells = height * width
    joined, start_value = (np.add, 0.0) if score == "mean" else (np.maximum, -np.inf)
    found = np.full((len(layer), sum(store.n_samples for store in stores)), start_value)
    flat = layer * stores[0].d_mlp + unit
    for some in _read_together(stores, layer, unit):
        low, first = int(flat[some].min()), 0  # first: image of the store
        for store in stores:
            for start, parts in store.chunks(low, int(flat[some].max()) + 1):
                # A chunk may begin or end within an image.
                image = first + (start + np.arange(len(parts[0][1]))) // n_cells
                begins = np.flatnonzero(np.diff(image, prepend=-1))
                within = slice(image[0], image[-1] + 1)
                for offset, values in parts:
                    column = flat[some] - low - offset
                    here = (column >= 0) & (column < values.shape[1])
                    of_cells = values[:, column[here]].double().numpy()
                    part = joined.reduceat(of_cells, begins).T
                    found[some[here], within] = joined(found[some[here], within], part)
            first += store.n_samples
    return found / n_cells if score == "mean" else found


def _read_together(
    stores: Sequence[StoreReader], layer: np.ndarray, unit: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield the neurons, as indices, that are best read at once: those of a chunk, or all of them
    where each reading runs the model.
    """
    if any(map(runs_the_model, stores)) and len(layer):
        yield np.arange(len(layer))
    else:
        yield from groups_of(layer, unit // CHUNK_UNITS)


@dataclass(frozen=True)
class AllRows:
    """The rows of shard stores of which all count."""

    rows: list[np.ndarray]
    offsets: np.ndarray

    @classmethod
    def of(cls, stores: Sequence[Store]) -> AllRows:
        """Return those of stores."""
        n_rows = [store.n_positions for store in stores]
        return cls([np.arange(n) for n in n_rows], np.concatenate([[0], np.cumsum(n_rows)]))


def maps_on(
    stores: Sequence[Store], layer: np.ndarray, unit: np.ndarray, images: np.ndarray
) -> np.ndarray:
    """Return the maps of some neurons, each on images of its own.

    Only chunks that hold such a map are read, each of them once.

    Parameters
    ----------
    stores : sequence of Store
        Shard stores of one model that sees images, in order.
    layer, unit : ndarray of int, shape (n,)
        The neurons.
    images : ndarray of int, shape (n, k)
        For each, numbers of images in the order of the stores.

    Returns
    -------
    ndarray of float32, shape (n, k, height, width)

    Raises
    ------
    StoreError
        If the stores are not of images.
    """
    grid = grid_of(stores)
    n_cells = grid[0] * grid[1]
    maps = np.empty((*images.shape, n_cells), np.float32)
    positions = AllRows.of(stores)
    # Neurons of one chunk together: the others' points need not be held meanwhile.
    for some in _read_together(stores, layer, unit):
        position = images[some][..., None] * n_cells + np.arange(n_cells)
        names = (np.broadcast_to(of[some, None, None], position.shape) for of in (layer, unit))
        flat = [points.ravel() for points in (position, *names)]
        maps[some] = values_at(stores, positions, *flat).reshape(position.shape)
    return maps.reshape(*images.shape, *grid)


def partner_images(
    matches: pd.DataFrame,
    tops: tuple[pd.DataFrame, pd.DataFrame],
    stores: tuple[Sequence[Store], Sequence[Store]],
    score: ImageScore = "mean",
) -> pd.DataFrame:
    """Return what the partners of matched neurons do on the top images of these.

    Parameters
    ----------
    matches : DataFrame
        Of `matching.mutual_matches`; or some of them.
    tops : (DataFrame, DataFrame)
        `columns.TOP_IMAGE_COLUMNS` of model a and of model b, of the same images in one order.
    stores : (sequence of Store, sequence of Store)
        Shard stores of model a and of model b.
    score : {'mean', 'max'}
        What an image's value is, as in `tops`.

    Returns
    -------
    DataFrame
        `columns.PARTNER_IMAGE_COLUMNS`: for each match, the top images of a's neuron with the map
        of b's on the cells of b's grid, and its value; then those of b's neuron with the map of
        a's.
    """
    parts = []
    for own, other, side in (("a", "b", 0), ("b", "a", 1)):
        names = {f"{name}_{own}": name for name in ("model", "layer", "unit")}
        names |= {f"model_{other}": "partner"}
        names |= {f"{name}_{other}": f"partner_{name}" for name in ("layer", "unit")}
        pairs = matches[list(names)].rename(columns=names)
        shown = tops[side][["layer", "unit", "rank", "image"]]
        rows = pairs.reset_index(names="match").merge(shown, on=["layer", "unit"])
        rows = rows.sort_values(["match", "rank"], kind="stable", ignore_index=True)
        neuron = (rows[f"partner_{name}"].to_numpy(np.int64) for name in ("layer", "unit"))
        maps = maps_on(stores[1 - side], *neuron, rows["image"].to_numpy(np.int64)[:, None])
        flat = maps.reshape(len(rows), maps.shape[2] * maps.shape[3])
        values = SCORES[score](flat[..., None])[:, 0]
        parts.append(rows.assign(partner_score=values, partner_map=list(flat)))
    return pd.concat(parts, ignore_index=True)[PARTNER_IMAGE_COLUMNS]
