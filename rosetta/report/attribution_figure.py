"""The figure of attribution: how many matches are confirmed by what their neurons write."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from rosetta.analysis.attribution import R_BINS, share_interval
from rosetta.analysis.columns import ATTRIBUTION_TABLE_COLUMNS
from rosetta.report.figures import draw_estimates, label_sizes, ladder_palette, literal, panel_grid
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_csv

_LIMITS = (-0.03, 1.03)
_WIDTH = 0.3  # of a range of r that its ladders share


def draw_attribution(paths: Paths) -> plt.Figure:
    """Return the figure: the share of matches confirmed, by their r and by model size."""
    table = read_csv(paths.table("attribution"), ATTRIBUTION_TABLE_COLUMNS)
    table = table.assign(ladder=table["ladders"].str.split(" ").str[0].map(literal))
    whole = (table["r_low"] == R_BINS[0]) & (table["r_high"] == R_BINS[-1])
    sns.set_theme(context="paper", style="ticks", font_scale=1.1)
    figure, panels = panel_grid(2, 4.6, 3.6)
    colors = ladder_palette(list(table["ladder"].unique()))
    _draw_by_r(panels[0], table[~whole], colors)
    _draw_by_size(panels[1], table[whole], colors)
    handles = [plt.Line2D([], [], color=color, label=name) for name, color in colors.items()]
    style: dict[str, Any] = {"frameon": False, "fontsize": "small"}
    figure.legend(handles=handles, loc="outside lower center", ncols=4, **style)
    sns.despine(figure)
    return figure


def _draw_by_r(axes: plt.Axes, table: pd.DataFrame, colors: dict[str, Any]) -> None:
    """Draw the share of all matches of each range of r, the pairs of a ladder together."""
    bins, place_of = list(pairwise(R_BINS)), {ladder: i for i, ladder in enumerate(colors)}
    step = _WIDTH / max(len(colors) - 1, 1)
    for ladder, color in colors.items():
        rows = table[(table["ladder"] == ladder) & (table["matches"] > 0)]
        sums = rows.assign(n=rows["matches"] * rows["confirmed"]).groupby(["r_low", "r_high"])
        n, n_matches = sums["n"].sum(), sums["matches"].sum()
        shares = pd.DataFrame({"confirmed": n / n_matches})
        ends = [share_interval(*one) for one in zip(shares["confirmed"], n_matches, strict=True)]
        shares[["confirmed_ci_low", "confirmed_ci_high"]] = ends
        x = pd.Series([bins.index(place) for place in shares.index], index=shares.index)
        style = {"color": color, "lw": 1.1, "marker": "o", "ms": 4, "ls": "-"}
        draw_estimates(axes, x + step * place_of[ladder], shares, "confirmed", _LIMITS, **style)
    known = table[table["matches"] > 0]
    if len(known):
        null = (known["null_confirmed"] * known["matches"]).sum() / known["matches"].sum()
        axes.axhline(null, color="0.5", ls=":", lw=0.8)
    titles = [f"≤ {high:g}" if low == R_BINS[0] else f"{low:g}–{high:g}" for low, high in bins]
    axes.set_xticks(range(len(bins)), titles)
    axes.set(ylim=_LIMITS, xlabel="r of the match", ylabel="share confirmed by outputs")
    axes.set_title("by r, all pairs of a ladder", loc="left")


def _draw_by_size(axes: plt.Axes, table: pd.DataFrame, colors: dict[str, Any]) -> None:
    """Draw the share of each pair's matches against the size of its models."""
    for ladder, color in colors.items():
        rows = table[table["ladder"] == ladder].sort_values("n_neurons", kind="stable")
        style = {"color": color, "lw": 1.1, "marker": "o", "ms": 4, "ls": "-"}
        draw_estimates(axes, rows["n_neurons"], rows, "confirmed", _LIMITS, **style)
    known = table[table["matches"] > 0].sort_values("n_neurons", kind="stable")
    axes.plot(known["n_neurons"], known["null_confirmed"], ":", color="0.5", lw=0.8)
    axes.set(xscale="log", xlabel="neurons per model")
    label_sizes(axes, table["n_neurons"], most=6)
    axes.set(ylim=_LIMITS, ylabel="share confirmed by outputs")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1f}")
    axes.set_title("by size, 95% intervals", loc="left")
