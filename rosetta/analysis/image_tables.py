"""Reading what was found of neurons on images: a model's tables hold the rows of all its stores."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rosetta.activations.captured import read_held
from rosetta.analysis.columns import (
    FACTOR_COLUMNS,
    IMAGE_NEURON_COLUMNS,
    MONOSEMANTICITY_COLUMNS,
    TOP_IMAGE_COLUMNS,
)
from rosetta.config.names import model_of_store
from rosetta.errors import StoreError
from rosetta.models.neurons import Neuron
from rosetta.run.paths import Paths
from rosetta.storage.damage import how_to_recompute
from rosetta.storage.tables import read_parquet

COLUMNS = {
    "neurons": IMAGE_NEURON_COLUMNS,
    "top_images": TOP_IMAGE_COLUMNS,
    "monosemanticity": MONOSEMANTICITY_COLUMNS,
    "factors": FACTOR_COLUMNS,
}


def read_image_table(paths: Paths, kind: str, store: str) -> pd.DataFrame:
    """Return the rows of one name of stores of a model's table.

    Parameters
    ----------
    paths : Paths
        The run.
    kind : str
        One of `COLUMNS`, which is also its name in `Paths`.
    store : str
        Name of the stores, such as `vit-s@pmf-s`.

    Raises
    ------
    StoreError
        If the table is missing, damaged or without these stores; of factors, which only drawn
        images have, none is needed.
    """
    path = getattr(paths, kind)(model_of_store(store))
    table = read_parquet(path, ["stores", *COLUMNS[kind]])
    found = table[table["stores"] == store].drop(columns="stores").reset_index(drop=True)
    if found.empty and kind in ("neurons", "top_images"):
        raise StoreError(f"{path}: has nothing of the stores {store}. {how_to_recompute(path)}")
    return found


@dataclass(frozen=True)
class TopMaps:
    """A neuron on its top images.

    Attributes
    ----------
    images : ndarray of int64, shape (n,)
        Numbers of the images in the order of the stores, the most active first.
    maps : ndarray of float32, shape (n, height, width)
        Its activations over the cells of its model's grid.
    """

    images: np.ndarray
    maps: np.ndarray

    def head(self, n: int) -> TopMaps:
        """Return the first n images, or all if there are fewer."""
        return TopMaps(self.images[:n], self.maps[:n])


def read_top_maps(paths: Paths, store: str, neurons: Collection[Neuron]) -> dict[Neuron, TopMaps]:
    """Return what some neurons do on their top images.

    Parameters
    ----------
    paths : Paths
        The run.
    store : str
        Name of the stores, such as `vit-s@pmf-s`.
    neurons : collection of Neuron
        Those that are wanted.

    Raises
    ------
    StoreError
        If the table is missing, damaged, or has nothing of one of them.
    """
    model = model_of_store(store)
    table = read_image_table(paths, "top_images", store)
    wanted = pd.DataFrame(neurons, columns=["layer", "unit"]).drop_duplicates()
    found = wanted.merge(table, on=["layer", "unit"]).sort_values("rank", kind="stable")
    grid = read_held(paths.captured(model), store).grid
    tops = {
        Neuron(*map(int, neuron)): TopMaps(
            part["image"].to_numpy(np.int64), np.stack(part["map"].tolist()).reshape(-1, *grid)
        )
        for neuron, part in found.groupby(["layer", "unit"], sort=False)
    }
    missing = [neuron for neuron in neurons if neuron not in tops]
    if missing:
        path = paths.top_images(model)
        raise StoreError(
            f"{path}: has nothing of layer {missing[0].layer}, unit {missing[0].unit} of {store}. "
            "Name a neuron that the model has."
        )
    return tops
