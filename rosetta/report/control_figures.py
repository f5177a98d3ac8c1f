"""Figures of the controls and sweeps: null models, k, threshold of r, budget."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from rosetta.analysis.counts import COUNT_COLUMNS
from rosetta.analysis.null_counts import NULL_SUMMARY_COLUMNS
from rosetta.analysis.null_thresholds import NULL_TITLES, read_nulls
from rosetta.analysis.stability import K_COLUMNS, STABILITY_COLUMNS, THRESHOLD_COLUMNS
from rosetta.config import Config, group_name
from rosetta.report.figures import (
    NULL_MARKERS,
    RUNG_MARKERS,
    draw_estimates,
    interval_limits,
    label_sizes,
    ladder_palette,
    literal,
    panel_grid,
    read_drawn,
)
from rosetta.run.paths import Paths
from rosetta.run.stages import figure_names
from rosetta.storage.tables import read_parquet

_SIZE = {"width": 4.2, "height": 3.8}
_REACH = 1.5  # how far beyond the exponents their intervals are drawn
_BESIDE = 0.015  # distance of neighbouring ladders' exponents, as a share of the axis


def draw_control_figures(config: Config, paths: Paths) -> dict[str, plt.Figure]:
    """Return the control figures that the configuration asks for, by name."""
    sns.set_theme(context="paper", style="ticks", font_scale=1.1)
    drawn = {}
    for name in figure_names(config, "control_figures"):
        drawn[name] = _DRAW[name](config, paths)
        sns.despine(drawn[name])
    return drawn


def _nulls(config: Config, paths: Paths) -> plt.Figure:
    """How many times the matches of the trained models each null has, and the matched r of the
    largest pair.
    """
    counts = read_drawn(paths.table("counts"), COUNT_COLUMNS)
    nulls = read_drawn(paths.table("null_summary"), NULL_SUMMARY_COLUMNS)
    figure, (left, right) = panel_grid(2, **_SIZE)
    sizes = counts[["ladder", "rung", "n_neurons"]].assign(
        trained=counts["matches"].where(counts["matches"] > 0)
    )
    rows = nulls.merge(sizes, on=["ladder", "rung"])
    for ladder, color in ladder_palette(list(counts["ladder"].unique())).items():
        for control, part in rows[rows["ladder"] == ladder].groupby("control"):
            ratio = (part["matches"] / part["trained"]).where(part["matches"] > 0)
            left.plot(
                part["n_neurons"], ratio, f"{NULL_MARKERS[control]}-", color=color, ms=4, lw=0.8
            )
    left.axhline(1, color="0.3", lw=1, ls=":")
    left.set(
        xscale="log", yscale="log", xlabel="neurons per model", ylabel="matches by chance / trained"
    )
    label_sizes(left, counts["n_neurons"])
    left.yaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
    left.yaxis.set_minor_formatter(
        lambda ratio, _: f"{ratio:g}" if ratio in (0.2, 0.5, 2, 5) else ""
    )
    kinds = [
        Line2D([], [], color="0.4", marker=NULL_MARKERS[name], ls="none", label=NULL_TITLES[name])
        for name in config.controls.names
    ]
    figure.legend(
        handles=[*_ladder_handles(counts), *kinds], loc="outside lower center", ncols=3, **_LEGEND
    )
    pair = group_name(max(config.pairs(), key=lambda pair: _size(config, counts, pair)))
    found = {"trained models": read_parquet(paths.matches(pair), ["r"])}
    found |= {NULL_TITLES[name]: null for name, null in read_nulls(config, paths, pair).items()}
    for (name, table), color in zip(found.items(), sns.color_palette("deep"), strict=False):
        sns.ecdfplot(x=table["r"], complementary=True, ax=right, label=name, color=color)
    right.set(xlabel="r of matches", ylabel="share above", title=literal(pair))
    right.legend(frameon=False, fontsize="small")
    return figure


_LEGEND = {"frameon": False, "fontsize": "small"}


def _size(config: Config, counts: pd.DataFrame, pair: tuple[str, str]) -> float:
    """Return the neurons per model of the largest rung that a pair is in, be it in a larger
    group.
    """
    sizes = counts.set_index(["ladder", "rung"])["n_neurons"]
    return max(
        float(sizes[(literal(ladder), number)])
        for ladder, rungs in config.ladders.items()
        for number, rung in enumerate(rungs)
        if set(pair) <= set(rung)
    )


def _ladder_handles(table: pd.DataFrame) -> list[Line2D]:
    palette = ladder_palette(list(table["ladder"].unique()))
    return [Line2D([], [], color=color, label=ladder) for ladder, color in palette.items()]


def _rung_handles(table: pd.DataFrame) -> list[Line2D]:
    """Return what tells rungs apart: markers, named by their size where all ladders have the same
    sizes.
    """
    handles = []
    for rung, sizes in table.groupby("rung")["n_neurons"]:
        name = f"{sizes.iloc[0]:,.0f} neurons" if sizes.nunique() == 1 else f"rung {rung}"
        handles.append(
            Line2D([], [], color="0.3", marker=_rung_marker(rung), ls="none", ms=4, label=name)
        )
    return handles


def _rung_marker(rung: int) -> str:
    return RUNG_MARKERS[int(rung) % len(RUNG_MARKERS)]


def _k_sweep(_config: Config, paths: Paths) -> plt.Figure:
    return _sweep(read_drawn(paths.table("k_sweep"), K_COLUMNS), "k", "neighbours k")


def _threshold_sweep(_config: Config, paths: Paths) -> plt.Figure:
    return _sweep(
        read_drawn(paths.table("threshold_sweep"), THRESHOLD_COLUMNS), "threshold", "r above"
    )


def _sweep(table: pd.DataFrame, setting: str, label: str) -> plt.Figure:
    """Counts of all rungs against a setting, one line per rung, and the exponent with its
    interval.
    """
    figure, (left, right) = panel_grid(2, **_SIZE)
    _draw_rungs(left, table, setting, "matches")
    left.set(xlabel=label, ylabel="matches")
    left.set_yscale("log", nonpositive="mask")
    right.set(xlabel=label)
    _draw_alphas(right, table, setting)
    _add_legend(figure, table)
    return figure


def _add_legend(figure: plt.Figure, table: pd.DataFrame) -> None:
    figure.legend(
        handles=[*_ladder_handles(table), *_rung_handles(table)],
        loc="outside lower center",
        ncols=4,
        **_LEGEND,
    )


def _draw_rungs(axes: plt.Axes, table: pd.DataFrame, setting: str, column: str) -> None:
    """Draw a line per rung: its ladder is the colour, its size the marker."""
    for ladder, color in ladder_palette(list(table["ladder"].unique())).items():
        for rung, rows in table[table["ladder"] == ladder].groupby("rung"):
            axes.plot(
                rows[setting], rows[column], marker=_rung_marker(rung), color=color, ms=3.5, lw=0.8
            )


def _draw_alphas(axes: plt.Axes, table: pd.DataFrame, setting: str) -> None:
    """Draw the exponents of all ladders beside each other."""
    ladders = ladder_palette(list(table["ladder"].unique()))
    rows = table.drop_duplicates(["ladder", setting])
    limits = interval_limits(rows, "alpha", _REACH)
    for place, (ladder, color) in enumerate(ladders.items()):
        mine = rows[rows["ladder"] == ladder]
        shift = (place - (len(ladders) - 1) / 2) * _BESIDE
        logarithmic = axes.get_xscale() == "log"
        x = (
            mine[setting] * (1 + shift)
            if logarithmic
            else mine[setting] + shift * np.ptp(table[setting])
        )
        draw_estimates(axes, x, mine, "alpha", limits, color=color, marker="o", ms=4, lw=1)
    axes.axhline(1, color="0.6", lw=0.8, ls=":")
    axes.set(ylabel="exponent α", ylim=limits)


def _budget(_config: Config, paths: Paths) -> plt.Figure:
    """Count, agreement with the next smaller budget and exponent against the budget."""
    table = read_drawn(paths.table("stability"), STABILITY_COLUMNS)
    table = table[table["sweep"] == "budget"]
    figure, panels = panel_grid(3, **_SIZE)
    for axes, column in zip(panels, ("matches", "jaccard"), strict=False):
        _draw_rungs(axes, table, "n_positions", column)
    for axes, label in zip(
        panels, ("matches", "Jaccard with next smaller", "exponent α"), strict=True
    ):
        axes.set(xscale="log", xlabel="aligned positions", ylabel=label)
        if len(table):
            axes.set_xlim(table["n_positions"].min() / 1.2, table["n_positions"].max() * 1.2)
        else:
            axes.set_title("too few samples for a smaller budget", fontsize="medium")
        axes.xaxis.set_minor_formatter(NullFormatter())
    panels[0].set_yscale("log", nonpositive="mask")
    # Positions differ a little between rungs; the exponent of a budget is drawn at those of its
    # ladder's largest rung.
    _draw_alphas(
        panels[2],
        table[table["rung"] == table.groupby("ladder")["rung"].transform("max")],
        "n_positions",
    )
    _add_legend(figure, table)
    return figure


_DRAW = {
    "nulls": _nulls,
    "k_sweep": _k_sweep,
    "threshold_sweep": _threshold_sweep,
    "budget": _budget,
}
