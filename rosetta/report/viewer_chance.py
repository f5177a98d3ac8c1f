"""What chance makes of a pair's r, for the viewer to draw beside each match."""

from __future__ import annotations

from typing import Any

import numpy as np

from rosetta.analysis.null_thresholds import NULL_TITLES, read_nulls
from rosetta.analysis.short_numbers import short_number
from rosetta.config import Config, group_name
from rosetta.run.paths import Paths

N_BINS = 50  # of equal width, over −1 to 1


def pair_chance(
    config: Config, paths: Paths, pair: tuple[str, str], limits: dict[str, float]
) -> list[dict[str, Any]]:
    """Return the correlations of a pair's matches under each null model (method, section 6).

    Parameters
    ----------
    config, paths
        The run.
    pair : (str, str)
        Two models, the anchor first.
    limits : dict
        What r has to exceed, by statistic, in the group that shows the pair
        (`replicates.group_thresholds`).

    Returns
    -------
    list of dict
        By null model: `name`; `counts`, matches per bin of r (`N_BINS`), all seeds together;
        `threshold`, what r has to exceed, None where the null gives none.
    """
    return [
        {
            "name": NULL_TITLES[name],
            "counts": binned(table["r"].to_numpy()),
            "threshold": short_number(limits.get(f"above_{name}", np.nan)),
        }
        for name, table in read_nulls(config, paths, group_name(pair)).items()
    ]


def binned(r: np.ndarray) -> list[int]:
    """Return how many correlations fall into each bin; 1 belongs to the last one."""
    counts, _ = np.histogram(np.clip(r, -1, 1), bins=N_BINS, range=(-1, 1))
    return counts.tolist()
