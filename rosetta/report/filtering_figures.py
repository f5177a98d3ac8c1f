"""The figure of the data-filtering corpus: what each filter finds, takes, and is worth."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from rosetta.config import Config
from rosetta.filtering.precision_recall import PERCENTILE_COLUMNS, SHARE_COLUMNS
from rosetta.filtering.results import SUMMARY_COLUMNS
from rosetta.report.figures import literal, read_drawn
from rosetta.report.filtering_section import LABELS
from rosetta.run.paths import Paths

MAX_SHARES = 10  # colours that can be told apart
MARKED = (50, 90, 95, 99)  # percentiles whose place on the neuron's curve is marked
_CURVES = {"rosetta": 0, "non_rosetta": 1, "non_rosetta_best": 2, "classifier": 4, "random": 7}


def draw_filtering(config: Config, paths: Paths) -> plt.Figure:
    """Return a figure of F1, precision by recall, the selected shares of the domains, and
    perplexity: a panel each.
    """
    assert config.filtering is not None
    summary = read_drawn(paths.table("filtering_summary"), SUMMARY_COLUMNS).set_index("filter")
    shares = read_drawn(paths.table("filtering_domains"), SHARE_COLUMNS)
    swept = read_drawn(paths.table("filtering_percentiles"), PERCENTILE_COLUMNS)
    return _filters(summary, shares, swept, literal(config.filtering.target))


def _filters(
    summary: pd.DataFrame, shares: pd.DataFrame, swept: pd.DataFrame, target: str
) -> plt.Figure:
    """Draw a panel each, filters from top down."""
    filters = [name for name in summary.index if name != "base"]
    sns.set_theme(context="paper", style="ticks", font_scale=1.1)
    figure, axes = plt.subplots(1, 4, figsize=(16, 3.6), layout="constrained")
    panels = [axes[0], axes[2], axes[3]]
    for panel in panels[1:]:
        panel.sharey(panels[0])
        panel.tick_params(labelleft=False)
    rows = np.arange(len(filters))
    colors = [sns.color_palette("colorblind")[0 if name == "rosetta" else 7] for name in filters]
    panels[0].barh(rows, summary.loc[filters, "f1"], color=colors)
    panels[0].set(xlim=(0, 1), xlabel=f"F1, domain {target}", yticks=rows)
    panels[0].set_yticklabels([LABELS[name] for name in filters])
    panels[0].invert_yaxis()
    _draw_curves(axes[1], swept)
    _draw_shares(panels[1], shares, filters, target)
    _draw_perplexity(panels[2], summary, filters, colors)
    sns.despine(figure)
    return figure


def _draw_curves(axes: plt.Axes, swept: pd.DataFrame) -> None:
    """Draw precision by recall as the gate's percentile rises, from right to left; the oracle, of
    which a percentile takes all or nothing, is left out.
    """
    for name, color in _CURVES.items():
        curve = swept[swept["filter"] == name].groupby("percentile").mean(numeric_only=True)
        axes.plot(
            curve["recall"],
            curve["precision"],
            color=sns.color_palette("colorblind")[color],
            lw=1.8 if name == "rosetta" else 1.1,
            label=LABELS[name],
        )
        if name == "rosetta":
            marked = curve.loc[list(MARKED)]
            axes.plot(marked["recall"], marked["precision"], "o", ms=4)
            for percentile, row in marked.iterrows():
                axes.annotate(
                    f"{percentile:g}%",
                    (row["recall"], row["precision"]),
                    xytext=(4, 4),
                    textcoords="offset points",
                    fontsize="x-small",
                )
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.legend(frameon=False, fontsize="x-small", loc="lower left", bbox_to_anchor=(0, 1.0))


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
