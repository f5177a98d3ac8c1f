"""Labels beside the ends of lines, spread so that none covers another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import isotonic_regression

# Height of a line, as a multiple of the font's; the layout leaves axes less high than they begin.
_LINE = 1.5


@dataclass(frozen=True)
class EndLabel:
    """What the end of a line is called.

    Attributes
    ----------
    x, y : float
        The end of the line, in the units of the axes.
    text : str
        One line or several.
    color : Any
        As Matplotlib takes it.
    """

    x: float
    y: float
    text: str
    color: Any


def label_ends(axes: plt.Axes, labels: list[EndLabel]) -> None:
    """Write labels to the right of the axes, each with a thin line to the end that it names.

    Labels stand as near to their ends as those above and below leave room: the sum of the squares
    of their shifts is the smallest (isotonic regression).

    Parameters
    ----------
    axes : Axes
        With its limits and scale set, in a figure of its final size.
    labels : list of EndLabel
        In any order; ends that are not finite are left out.
    """
    labels = [label for label in labels if np.isfinite([label.x, label.y]).all()]
    labels = sorted(labels, key=lambda label: label.y)
    if not labels:
        return
    pixels = axes.transData.transform([(label.x, label.y) for label in labels])
    wanted = axes.transAxes.inverted().transform(pixels)[:, 1].clip(0, 1)
    points = 72 * axes.get_window_extent().height / axes.get_figure(root=True).dpi
    line = _LINE * plt.rcParams["font.size"] / points
    lines = np.array([label.text.count("\n") + 1 for label in labels])
    places = spread(wanted, line * lines)
    for label, place in zip(labels, places, strict=True):
        axes.annotate(
            label.text,
            (label.x, label.y),
            (1.06, place),
            textcoords="axes fraction",
            color=label.color,
            va="center",
            linespacing=1.0,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": label.color,
                "lw": 0.5,
                "shrinkA": 1,
                "shrinkB": 3,
                "relpos": (0, 0.5),
            },
        )


def spread(wanted: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Return the centres of labels of some heights that do not overlap, nearest to those wanted.

    Parameters
    ----------
    wanted, heights : ndarray, shape (n,)
        Centres in ascending order, and heights, as shares of the axes. Labels are moved together
        into the axes if they fit, else they begin at the bottom.
    """
    stacked = np.cumsum(heights) - heights / 2  # centres of labels that touch, from 0
    centers = isotonic_regression(wanted - stacked).x + stacked
    centers = np.minimum(centers, 1 - (heights.sum() - stacked))
    return np.maximum(centers, stacked)
