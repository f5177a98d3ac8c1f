"""The figure of the scaling law: counts beside chance, and exponents by floor of r."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D

from rosetta.analysis.counts import COUNT_COLUMNS, COUNT_OF
from rosetta.analysis.null_counts import NULL_SUMMARY_COLUMNS
from rosetta.analysis.null_thresholds import NULL_TITLES, PLAIN
from rosetta.analysis.scaling import NULL_SCALING_COLUMNS, SCALING_COLUMNS
from rosetta.analysis.stability import THRESHOLD_COLUMNS
from rosetta.report.figures import (
    NULL_MARKERS,
    RUNG_MARKERS,
    TITLES,
    draw_estimates,
    interval_limits,
    label_sizes,
    ladder_palette,
    literal,
    panel_grid,
    read_drawn,
)

# One colour per null: its own matches are open, the trained models' above it filled.
_PALETTE = [sns.color_palette("dark")[i] for i in (7, 1, 2, 3, 4, 5, 6, 8)]
_COLORS = dict(zip(NULL_TITLES, _PALETTE, strict=False))
_COUNT_COLORS = {
    PLAIN: (0.0, 0.0, 0.0),
    **{f"above_{name}": color for name, color in _COLORS.items()},
}

_NO_LAW = {"alpha": float("nan"), "reason": "not fitted"}


@dataclass(frozen=True)
class ScalingTables:
    """What the figure is drawn from: tables of a run, by their names."""

    counts: pd.DataFrame
    scaling: pd.DataFrame
    null_summary: pd.DataFrame
    null_scaling: pd.DataFrame
    threshold_sweep: pd.DataFrame

    @classmethod
    def read(
        cls, counts: Path, scaling: Path, nulls: Path, null_scaling: Path, thresholds: Path
    ) -> ScalingTables:
        """Read the tables."""
        return cls(
            read_drawn(counts, COUNT_COLUMNS),
            read_drawn(scaling, SCALING_COLUMNS),
            read_drawn(nulls, NULL_SUMMARY_COLUMNS),
            read_drawn(null_scaling, NULL_SCALING_COLUMNS),
            read_drawn(thresholds, THRESHOLD_COLUMNS),
        )


def draw_scaling(tables: ScalingTables) -> plt.Figure:
    """Draw matches, matches above each null and the nulls' own against size, per ladder.

    The last panel has the exponents against a floor of r, if there is such a sweep.
    """
    sns.set_theme(context="paper", style="ticks", font_scale=1.0)
    ladders, swept = list(tables.counts["ladder"].unique()), len(tables.threshold_sweep) > 0
    figure, panels = panel_grid(len(ladders) + swept, width=4.0, height=3.6)
    for axes, ladder in zip(panels, ladders, strict=False):
        _draw_ladder(axes, ladder, tables)
    low, high = zip(*(axes.get_ylim() for axes in panels[: len(ladders)]), strict=True)
    for axes in panels[: len(ladders)]:
        axes.set_ylim(min(low), max(high))
    if swept:
        _draw_floors(panels[-1], tables.threshold_sweep)
    statistics = [name for name in TITLES if (tables.scaling["statistic"] == name).any()]
    shown = [
        Line2D([], [], color=_COUNT_COLORS[name], marker="o", label=TITLES[name])
        for name in statistics
    ]
    nulls = [name for name in NULL_TITLES if (tables.null_summary["control"] == name).any()]
    shown += [
        Line2D(
            [],
            [],
            color=_COLORS[name],
            marker=NULL_MARKERS[name],
            ls="--",
            mfc="white",
            label=_null_label(name),
        )
        for name in nulls
    ]
    figure.legend(
        handles=shown, loc="outside lower center", ncols=3, frameon=False, fontsize="small"
    )
    sns.despine(figure)
    return figure


def draw_laws(
    counts: pd.DataFrame, laws: pd.DataFrame, statistic: str, axes: plt.Axes | None = None
) -> plt.Axes:
    """Draw one statistic of all ladders against model size, in log–log: counts, and their laws.

    Parameters
    ----------
    counts : DataFrame
        ladder, n_neurons, the statistic's column and, if they are known, its intervals.
    laws : DataFrame
        `SCALING_COLUMNS` of this statistic.
    statistic : str
        One of `rosetta.analysis.counts.COUNT_OF`.
    axes : Axes, optional
        Where to draw; a new figure's if not given.
    """
    axes = plt.subplots()[1] if axes is None else axes
    column, ladders = COUNT_OF[statistic], list(counts["ladder"].unique())
    intervals = [f"{column}_ci_{end}" for end in ("low", "high")]
    unknown = [name for name in intervals if name not in counts]
    counts = counts.reindex(columns=[*counts.columns, *unknown])
    handles = []
    for ladder, color in ladder_palette(ladders).items():
        law = next(iter(laws[laws["ladder"] == ladder].to_dict("records")), _NO_LAW)
        mine = counts[counts["ladder"] == ladder]
        _draw_counts(axes, mine, column, law, color=color, marker="o", ls="-", filled=True)
        label = f"{literal(ladder)}: {_exponent(law)}"
        handles.append(Line2D([], [], color=color, marker="o", label=label))
    label = f"Rosetta Neurons, {TITLES[statistic]}"
    axes.set(xscale="log", yscale="log", xlabel="neurons per model", ylabel=label)
    label_sizes(axes, counts["n_neurons"])
    axes.legend(handles=handles, frameon=False)
    return axes


def _null_label(name: str) -> str:
    return f"chance: {NULL_TITLES[name]}"


def _draw_ladder(axes: plt.Axes, ladder: str, tables: ScalingTables) -> None:
    counts = tables.counts[tables.counts["ladder"] == ladder]
    said = []
    for law in tables.scaling[tables.scaling["ladder"] == ladder].to_dict("records"):
        column, color = COUNT_OF[law["statistic"]], _COUNT_COLORS[law["statistic"]]
        _draw_counts(axes, counts, column, law, color=color, marker="o", ls="-", filled=True)
        said.append((f"{TITLES[law['statistic']]}: {_exponent(law)}", color))
    nulls = tables.null_summary[tables.null_summary["ladder"] == ladder]
    for law in tables.null_scaling[tables.null_scaling["ladder"] == ladder].to_dict("records"):
        name = law["control"]
        mine = nulls[nulls["control"] == name].merge(counts[["rung", "n_neurons"]], on="rung")
        _draw_counts(
            axes,
            mine,
            "matches",
            law,
            color=_COLORS[name],
            marker=NULL_MARKERS[name],
            ls="--",
            filled=False,
        )
        said.append((f"{_null_label(name)}: {_exponent(law)}", _COLORS[name]))
    axes.set(xscale="log", yscale="log", xlabel="neurons per model", ylabel="Rosetta Neurons")
    label_sizes(axes, counts["n_neurons"])
    n = len(counts)
    axes.set_title(
        f"{ladder} ({n} {'size' if n == 1 else 'sizes'})",
        loc="left",
        fontsize="medium",
        pad=10 * len(said) + 8,
    )
    for line, (text, color) in enumerate(reversed(said)):
        place = {
            "xy": (0, 1),
            "xycoords": "axes fraction",
            "xytext": (0, 4 + 10 * line),
            "textcoords": "offset points",
        }
        axes.annotate(text, **place, color=color, fontsize=7)


def _draw_counts(
    axes: plt.Axes, rows: pd.DataFrame, column: str, law: dict, *, filled: bool, **style: object
) -> None:
    """Draw counts with their intervals and law; a count of 0 is a cross at the lower edge."""
    value, low, high = (
        rows[name].astype(float) for name in (column, f"{column}_ci_low", f"{column}_ci_high")
    )
    above = value > 0
    lowest = value[above] / 4  # an interval that reaches 0 has no end in a logarithmic panel
    bars = np.nan_to_num(
        np.stack([value[above] - low[above].clip(lower=lowest), high[above] - value[above]])
    )
    points = {
        "fmt": style["marker"],
        "ms": 5 if filled else 4,
        "lw": 1,
        "color": style["color"],
        "zorder": 3,
    }
    axes.errorbar(
        rows["n_neurons"][above], value[above], bars, mfc=None if filled else "white", **points
    )
    none = rows["n_neurons"][value == 0]
    axes.plot(
        none, [0.02] * len(none), "x", color=style["color"], transform=axes.get_xaxis_transform()
    )
    if np.isfinite(law["alpha"]):
        x = np.geomspace(rows["n_neurons"].min(), rows["n_neurons"].max(), 50)
        axes.plot(x, law["c"] * x ** law["alpha"], color=style["color"], ls=style["ls"], lw=1.2)


def _exponent(law: dict) -> str:
    """Return the exponent of a law with its interval; why there is none stands in the table."""
    if not np.isfinite(law["alpha"]):
        return "no α"
    text = f"α = {law['alpha']:.2f}"
    if np.isfinite(law["alpha_ci_low"]):
        text += f" [{law['alpha_ci_low']:.2f}, {law['alpha_ci_high']:.2f}]"
    return text


def _draw_floors(axes: plt.Axes, table: pd.DataFrame) -> None:
    """Draw each ladder's exponent, and the pooled one, of matches above floors of r."""
    pooled = table.drop_duplicates("threshold")
    alphas = pd.concat([table["alpha"], pooled["alpha_pairs"]]).dropna()
    limits = interval_limits(pooled, "alpha_pairs", reach=1.0)
    if len(alphas):
        limits = min(limits[0], alphas.min() - 0.1), max(limits[1], alphas.max() + 0.1)
    shades = sns.color_palette("Greys", table["ladder"].nunique() + 3)[2:]
    for number, (ladder, part) in enumerate(table.groupby("ladder", sort=False)):
        rows, marker = part.drop_duplicates("threshold"), RUNG_MARKERS[number % len(RUNG_MARKERS)]
        axes.plot(
            rows["threshold"],
            rows["alpha"],
            marker=marker,
            ms=3,
            lw=0.8,
            color=shades[number],
            label=ladder,
        )
    if pooled["alpha_pairs"].notna().any():
        style = {"color": "tab:red", "marker": "o", "ms": 4, "lw": 1.4, "label": "all pairs"}
        draw_estimates(axes, pooled["threshold"], pooled, "alpha_pairs", limits, **style)
    axes.axhline(1, color="0.6", lw=0.8, ls=":")
    axes.set(xlabel="floor of r", ylabel="exponent α", ylim=limits)
    axes.set_title("matches above a floor of r", loc="left", fontsize="medium")
    axes.legend(frameon=False, fontsize="x-small")
