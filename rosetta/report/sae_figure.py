"""The figure of sparse autoencoders: what they say of neurons, and features that match."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from rosetta.analysis.groups import OTHERS, ROSETTA, difference_group, rosetta_group
from rosetta.analysis.null_thresholds import PLAIN
from rosetta.report.figures import (
    draw_estimates,
    interval_limits,
    label_sizes,
    ladder_palette,
    panel_grid,
    read_drawn,
)
from rosetta.run.paths import Paths
from rosetta.sae.columns import (
    SAE_FEATURE_COLUMNS,
    SAE_FEATURE_SCALING_COLUMNS,
    SAE_MEASURES,
    SAE_POLARIZATION_COLUMNS,
)

# What the measures are called.
MEASURE_TITLES = {
    "unexplained": "variance left unexplained",
    "participation": "features per neuron",
    "interference": "interference",
}
ABOVE = "above_documents"
NEURONS = "n_neurons"  # what the laws that are drawn are against
_BESIDE = 1.04  # times the size at which other neurons are drawn
_LEGEND = {"frameon": False, "fontsize": "small"}


@dataclass(frozen=True)
class SaeTables:
    """The tables that the figure is drawn from.

    Attributes
    ----------
    means, features, laws : DataFrame
        `SAE_POLARIZATION_COLUMNS`, `SAE_FEATURE_COLUMNS`, `SAE_FEATURE_SCALING_COLUMNS`.
    """

    means: pd.DataFrame
    features: pd.DataFrame
    laws: pd.DataFrame

    @classmethod
    def read(cls, paths: Paths) -> SaeTables:
        """Read the tables of a run."""
        return cls(
            read_drawn(paths.table("sae_polarization"), SAE_POLARIZATION_COLUMNS),
            read_drawn(paths.table("sae_features"), SAE_FEATURE_COLUMNS),
            read_drawn(paths.table("sae_feature_scaling"), SAE_FEATURE_SCALING_COLUMNS),
        )


def told_statistic(counts: pd.Series) -> str:
    """Return which matches are told of: those above exchanged samples, where any rung has them."""
    return ABOVE if counts.notna().any() else PLAIN


def told_group(means: pd.DataFrame) -> str:
    """Return which Rosetta Neurons are told of: those whose matches are above exchanged samples, if
    there are enough of them for an interval of a difference, and else all of them.
    """
    known = means.loc[means["group"] == difference_group(ABOVE), "ci_low"].notna()
    return rosetta_group(ABOVE) if known.any() else ROSETTA


def draw_sae(tables: SaeTables) -> plt.Figure:
    """Return the figure: a panel per measure, and one of features."""
    sns.set_theme(context="paper", style="ticks", font_scale=1.1)
    figure, panels = panel_grid(len(SAE_MEASURES) + 1, 3.6, 3.8, columns=len(SAE_MEASURES) + 1)
    palette = ladder_palette(list(tables.features["ladder"].unique()))
    for axes, measure in zip(panels, SAE_MEASURES, strict=False):
        _draw_means(axes, tables.means, measure, palette)
    _draw_features(panels[-1], tables, palette)
    handles = [Line2D([], [], color=color, label=name) for name, color in palette.items()]
    drawn = {"Rosetta Neurons": ("-", "o"), "other neurons": ("--", "s")}
    handles += [
        Line2D([], [], color="0.3", ls=line, marker=marker, ms=4, label=name)
        for name, (line, marker) in drawn.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, **_LEGEND)
    sns.despine(figure)
    return figure


def _draw_means(
    axes: plt.Axes, means: pd.DataFrame, measure: str, colors: Mapping[str, Any]
) -> None:
    """Draw a measure of Rosetta Neurons and of the others against size, ladder by ladder."""
    mine = told_group(means)
    rows = means[(means["statistic"] == measure) & means["group"].isin([mine, OTHERS])]
    rows = rows.rename(columns={"ci_low": "mean_ci_low", "ci_high": "mean_ci_high"})
    limits = interval_limits(rows, "mean", np.inf)
    for ladder, color in colors.items():
        # The others stand a little to the right, so that both intervals are seen.
        for group, line, marker, shift in ((mine, "-", "o", 1.0), (OTHERS, "--", "s", _BESIDE)):
            part = rows[(rows["ladder"] == ladder) & (rows["group"] == group)]
            part = part.sort_values("n_neurons", kind="stable")
            style = {"color": color, "lw": 1.1, "marker": marker, "ms": 4, "ls": line}
            draw_estimates(axes, shift * part["n_neurons"], part, "mean", limits, **style)
    axes.set(xscale="log", ylim=limits, xlabel="neurons per model", ylabel="mean")
    label_sizes(axes, rows["n_neurons"], most=4)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_title(MEASURE_TITLES[measure], loc="left")


def _draw_features(axes: plt.Axes, tables: SaeTables, colors: Mapping[str, Any]) -> None:
    """Draw how many features match against size, with the laws."""
    statistic = told_statistic(tables.features[ABOVE])
    column = ABOVE if statistic == ABOVE else "matches"
    axes.set_title("features that match", loc="left")
    known = tables.features[tables.features[column] > 0]
    if known.empty:
        axes.set_title("no feature matches above the null", loc="left")
        return
    laws = tables.laws[(tables.laws["size"] == NEURONS) & (tables.laws["statistic"] == statistic)]
    alphas = laws.set_index("ladder")
    for ladder, color in colors.items():
        rows = known[known["ladder"] == ladder]
        if rows.empty:
            continue
        # An interval that reaches 0 has no end on this axis.
        low = rows[f"{column}_ci_low"].clip(lower=rows[column] / 10)
        axes.plot(rows[NEURONS], rows[column], "o", color=color, ms=4)
        axes.vlines(rows[NEURONS], low, rows[f"{column}_ci_high"], color=color, lw=1)
        if ladder in alphas.index and np.isfinite(alphas.loc[ladder, "alpha"]):
            ends = np.array([rows[NEURONS].min(), rows[NEURONS].max()])
            law = alphas.loc[ladder]
            line = law["c"] * ends ** law["alpha"]
            axes.plot(ends, line, color=color, lw=1, label=f"α = {law['alpha']:.2f}")
    axes.set(xscale="log", yscale="log", xlabel="neurons per model")
    axes.set_ylabel("above exchanged samples" if statistic == ABOVE else "all")
    label_sizes(axes, known[NEURONS], most=4)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", **_LEGEND)
