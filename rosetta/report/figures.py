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

from rosetta.analysis.counts import COUNT_OF
from rosetta.files import digested
from rosetta.tables import NAMES, read_csv

DPI = 200
MAX_PIXELS = 16_000  # of a side; a figure of hundreds of panels is drawn coarser

# What the panels of counts are titled.
TITLES = {"plain": "all matches", "above_permutation": "above permuted", "above_untrained": "above untrained"}


def draw_scaling(counts: pd.DataFrame, scaling: pd.DataFrame, out: Path) -> None:
    """Draw the number of Rosetta Neurons against model size in log–log, with the fitted laws: a panel per statistic.

    Parameters
    ----------
    counts, scaling : DataFrame
        Tables of `rosetta.analysis.counts` and `rosetta.analysis.scaling`.
    out : Path
        File without suffix; `.png` and `.pdf` are written.
    """
    sns.set_theme(context="paper", style="ticks", font_scale=1.1)
    statistics = [name for name in TITLES if (scaling["statistic"] == name).any()]
    figure, panels = plt.subplots(
        1, len(statistics), figsize=(4.6 * len(statistics), 4.0), layout="constrained", squeeze=False, sharey=True
    )
    for axes, statistic in zip(panels[0], statistics, strict=True):
        laws = scaling[scaling["statistic"] == statistic].set_index("ladder")
        draw_counts(axes, counts.assign(matches_shown=counts[COUNT_OF[statistic]]), laws, COUNT_OF[statistic])
        axes.set_title(TITLES[statistic], loc="right", fontsize="medium")
    panels[0, 0].set_ylabel("Rosetta Neurons")
    sns.despine(figure)
    save_figure(figure, out)


def literal(name: str) -> str:
    """Return what Matplotlib draws as this name.

    It takes `$` for mathematics, and leaves out of legends what begins with `_`: a zero-width space goes before that.
    """
    shown = str(name).replace("$", r"\$")
    return f"\u200b{shown}" if shown.startswith("_") else shown


def read_drawn(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read a table as `rosetta.tables.read_csv` does, its names as they are to be handed to Matplotlib (`literal`)."""
    table = read_csv(path, columns)
    return table.assign(**{name: table[name].map(literal) for name in NAMES if name in table})


def draw_counts(axes: plt.Axes, counts: pd.DataFrame, laws: pd.DataFrame, column: str) -> None:
    """Draw one statistic's counts with their intervals and laws."""
    ladders = list(counts["ladder"].unique())
    for ladder, color in ladder_palette(ladders).items():
        part = counts[(counts["ladder"] == ladder) & (counts["matches_shown"] > 0)]
        low, high = (part[f"{column}_ci_{end}"] for end in ("low", "high"))
        bars = np.stack([part["matches_shown"] - low, high - part["matches_shown"]])
        axes.errorbar(
            part["n_neurons"], part["matches_shown"], np.nan_to_num(bars), fmt="o", ms=5, lw=1, color=color, zorder=3
        )
        law = laws.loc[ladder]
        if np.isfinite(law["alpha"]):
            x = np.geomspace(part["n_neurons"].min(), part["n_neurons"].max(), 50)
            axes.plot(x, law["c"] * x ** law["alpha"], color=color, lw=1.5, label=_law_label(ladder, law))
        else:
            axes.plot([], [], "o", color=color, label=ladder)
    axes.set(xscale="log", yscale="log", xlabel="neurons per model")
    label_sizes(axes, counts["n_neurons"])
    axes.legend(frameon=False, fontsize="x-small", loc="lower left", bbox_to_anchor=(0, 1.06), borderaxespad=0)


def ladder_palette(ladders: list[str]) -> dict[str, tuple]:
    """Return the colour of every ladder, the same in all figures."""
    return dict(zip(ladders, sns.color_palette("colorblind", len(ladders)), strict=True))


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
    """Write a figure as PNG and PDF, all that was drawn and nothing cut off.

    Without dates, so that equal figures are equal files.
    """
    dpi = min(DPI, MAX_PIXELS / max(figure.get_size_inches()))
    for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
        with digested(out.with_name(out.name + suffix)) as temporary:
            figure.savefig(temporary, format=suffix[1:], dpi=dpi, metadata=metadata, bbox_inches="tight")
    plt.close(figure)


def _law_label(ladder: str, law: pd.Series) -> str:
    label = f"{ladder}: α = {law['alpha']:.2f}"
    if np.isfinite(law["alpha_ci_low"]):
        label += f" [{law['alpha_ci_low']:.2f}, {law['alpha_ci_high']:.2f}], R² = {law['r2']:.2f}"
    return label
