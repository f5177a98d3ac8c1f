"""Panels of exponents: by what is counted, as a forest plot, and against the floor of r."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from rosetta.analysis.null_thresholds import NULL_TITLES
from rosetta.analysis.pairs_of_models import ALL_PAIRS
from rosetta.analysis.scaling import NOTHING_LEFT_OUT
from rosetta.report.count_panels import NULL_COLORS, lighter, wrapped
from rosetta.report.direct_labels import EndLabel, label_ends
from rosetta.report.figures import (
    NULL_MARKERS,
    TITLES,
    draw_estimates,
    interval_limits,
    literal,
)

ALL_COLOR = "black"  # of the law of all pairs
_REACH = 1.0  # how far beyond the exponents their intervals are drawn
_BESIDE = 0.02  # distance of neighbouring ladders' exponents, as a share of the axis


@dataclass(frozen=True)
class ForestGroup:
    """The exponents of one ladder, or of all pairs: one row per statistic and null.

    Attributes
    ----------
    name : str
        What is written above them.
    laws : DataFrame
        statistic (a null's is its name), alpha, alpha_ci_low, alpha_ci_high.
    color : Any
        Of the headline's row; those of other statistics are lighter, those of nulls grey.
    """

    name: str
    laws: pd.DataFrame
    color: Any


def forest_groups(
    scaling: pd.DataFrame,
    null_scaling: pd.DataFrame,
    pooled: pd.DataFrame,
    palette: Mapping[str, Any],
) -> list[ForestGroup]:
    """Return the groups of the forest plot: every ladder, and all pairs where several ladders are
    pooled.
    """
    by_ladder = pd.concat([scaling, null_scaling.rename(columns={"control": "statistic"})])
    groups = [
        ForestGroup(literal(ladder), by_ladder[by_ladder["ladder"] == ladder], color)
        for ladder, color in palette.items()
    ]
    of_all = pooled[(pooled["left_out"] == NOTHING_LEFT_OUT) & (pooled["n_ladders"] > 1)]
    for called, laws in of_all.groupby("pairs", sort=False):
        groups.append(ForestGroup(str(called), laws, ALL_COLOR))
    return [group for group in groups if len(group.laws)]


def in_columns(groups: list[ForestGroup], n: int) -> list[list[ForestGroup]]:
    """Divide groups among at most n columns of about the same height, in their order."""
    heights = np.array([len(group.laws) + 1 for group in groups])
    middles = np.cumsum(heights) - heights / 2
    places = (middles / heights.sum() * n).astype(int)
    columns = [[groups[i] for i in np.flatnonzero(places == place)] for place in range(n)]
    return [column for column in columns if column]


def n_lines(groups: list[ForestGroup]) -> int:
    """Return how many lines of text groups take, with their names."""
    return sum(len(group.laws) + 1 for group in groups)


def draw_forest(panels: list[plt.Axes], columns: list[list[ForestGroup]], headline: str) -> None:
    """Draw the exponents with their intervals, one row each, and a vertical line at 1."""
    every = pd.concat([group.laws for groups in columns for group in groups])
    limits = exponent_limits(every)
    longest = max(map(n_lines, columns))
    for axes, groups in zip(panels, columns, strict=True):
        axes.axvline(1, color="0.6", lw=0.8, ls=":", zorder=0)
        ticks: list[tuple[str, Any]] = []
        for group in groups:
            _write_name(axes, len(ticks), group)
            ticks.append(("", group.color))
            for law in group.laws.to_dict("records"):
                color, marker = _style(law["statistic"], group.color, headline)
                _draw_row(axes, len(ticks), law, limits, color=color, marker=marker)
                title = TITLES.get(law["statistic"]) or NULL_TITLES[law["statistic"]]
                ticks.append((title, color))
        axes.set_yticks(range(len(ticks)), [text for text, _ in ticks])
        for label, (_, color) in zip(axes.get_yticklabels(), ticks, strict=True):
            label.set_color(color)
        axes.tick_params(axis="y", length=0)
        axes.set(xlim=limits, ylim=(longest - 0.5, -0.5), xlabel="exponent α")
        axes.set_title("exponents, 95% intervals", loc="left")


def exponent_limits(laws: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of an axis that holds all exponents and 1."""
    low, high = interval_limits(laws, "alpha", _REACH)
    return min(low, 0.9), max(high, 1.1)


def _style(statistic: str, color: Any, headline: str) -> tuple[Any, str]:
    """Return the colour and the marker of a row."""
    if statistic in NULL_TITLES:
        return NULL_COLORS[statistic], NULL_MARKERS[statistic]
    return (color if statistic == headline else lighter(color)), "o"


def _write_name(axes: plt.Axes, y: int, group: ForestGroup) -> None:
    """Write a group's name inside the axes, in a row of its own: a long one has room there."""
    style = {"va": "center", "color": group.color, "fontweight": "bold"}
    place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    axes.annotate(group.name, (0, y), (4, 0), **place, **style)


def _draw_row(
    axes: plt.Axes, y: int, law: Mapping[str, Any], limits: tuple[float, float], **style: Any
) -> None:
    """Draw an exponent and its interval, which ends in an arrow where it leaves the limits."""
    value, ends = law["alpha"], (law["alpha_ci_low"], law["alpha_ci_high"])
    known = np.isfinite([value, *ends]).all()
    told = f"{value:z.2f}" if np.isfinite(value) else "no exponent"
    told += f" ± {(ends[1] - ends[0]) / 2:.2f}" if known else ""
    place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    axes.annotate(told, (1, y), (4, 0), va="center", color=style["color"], **place)
    if not np.isfinite(value):
        return
    if known:
        axes.hlines(y, *np.clip(ends, *limits), color=style["color"], lw=1.4)
        for end, edge, arrow in zip(ends, limits, "<>", strict=True):
            if not limits[0] <= end <= limits[1]:
                axes.plot(edge, y, arrow, color=style["color"], ms=3, clip_on=False)
    # Open, where nothing is known of its error.
    axes.plot(value, y, ms=4, mfc=style["color"] if known else "white", **style)


def draw_floors(axes: plt.Axes, table: pd.DataFrame, palette: Mapping[str, Any]) -> None:
    """Draw the exponents of matches above floors of r, of every ladder and of all pairs.

    Parameters
    ----------
    axes : Axes
        Where to draw.
    table : DataFrame
        `rosetta.analysis.setting_laws.FLOOR_SCALING_COLUMNS`.
    palette : mapping of str to Any
        The colours of the ladders.
    """
    ladders = [name for name in palette if (table["ladder"] == name).any()]
    colors = {name: palette[name] for name in ladders}
    if len(ladders) > 1:
        joined = [name for name in table["ladder"].unique() if name.startswith(ALL_PAIRS)]
        colors |= dict.fromkeys(joined, ALL_COLOR)
    limits = exponent_limits(table)
    axes.axhline(1, color="0.6", lw=0.8, ls=":")
    axes.set_ylim(limits)
    width, labels = np.ptp(table["threshold"]), []
    for place, (ladder, color) in enumerate(colors.items()):
        rows = table[table["ladder"] == ladder]
        x = rows["threshold"] + (place - (len(colors) - 1) / 2) * _BESIDE * width
        thick = 1.6 if ladder.startswith(ALL_PAIRS) else 0.9
        style = {"color": color, "marker": "o", "ms": 2.5 * thick**0.5, "lw": thick}
        draw_estimates(axes, x, rows, "alpha", limits, **style)
        known = rows["alpha"].notna()
        if known.any():
            end = float(rows["alpha"][known].iloc[-1])
            labels.append(EndLabel(float(x[known].iloc[-1]), end, wrapped(ladder), color))
    axes.set(xlabel="floor of r", ylabel="exponent α", xticks=sorted(set(table["threshold"])))
    axes.set_title("matches above a floor of r", loc="left")
    label_ends(axes, labels)
