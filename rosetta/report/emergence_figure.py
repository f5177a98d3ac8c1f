"""The figure of training ladders: counts over tokens, survival, emergence, and own final selves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from rosetta.emergence.columns import (
    ABOVE_ALL,
    CHANCE_ABOVE_ALL,
    CURVE_COLUMNS,
    EMERGENCE_COLUMNS,
    EMERGENCE_NEURON_COLUMNS,
    GROUP_COLUMNS,
    OWN_R,
    SURVIVAL_COLUMNS,
)
from rosetta.report.direct_labels import EndLabel, label_ends
from rosetta.report.figures import panel_grid, read_drawn, use_one_font_size
from rosetta.run.paths import Paths

_WIDTH, _HEIGHT = 4.2, 2.7  # of a panel with its labels, in inches
_PANELS = 4
_N_TICKS = 5  # numbers of tokens that are named on an axis
_BEFORE = 3.0  # how many times fewer tokens the untrained twins are drawn at than the first step
TABLE_COLUMNS = {
    "emergence": EMERGENCE_COLUMNS,
    "survival": SURVIVAL_COLUMNS,
    "survival_curve": CURVE_COLUMNS,
    "emergence_neurons": EMERGENCE_NEURON_COLUMNS,
    "emergence_groups": GROUP_COLUMNS,
}


@dataclass(frozen=True)
class EmergenceTables:
    """The tables that the figure is drawn from; the fields are named as they are."""

    emergence: pd.DataFrame
    survival: pd.DataFrame
    survival_curve: pd.DataFrame
    emergence_neurons: pd.DataFrame
    emergence_groups: pd.DataFrame

    @classmethod
    def read(cls, paths: Paths) -> EmergenceTables:
        """Read the tables of a run."""
        read = {
            name: read_drawn(paths.table(name), columns) for name, columns in TABLE_COLUMNS.items()
        }
        return cls(**read)

    def of(self, ladder: str) -> EmergenceTables:
        """Return the rows of one training ladder."""
        return EmergenceTables(
            **{name: table[table["ladder"] == ladder] for name, table in vars(self).items()}
        )


def draw_emergence(tables: EmergenceTables) -> plt.Figure:
    """Return the figure, two rows of panels for every training ladder."""
    use_one_font_size()
    ladders = list(tables.emergence["ladder"].unique())
    figure, panels = panel_grid(_PANELS * len(ladders), _WIDTH, _HEIGHT, columns=2)
    for number, ladder in enumerate(ladders):
        mine = tables.of(ladder)
        axes = panels[_PANELS * number : _PANELS * (number + 1)]
        _draw_counts(axes[0], mine.emergence, ladder)
        _draw_emerged(axes[1], mine)
        _draw_survival(axes[2], mine.survival_curve)
        _draw_own(axes[3], mine.emergence_groups, mine.emergence)
    sns.despine(figure)
    return figure


def _draw_band(
    axes: plt.Axes, rows: pd.DataFrame, column: str, style: dict[str, Any], text: str
) -> list[EndLabel]:
    """Draw a quantity over tokens with its intervals; return the label of its end."""
    rows = rows[rows[column].notna() & (rows["tokens"] > 0)]
    if rows.empty:
        return []
    x, y = rows["tokens"].to_numpy(float), rows[column].to_numpy(float)
    low, high = (rows[f"{column}_ci_{end}"].to_numpy(float) for end in ("low", "high"))
    axes.plot(x, y, marker="o", ms=3, lw=1.2, **style)
    axes.fill_between(x, low, high, color=style["color"], alpha=0.18, lw=0)
    return [EndLabel(x[-1], y[-1], text, style["color"])]


def _set_tokens(axes: plt.Axes, tokens: pd.Series, *, untrained: bool = False) -> float:
    """Give an axis of tokens its scale and ticks; return where 0 tokens are drawn."""
    known = np.unique(tokens[tokens > 0])
    first = known[0] / _BEFORE
    beside = (known[-1] / known[0]) ** 0.05
    axes.set(xscale="log", xlim=((first if untrained else known[0]) / beside, known[-1] * beside))
    named = known[np.unique(np.linspace(0, len(known) - 1, _N_TICKS).round().astype(int))]
    ticks = [first, *named] if untrained else list(named)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    shown = FuncFormatter(lambda x, _: "0" if untrained and x <= first else short(x))
    axes.xaxis.set_major_formatter(shown)
    axes.set_xlabel("tokens read by each model")
    return float(first)


def short(number: float) -> str:
    """Return a number with three digits at most: 950, 4.1k, 460k, 2.1M, 300B."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def _draw_counts(axes: plt.Axes, rows: pd.DataFrame, ladder: str) -> None:
    """Draw the matches at every step, beside those of both null models."""
    blue, grey = sns.color_palette("colorblind")[0], "0.45"
    zero = _set_tokens(axes, rows["tokens"], untrained=True)
    lighter = sns.blend_palette([blue, "white"], 10)[5]
    labels = _draw_band(axes, rows, "matches", {"color": lighter}, "all matches")
    labels += _draw_band(axes, rows, ABOVE_ALL, {"color": blue}, "above all nulls")
    dashed = {"color": grey, "ls": "--"}
    labels += _draw_band(axes, rows, CHANCE_ABOVE_ALL, dashed, "exchanged:\nabove all nulls")
    labels += _draw_band(axes, rows, "by_chance", {**dashed, "ls": ":"}, "exchanged: all")
    untrained = rows[(rows["tokens"] == 0) & rows["matches"].notna()]
    for row in untrained.to_dict("records"):
        ends = row["matches_ci_low"], row["matches_ci_high"]
        if np.isfinite(ends).all():
            axes.vlines(zero, *ends, color="0.25", lw=1)
        axes.plot(zero, row["matches"], "s", color="0.25", ms=3.5, mfc="white")
        axes.annotate(
            "untrained\ntwins",
            (zero, ends[0] if np.isfinite(ends[0]) else row["matches"]),
            (-4, -5),
            textcoords="offset points",
            color="0.25",
            va="top",
        )
    axes.set(ylabel="matches", ylim=(0, None))
    axes.set_title(f"{ladder}: matches over the training", loc="left")
    label_ends(axes, labels)


def _draw_emerged(axes: plt.Axes, tables: EmergenceTables) -> None:
    """Draw how many of the final Rosetta Neurons are there: above chance, and nearest for good."""
    rows, neurons = tables.emergence, tables.emergence_neurons
    _set_tokens(axes, rows["tokens"])
    green, orange = sns.color_palette("colorblind")[2], sns.color_palette("colorblind")[1]
    labels = _draw_band(axes, rows, "emerged", {"color": green}, "r of the pair\nabove all nulls")
    tokens = np.unique(rows["tokens"][rows["tokens"] > 0])
    if rows["emerged"].isna().all():
        _draw_nothing(axes, "no final pair is above a null")
    elif len(neurons):
        share = [(neurons["nearest_tokens"] <= one).mean() for one in tokens]
        axes.plot(tokens, share, color=orange, marker="s", ms=3, lw=1.2)
        nearest = "each other's\nnearest for good"
        labels.append(EndLabel(tokens[-1], share[-1], nearest, orange))
    axes.set(ylabel="share of the final pairs", ylim=(-0.02, 1.05))
    axes.set_title(f"when the {len(neurons):,} final pairs are there", loc="left")
    label_ends(axes, labels)


def _draw_nothing(axes: plt.Axes, why: str) -> None:
    """Say in a panel why it is empty."""
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color="0.35")


def _draw_survival(axes: plt.Axes, curve: pd.DataFrame) -> None:
    """Draw the share of matches that last beyond each age, and their half-life."""
    purple = sns.color_palette("colorblind")[4]
    if curve["survival"].isna().all():
        _draw_nothing(axes, "no match is followed")
    x, y = curve["doublings"].to_numpy(float), curve["survival"].to_numpy(float)
    for low, high, alpha in (
        ("survival_ci_low", "survival_ci_high", 0.2),
        ("survival_greenwood_low", "survival_greenwood_high", 0.12),
    ):
        axes.fill_between(x, curve[low], curve[high], step="post", color=purple, alpha=alpha, lw=0)
    axes.step(x, y, where="post", color=purple, lw=1.2)
    axes.axhline(0.5, color="0.6", lw=0.8, ls=":")
    half = curve["half_life"].iloc[0] if len(curve) else np.nan
    if np.isfinite(half):
        axes.axvline(half, color="0.6", lw=0.8, ls=":")
        axes.annotate(
            f"half-life {half:.1f} doublings",
            (half, 0.5),
            (4, 4),
            textcoords="offset points",
            color="0.35",
        )
    axes.set(ylim=(-0.02, 1.05), ylabel="share of matches left")
    axes.set_xlabel("age of a match: doublings of the tokens read")
    axes.set_title("how long matches last", loc="left")


def _draw_own(axes: plt.Axes, groups: pd.DataFrame, rows: pd.DataFrame) -> None:
    """Draw r of units with their own final selves: of Rosetta Neurons, and of the others."""
    own = groups[groups["measure"] == OWN_R]
    _set_tokens(axes, rows["tokens"])
    palette, labels = sns.color_palette("colorblind"), []
    for number, (model, mine) in enumerate(own.groupby("model", sort=False)):
        for group, line in (("rosetta", "-"), ("others", ":")):
            style = {"color": palette[(0, 3)[number % 2]], "ls": line}
            text = f"{model}:\n{'Rosetta' if group == 'rosetta' else group}"
            labels += _draw_band(axes, mine[mine["group"] == group], "mean", style, text)
    axes.set(ylabel="r with the own final self", ylim=(min(0.0, axes.get_ylim()[0]), 1.05))
    axes.set_title("units and what they become", loc="left")
    label_ends(axes, labels)
