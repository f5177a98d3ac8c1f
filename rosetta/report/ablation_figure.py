"""The figure of ablations: what models lose without some neurons, and with nothing but them."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from rosetta.ablation.columns import ABLATION_COLUMNS, ACCURACY, BITS_PER_BYTE, LOSS, WHOLE
from rosetta.ablation.populations import ABLATE, ACTIVE, KEEP, KURTOTIC, MATCHED, ROSETTA
from rosetta.report.figures import draw_estimates, interval_limits, panel_grid, read_drawn
from rosetta.run.paths import Paths

TITLES = {
    ROSETTA: "Rosetta Neurons",
    MATCHED: "as many that match",
    ACTIVE: "most active",
    KURTOTIC: "most kurtotic",
}
UNITS = {BITS_PER_BYTE: "bits per byte", LOSS: "bits per image", ACCURACY: "accuracy"}
_MARKERS = dict(zip(TITLES, "os^D", strict=True))
_WIDTH = 0.6  # of a model's place that its populations share
_MOST_DOMAINS = 12


def draw_ablation(paths: Paths) -> plt.Figure:
    """Return the figure: a row of panels per measure."""
    table = read_drawn(paths.table("ablation"), ABLATION_COLUMNS)
    measures = [one for one in UNITS if (table["measure"] == one).any()]
    sns.set_theme(context="paper", style="ticks", font_scale=1.1)
    figure, panels = panel_grid(3 * len(measures), 4.4, 3.6)
    colors = dict(zip(TITLES, sns.color_palette("colorblind", len(TITLES)), strict=True))
    for measure, row in zip(measures, np.reshape(panels, (-1, 3)), strict=True):
        part = table[table["measure"] == measure]
        whole = part[part["domain"] == WHOLE]
        _draw_treatment(row[0], whole, ABLATE, colors)
        _draw_treatment(row[1], whole, KEEP, colors)
        row[0].set_ylabel(f"{UNITS[measure]}, above intact")
        _draw_excess(row[2], part, colors)
        row[2].set_ylabel(UNITS[measure])
    handles = [
        plt.Line2D([], [], color=color, marker=_MARKERS[name], ls="none", label=TITLES[name])
        for name, color in colors.items()
    ]
    style: dict[str, Any] = {"frameon": False, "fontsize": "small"}
    figure.legend(handles=handles, loc="outside lower center", ncols=4, **style)
    sns.despine(figure)
    return figure


def _models(table: pd.DataFrame) -> list[str]:
    """Return the models of a table, the smallest first."""
    return list(dict.fromkeys(table.sort_values("n_neurons", kind="stable")["model"]))


def _places(named: pd.Series, names: list[str]) -> pd.Series:
    """Return the number of each name, also of none: a table may have no draws."""
    return pd.Series([names.index(name) for name in named], index=named.index, dtype=float)


def _draw_treatment(
    axes: plt.Axes, table: pd.DataFrame, treatment: str, colors: dict[str, Any]
) -> None:
    """Draw the difference from the intact model, population beside population."""
    rows = table[(table["treatment"] == treatment) & table["population"].isin(list(TITLES))]
    names = _models(table)
    limits = interval_limits(rows, "difference", np.ptp(rows["difference"]) or 1.0)
    limits = min(limits[0], 0.0), max(limits[1], 0.0)
    axes.axhline(0, color="0.6", lw=0.8, ls=":")
    step = _WIDTH / (len(TITLES) - 1)
    for place, (population, color) in enumerate(colors.items()):
        mine = rows[rows["population"] == population]
        x = _places(mine["model"], names) + (place - (len(TITLES) - 1) / 2) * step
        style = {"color": color, "lw": 1.2, "marker": _MARKERS[population], "ms": 4, "ls": "none"}
        draw_estimates(axes, x, mine, "difference", limits, **style)
        axes.vlines(x, mine["draws_low"], mine["draws_high"], color=color, lw=4, alpha=0.25)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set(ylim=limits, xlim=(-0.6, len(names) - 0.4))
    told = "without these neurons" if treatment == ABLATE else "with nothing but these"
    axes.set_title(told, loc="left")


def _draw_excess(axes: plt.Axes, table: pd.DataFrame, colors: dict[str, Any]) -> None:
    """Draw what Rosetta Neurons cost more than those that match, by domain, of the largest models
    of a rung.
    """
    rows = table[(table["population"] == MATCHED) & (table["treatment"] == ABLATE)]
    largest = rows[rows["rung"] == rows["rung"].max()]
    domains = [WHOLE, *sorted(set(largest["domain"]) - {WHOLE})][: _MOST_DOMAINS + 1]
    names = _models(largest)
    reach = np.ptp(largest["rosetta_excess"].dropna()) if len(largest) else 0.0
    limits = interval_limits(largest, "rosetta_excess", reach or 1.0)
    limits = min(limits[0], 0.0), max(limits[1], 0.0)
    axes.axhline(0, color="0.6", lw=0.8, ls=":")
    shades = sns.color_palette("deep", max(len(names), 1))
    step = _WIDTH / max(len(names) - 1, 1)
    for place, name in enumerate(names):
        mine = largest[(largest["model"] == name) & largest["domain"].isin(domains)]
        x = _places(mine["domain"], domains) + (place - (len(names) - 1) / 2) * step
        style = {"color": shades[place], "lw": 1.2, "marker": "o", "ms": 4, "ls": "none"}
        draw_estimates(axes, x, mine, "rosetta_excess", limits, label=name, **style)
    shown = ["all together" if domain == WHOLE else domain for domain in domains]
    axes.set_xticks(range(len(domains)), shown, rotation=30, ha="right")
    axes.set(ylim=limits, xlim=(-0.6, len(domains) - 0.4))
    axes.set_title("Rosetta less matched, by domain", loc="left")
    if names:
        axes.legend(frameon=False, fontsize="small")
