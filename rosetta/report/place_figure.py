"""Maps of where place alone correlates the matched neurons of models that see images."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from rosetta.report.figures import literal, panel_grid

COLUMNS = 5


def draw_place_maps(maps: dict[str, np.ndarray]) -> plt.Figure:
    """Draw the mean map of each pair's matches, all with one colour scale; a pair without any is
    left blank.

    Parameters
    ----------
    maps : dict of str to ndarray, each of shape (height, width)
        By the name of a pair; NaN where it has no match.
    """
    figure, panels = panel_grid(len(maps), 1.9, 2.0, columns=COLUMNS)
    known = [one for one in maps.values() if np.isfinite(one).all()]
    limit = max((np.abs(one).max() for one in known), default=1.0) or 1.0
    drawn = None
    for axes, (pair, one) in zip(panels, maps.items(), strict=True):
        drawn = axes.imshow(one, cmap="PuOr_r", vmin=-limit, vmax=limit)
        axes.set_title(literal(pair), fontsize="small")
        axes.set_axis_off()
    figure.colorbar(drawn, ax=panels, label="part of r that place makes", aspect=30)
    return figure
