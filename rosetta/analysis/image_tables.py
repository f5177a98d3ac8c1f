"""Reading what was found of neurons on images: a model's tables hold the rows of all its stores."""

from __future__ import annotations

import pandas as pd

from rosetta.analysis.columns import (
    FACTOR_COLUMNS,
    IMAGE_NEURON_COLUMNS,
    MONOSEMANTICITY_COLUMNS,
    TOP_IMAGE_COLUMNS,
)
from rosetta.config.names import model_of_store
from rosetta.errors import StoreError
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
