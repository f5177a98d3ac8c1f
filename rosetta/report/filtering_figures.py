"""The figure of the data-filtering corpus: what each filter finds, takes, and is worth."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from rosetta.config import Config
from rosetta.filtering.precision_recall import SHARE_COLUMNS
from rosetta.filtering.results import SUMMARY_COLUMNS
from rosetta.report.figures import literal, read_drawn
from rosetta.report.filtering_section import LABELS
from rosetta.run.paths import Paths

MAX_SHARES = 10  # colours that can be told apart


def draw_filtering(config: Config, paths: Paths) -> plt.Figure:
    """Return a figure of F1, the selected shares of the domains, and perplexity: a panel each."""
    assert config.filtering is not None
    summary = read_drawn(paths.table("filtering_summary"), SUMMARY_COLUMNS).set_index("filter")
    shares, target = (
        read_drawn(paths.table("filtering_domains"), SHARE_COLUMNS),
        literal(config.filtering.target),
    )
    return _filters(summary, shares, target)


def _filters(summary: pd.DataFrame, shares: pd.DataFrame, target: str) -> plt.Figure:
    """F1, selected shares of the domains, and perplexity: a panel each, filters from top down."""
    filters = [name for name in summary.index if name != "base"]
    sns.set_theme(context="paper", style="ticks", font_scale=1.1)
    figure, panels = plt.subplots(1, 3, figsize=(12.5, 3.4), layout="constrained", sharey=True)
    rows = np.arange(len(filters))
    colors = [sns.color_palette("colorblind")[0 if name == "rosetta" else 7] for name in filters]
    panels[0].barh(rows, summary.loc[filters, "f1"], color=colors)
    panels[0].set(xlim=(0, 1), xlabel=f"F1, domain {target}", yticks=rows)
    panels[0].set_yticklabels([LABELS[name] for name in filters])
    panels[0].invert_yaxis()
    _draw_shares(panels[1], shares, filters, target)
    _draw_perplexity(panels[2], summary, filters, colors)
    sns.despine(figure)
    return figure


def _draw_shares(axes: plt.Axes, shares: pd.DataFrame, filters: list[str], target: str) -> None:
    """Stack what part of the selected tokens each domain has, the target domain first; of many, the
    largest.
    """
    table = (
        shares.groupby(["filter", "domain"])["share"].mean().unstack(fill_value=0.0).loc[filters]
    )
    own = table.pop(target) if target in table else pd.Series(0.0, index=table.index)
    few = len(table.columns) < MAX_SHARES
    shown = (
        table.columns
        if few
        else table.columns.intersection(table.mean().nlargest(MAX_SHARES - 2).index)
    )
    stacked = [(target, own), *((name, table[name]) for name in shown)]
    if not few:
        rest = table.columns.difference(shown)
        stacked.append((f"{len(rest)} other domains", table[rest].sum(axis=1)))
    left = np.zeros(len(filters))
    for (domain, values), color in zip(
        stacked, sns.color_palette("colorblind", len(stacked)), strict=True
    ):
        axes.barh(range(len(filters)), values, left=left, color=color, label=domain or "(none)")
        left = left + values.to_numpy()
    axes.set(xlim=(0, 1), xlabel="share of the selected tokens")
    axes.legend(
        frameon=False, fontsize="x-small", ncols=4, loc="lower left", bbox_to_anchor=(0, 1.0)
    )


def _draw_perplexity(
    axes: plt.Axes, summary: pd.DataFrame, filters: list[str], colors: list
) -> None:
    """Perplexities with their intervals; a dotted line for the base model. Empty if no model was
    trained.
    """
    for row, (name, color) in enumerate(zip(filters, colors, strict=True)):
        found = summary.loc[name]
        if np.isinf(found["perplexity"]):
            axes.annotate(
                "inf",
                (0.98, row),
                xycoords=axes.get_yaxis_transform(),
                ha="right",
                va="center",
                color=color,
            )
            continue
        half = np.nan_to_num(found["perplexity_ci_high"] - found["perplexity"])
        axes.errorbar(found["perplexity"], row, xerr=half, fmt="o", color=color, capsize=3)
    if "base" in summary.index and np.isfinite(summary.loc["base", "perplexity"]):
        axes.axvline(summary.loc["base", "perplexity"], color="0.4", ls=":", label="base model")
        axes.legend(frameon=False, fontsize="x-small", loc="lower left", bbox_to_anchor=(0, 1.0))
    axes.set(xlabel="held-out perplexity")
