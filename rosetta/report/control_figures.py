"""Figures of the controls and sweeps: null models, k, threshold of r, token budget."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import NullFormatter

from rosetta.analysis.controls import NULL_SUMMARY_COLUMNS
from rosetta.analysis.counts import COUNT_COLUMNS
from rosetta.analysis.nulls import read_nulls
from rosetta.analysis.stability import K_COLUMNS, STABILITY_COLUMNS, THRESHOLD_COLUMNS
from rosetta.config import Config, group_name
from rosetta.jobs import control_figures
from rosetta.paths import Paths
from rosetta.report.figures import label_sizes, ladder_palette, literal, read_drawn, save_figure
from rosetta.tables import read_parquet

_MARKERS = {"permutation": "v", "untrained": "s"}
_SIZE = (4.2, 3.4)


def draw_control_figures(config: Config, paths: Paths) -> None:
    """Draw the figures that the configuration asks for (`rosetta.jobs.control_figures`)."""
    sns.set_theme(context="paper", style="ticks", font_scale=1.1)
    for name in control_figures(config):
        figure = _DRAW[name](config, paths)
        sns.despine(figure)
        save_figure(figure, paths.figure(name, "png").with_suffix(""))


def _panels(n: int) -> tuple[plt.Figure, np.ndarray]:
    return plt.subplots(1, n, figsize=(_SIZE[0] * n, _SIZE[1]), layout="constrained", squeeze=False)


def _nulls(config: Config, paths: Paths) -> plt.Figure:
    """Counts under the nulls beside the plain ones, and the distributions of matched r of the largest pair."""
    counts = read_drawn(paths.table("counts"), COUNT_COLUMNS)
    nulls = read_drawn(paths.table("null_summary"), NULL_SUMMARY_COLUMNS)
    figure, panels = _panels(2)
    axes = panels[0, 0]
    for ladder, color in ladder_palette(list(counts["ladder"].unique())).items():
        part = counts[counts["ladder"] == ladder].set_index("rung")
        axes.plot(part["n_neurons"], part["matches"], "o-", color=color, ms=5, lw=1.2, label=ladder)
        for control, rows in nulls[nulls["ladder"] == ladder].groupby("control"):
            axes.errorbar(
                part.loc[rows["rung"], "n_neurons"], rows["matches"],
                _bars(rows, "matches", lowest=0.0),
                fmt=f"{_MARKERS[control]}--", color=color, ms=4, lw=0.8, mfc="none",
            )  # fmt: skip
    for control in config.controls.names:
        axes.plot([], [], f"{_MARKERS[control]}--", color="0.4", mfc="none", label=control)
    axes.set(xscale="log", yscale="symlog", xlabel="neurons per model", ylabel="matches")
    axes.set_ylim(bottom=0)
    label_sizes(axes, counts["n_neurons"])
    axes.legend(frameon=False, fontsize="x-small", ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    pair = group_name(max(config.pairs(), key=lambda pair: _size(counts, pair)))
    found = {"matches": read_parquet(paths.matches(pair), ["r"]), **read_nulls(config, paths, pair)}
    for (name, table), color in zip(found.items(), sns.color_palette("deep"), strict=False):
        sns.ecdfplot(x=table["r"], complementary=True, ax=panels[0, 1], label=name, color=color)
    panels[0, 1].set(xlabel="r of matches", ylabel="share above", title=literal(pair))
    panels[0, 1].legend(frameon=False, fontsize="small")
    return figure


def _size(counts: pd.DataFrame, pair: tuple[str, str]) -> float:
    return float(counts.loc[counts["models"] == literal(group_name(pair)), "n_neurons"].max())


def _k_sweep(_config: Config, paths: Paths) -> plt.Figure:
    return _sweep(read_drawn(paths.table("k_sweep"), K_COLUMNS), "k", "neighbours k")


def _threshold_sweep(_config: Config, paths: Paths) -> plt.Figure:
    return _sweep(read_drawn(paths.table("threshold_sweep"), THRESHOLD_COLUMNS), "threshold", "r above")


def _sweep(table: pd.DataFrame, setting: str, label: str) -> plt.Figure:
    """Counts of all rungs against a setting, one line per rung, and the exponent with its interval."""
    figure, panels = _panels(2)
    for ladder, color in ladder_palette(list(table["ladder"].unique())).items():
        part = table[table["ladder"] == ladder]
        for rung, rows in part.groupby("rung"):
            axes = panels[0, 0]
            axes.plot(rows[setting], rows["matches"], "o-", color=color, ms=3, lw=0.6 + 0.3 * rung)
    panels[0, 0].set(xlabel=label, ylabel="matches", yscale="symlog")
    panels[0, 0].set_ylim(bottom=0)
    panels[0, 1].set(xlabel=label)
    _draw_alphas(panels[0, 1], table, setting)
    return figure


def _draw_alphas(axes: plt.Axes, table: pd.DataFrame, setting: str) -> None:
    """Draw the exponents of all ladders, beside each other, and keep endless intervals from squeezing them."""
    ladders = ladder_palette(list(table["ladder"].unique()))
    for place, (ladder, color) in enumerate(ladders.items()):
        rows = table[table["ladder"] == ladder].drop_duplicates(setting)
        shift = (place - (len(ladders) - 1) / 2) * _BESIDE
        x = (
            rows[setting] * (1 + shift)
            if axes.get_xscale() == "log"
            else rows[setting] + shift * np.ptp(table[setting])
        )
        style = {"fmt": "o-", "color": color, "ms": 4, "lw": 1, "capsize": 2, "label": ladder}
        axes.errorbar(x, rows["alpha"], _bars(rows, "alpha"), **style)
    low, high = table["alpha"].min() - 1, table["alpha"].max() + 1
    if np.isfinite(low):
        bottom, top = axes.get_ylim()
        axes.set_ylim(max(bottom, low), min(top, high))
    axes.set_ylabel("exponent α")
    axes.legend(frameon=False, fontsize="small")


_BESIDE = 0.015  # distance of neighbouring ladders' exponents, as a share of the axis


def _bars(rows: pd.DataFrame, column: str, lowest: float = -np.inf) -> np.ndarray:
    """Return the lengths of the interval's halves, (2, n); none where there is no interval."""
    low, high = rows[f"{column}_ci_low"].clip(lower=lowest), rows[f"{column}_ci_high"]
    return np.nan_to_num(np.stack([rows[column] - low, high - rows[column]]))


def _budget(_config: Config, paths: Paths) -> plt.Figure:
    """Count, agreement with the next smaller budget and exponent against the token budget."""
    table = read_drawn(paths.table("stability"), STABILITY_COLUMNS)
    table = table[table["sweep"] == "budget"]
    figure, panels = _panels(3)
    for ladder, color in ladder_palette(list(table["ladder"].unique())).items():
        part = table[table["ladder"] == ladder]
        for rung, rows in part.groupby("rung"):
            style = {"color": color, "ms": 3, "lw": 0.6 + 0.3 * rung}
            panels[0, 0].plot(rows["n_positions"], rows["matches"], "o-", **style)
            panels[0, 1].plot(rows["n_positions"], rows["jaccard"], "o-", **style)
    for axes, label in zip(panels[0], ("matches", "Jaccard with the next smaller budget", "exponent α"), strict=True):
        axes.set(xscale="log", xlabel="aligned positions", ylabel=label)
        axes.set_xlim(table["n_positions"].min() / 1.2, table["n_positions"].max() * 1.2)
        axes.xaxis.set_minor_formatter(NullFormatter())
    # Positions differ a little between rungs; the exponent of a budget is drawn at those of its largest rung.
    _draw_alphas(panels[0, 2], table[table["rung"] == table["rung"].max()], "n_positions")
    return figure


_DRAW = {"nulls": _nulls, "k_sweep": _k_sweep, "threshold_sweep": _threshold_sweep, "budget": _budget}
