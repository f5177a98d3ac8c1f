"""What place alone makes of the matches of every pair of models that see images."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rosetta.analysis.columns import PLACE_COLUMNS, PLACE_TABLE_COLUMNS
from rosetta.config import Config, group_name
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_parquet, read_parquet_metadata


def place_table(config: Config, paths: Paths) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Return what place makes of the matches of every pair, and the mean of their maps.

    Returns
    -------
    table : DataFrame
        `columns.PLACE_TABLE_COLUMNS`. `share_mostly_place` is the share of matches of whose r place
        makes more than half.
    maps : dict of str to ndarray, each of shape (height, width)
        By the name of a pair; NaN where it has no match.
    """
    rows, maps = [], {}
    for a, b in config.pairs("images"):
        path = paths.place(group_name((a, b)))
        table = read_parquet(path, PLACE_COLUMNS)
        grid = read_parquet_metadata(path)["grid"]
        none = [np.full(grid[0] * grid[1], np.nan)]
        maps[group_name((a, b))] = np.mean(list(table["place_map"]) or none, axis=0).reshape(grid)
        mostly = table["r_place"] > table["r"] / 2
        means = (table["r"].mean(), table["r_place"].mean(), mostly.mean())
        rows.append((a, b, len(table), *means))
    return pd.DataFrame(rows, columns=PLACE_TABLE_COLUMNS), maps
