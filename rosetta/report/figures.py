"""Figures in the manner of the paper, drawn with seaborn, written as PNG and PDF."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from rosetta.files import replacing

DPI = 200


def draw_scaling(counts: pd.DataFrame, scaling: pd.DataFrame, out: Path) -> None:
    """Draw the number of Rosetta Neurons against model size in log–log, with the fitted laws.

    Parameters
    ----------
    counts, scaling : DataFrame
        Tables of `rosetta.analysis.counts` and `rosetta.analysis.scaling`.
    out : Path
        File without suffix; `.png` and `.pdf` are written.
    """
    sns.set_theme(context="paper", style="ticks", font_scale=1.1)
    ladders = list(counts["ladder"].unique())
    palette = dict(zip(ladders, sns.color_palette("colorblind", len(ladders)), strict=True))
    laws = scaling.set_index("ladder")
    figure, axes = plt.subplots(figsize=(5.2, 3.8), layout="constrained")
    for ladder in ladders:
        part = counts[(counts["ladder"] == ladder) & (counts["matches"] > 0)]
        axes.scatter(part["n_neurons"], part["matches"], s=28, color=palette[ladder], zorder=3, label=None)
        law = laws.loc[ladder]
        if np.isfinite(law["alpha"]):
            x = np.geomspace(part["n_neurons"].min(), part["n_neurons"].max(), 50)
            axes.plot(x, law["c"] * x ** law["alpha"], color=palette[ladder], lw=1.5, label=_law_label(ladder, law))
        else:
            axes.plot([], [], "o", color=palette[ladder], label=ladder)
    axes.set(xscale="log", yscale="log", xlabel="neurons per model", ylabel="Rosetta Neurons")
    label_sizes(axes, counts["n_neurons"])
    axes.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
    sns.despine(figure)
    save_figure(figure, out)


def label_sizes(axes: plt.Axes, sizes: pd.Series) -> None:
    """Put ticks at the model sizes themselves, leaving out those too close to the one before."""
    ticks: list[float] = []
    for size in np.unique(sizes):
        if not ticks or size > 1.25 * ticks[-1]:
            ticks.append(float(size))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))


def save_figure(figure: plt.Figure, out: Path) -> None:
    """Write a figure as PNG and PDF, without dates, so that equal figures are equal files."""
    for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
        with replacing(out.with_name(out.name + suffix)) as temporary:
            figure.savefig(temporary, format=suffix[1:], dpi=DPI, metadata=metadata)
    plt.close(figure)


def _law_label(ladder: str, law: pd.Series) -> str:
    label = f"{ladder}: α = {law['alpha']:.2f}"
    if np.isfinite(law["alpha_ci_low"]):
        label += f" [{law['alpha_ci_low']:.2f}, {law['alpha_ci_high']:.2f}], R² = {law['r2']:.3f}"
    return label
