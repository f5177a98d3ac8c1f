"""The figure of instruments: exponents and counts under each, and calibrated similarities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D

from rosetta.analysis.pairs_of_models import ALL_PAIRS
from rosetta.instruments.columns import (
    INSTRUMENT_COLUMNS,
    INSTRUMENT_SCALING_COLUMNS,
    SIMILARITY_COLUMNS,
)
from rosetta.report.exponent_panels import ALL_COLOR, exponent_limits
from rosetta.report.figures import (
    draw_estimates,
    label_sizes,
    ladder_palette,
    panel_grid,
    read_drawn,
)
from rosetta.run.paths import Paths

# What instruments are called.
INSTRUMENT_TITLES = {
    "mutual_nearest": "mutual nearest",
    "absolute": "by |r|",
    "spearman": "Spearman",
    "procrustes": "Procrustes",
    "cca": "CCA",
    "soft": "soft matching",
    "hungarian": "one to one",
}
_WIDTH = 0.7  # of an instrument's place that its ladders' exponents share
_LEGEND = {"frameon": False, "fontsize": "small"}


@dataclass(frozen=True)
class InstrumentTables:
    """The tables that the figure is drawn from.

    Attributes
    ----------
    counts, laws, similarity : DataFrame
        `INSTRUMENT_COLUMNS`, `INSTRUMENT_SCALING_COLUMNS`, `SIMILARITY_COLUMNS`.
    """

    counts: pd.DataFrame
    laws: pd.DataFrame
    similarity: pd.DataFrame

    @classmethod
    def read(cls, paths: Paths) -> InstrumentTables:
        """Read the tables of a run."""
        return cls(
            read_drawn(paths.table("instruments"), INSTRUMENT_COLUMNS),
            read_drawn(paths.table("instrument_scaling"), INSTRUMENT_SCALING_COLUMNS),
            read_drawn(paths.table("similarity"), SIMILARITY_COLUMNS),
        )


def draw_instruments(tables: InstrumentTables) -> plt.Figure:
    """Return the figure: exponents, counts of the first ladder, similarities."""
    sns.set_theme(context="paper", style="ticks", font_scale=1.1)
    figure, panels = panel_grid(3, 4.6, 4.0)
    palette: dict[str, Any] = ladder_palette(list(tables.counts["ladder"].unique()))
    joined = [name for name in tables.laws["ladder"].unique() if name not in palette]
    every = palette | dict.fromkeys(joined, ALL_COLOR)
    _draw_exponents(panels[0], tables.laws, every)
    _draw_counts(panels[1], tables.counts)
    _draw_similarity(panels[2], tables.similarity, palette)
    handles = [Line2D([], [], color=color, label=name) for name, color in every.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, **_LEGEND)
    sns.despine(figure)
    return figure


def _draw_exponents(axes: plt.Axes, laws: pd.DataFrame, colors: Mapping[str, Any]) -> None:
    """Draw the exponents under every instrument, ladder beside ladder."""
    names = list(dict.fromkeys(laws["instrument"]))
    limits = exponent_limits(laws)
    axes.axhline(1, color="0.6", lw=0.8, ls=":")
    step = _WIDTH / max(len(colors) - 1, 1)
    for place, (ladder, color) in enumerate(colors.items()):
        rows = laws[laws["ladder"] == ladder].set_index("instrument").reindex(names).reset_index()
        x = pd.Series(np.arange(len(names)) + (place - (len(colors) - 1) / 2) * step)
        thick = 1.8 if ladder.startswith(ALL_PAIRS) else 1.1
        style = {"color": color, "lw": thick, "marker": "o", "ms": 4, "ls": "none"}
        draw_estimates(axes, x, rows, "alpha", limits, **style)
    titles = [INSTRUMENT_TITLES[name] for name in names]
    axes.set_xticks(range(len(names)), titles, rotation=30, ha="right")
    axes.set(ylim=limits, ylabel="exponent α", xlim=(-0.6, len(names) - 0.4))
    axes.set_title("exponents, 95% intervals", loc="left")


def _draw_counts(axes: plt.Axes, counts: pd.DataFrame) -> None:
    """Draw the counts of the first ladder under every instrument."""
    ladder = counts["ladder"].iloc[0]
    axes.set_title(f"{ladder}, by instrument", loc="left")
    known = counts[(counts["ladder"] == ladder) & (counts["matches"] > 0)]
    if known.empty:
        axes.set_title("no instrument counts any match", loc="left")
        return
    names = list(dict.fromkeys(counts["instrument"]))
    for name, color in zip(names, sns.color_palette("deep", len(names)), strict=True):
        rows = known[known["instrument"] == name]
        if rows.empty:
            continue
        # An interval that reaches 0 has no end on this axis.
        low = rows["matches_ci_low"].clip(lower=rows["matches"] / 10)
        style = {"color": color, "lw": 1}
        title = INSTRUMENT_TITLES[name]
        axes.plot(rows["n_neurons"], rows["matches"], "o-", ms=3, label=title, **style)
        axes.vlines(rows["n_neurons"], low, rows["matches_ci_high"], **style)
    axes.set(xscale="log", yscale="log", xlabel="neurons per model")
    axes.set_ylabel("matches above the null")
    label_sizes(axes, counts["n_neurons"], most=6)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), **_LEGEND)


def _draw_similarity(axes: plt.Axes, similarity: pd.DataFrame, colors: Mapping[str, Any]) -> None:
    """Draw the calibrated similarity of every ladder's rungs, and the plain score, lighter."""
    for ladder, color in colors.items():
        rows = similarity[similarity["ladder"] == ladder]
        axes.plot(rows["n_neurons"], rows["score"], color=color, lw=0.8, ls=":")
        axes.plot(rows["n_neurons"], rows["calibrated"], "o-", color=color, lw=1, ms=3)
    axes.set(xscale="log", ylim=(0, 1), xlabel="neurons per model")
    axes.set(ylabel="largest CKA of two layers")
    axes.set_title("calibrated (dotted: as it is)", loc="left")
    label_sizes(axes, similarity["n_neurons"], most=6)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1f}")
